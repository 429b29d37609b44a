import dataclasses

import numpy as np
import pytest

from mim_bench.data.toy import photos
from mim_bench.data.toy.photos import PHOTOGRAPHS, background, region
from mim_bench.errors import DataError


@pytest.mark.parametrize('photograph', PHOTOGRAPHS, ids=lambda photograph: photograph.name)
def test_region_splits_lie_apart(photograph):
    train, val = region(photograph, 'train'), region(photograph, 'val')

    assert val[0] - train[2] >= 8  # pixels between the two, for filters that look around
    assert min(val[2] - val[0], val[3] - val[1]) >= 90  # room for a crop


def test_background_missing_photograph_says_how_to_get_it(monkeypatch):
    gone = dataclasses.replace(PHOTOGRAPHS[0], file='gone.png')
    monkeypatch.setattr(photos, 'PHOTOGRAPHS', (gone,))

    with pytest.raises(DataError, match=r'gone\.png is not in the installed package skimage'):
        background(np.random.default_rng(0), 'train', (40, 40))
