import dataclasses

import numpy as np
import pytest

from mim_bench.data.toy import photos
from mim_bench.data.toy.photos import PHOTOGRAPHS, background, draw_crop, region
from mim_bench.errors import DataError


@pytest.mark.parametrize('photograph', PHOTOGRAPHS, ids=lambda photograph: photograph.name)
def test_region_splits_lie_apart(photograph):
    train, val = region(photograph, 'train'), region(photograph, 'val')

    assert val[0] - train[2] >= 8  # pixels between the two, for filters that look around
    assert min(val[2] - val[0], val[3] - val[1]) >= 90  # room for a crop


@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize('aspect', [0.74, 1.0, 1.43])
def test_draw_crop_stays_in_the_region_of_its_split(split, aspect):
    rng = np.random.default_rng(0)

    for _ in range(300):
        photograph, (left, top, right, bottom) = draw_crop(rng, split, aspect)
        limits = region(photograph, split)
        assert limits[0] <= left < right <= limits[2]
        assert limits[1] <= top < bottom <= limits[3]
        assert (right - left) / (bottom - top) == pytest.approx(aspect, rel=0.03)


def test_background_missing_photograph_says_how_to_get_it(monkeypatch):
    gone = dataclasses.replace(PHOTOGRAPHS[0], file='gone.png')
    monkeypatch.setattr(photos, 'PHOTOGRAPHS', (gone,))

    with pytest.raises(DataError, match=r'gone\.png is not in the installed package skimage'):
        background(np.random.default_rng(0), 'train', (40, 40))
