import numpy as np
import pytest
from sklearn.decomposition import PCA

from mim_bench.errors import ConfigError
from mim_bench.visualization.components import component_pictures


def test_colours_are_the_first_three_components_of_all_images_together():
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(6, 4, 5)), rng.normal(size=(6, 3, 2))]
    pictures = component_pictures(maps)
    assert [picture.shape for picture in pictures] == [(4, 5, 3), (3, 2, 3)]
    patches = np.concatenate([part.reshape(6, -1).T for part in maps])
    scores = PCA(3, svd_solver='full').fit_transform(patches.astype(np.float32))
    found = np.concatenate([picture.reshape(-1, 3) for picture in pictures])
    for score, colour in zip(scores.T, found.T, strict=True):
        inner = (colour > 0) & (colour < 255)
        assert np.corrcoef(score[inner], colour[inner])[0, 1] > 0.999


def test_foreground_is_the_side_that_borders_have_less_of():
    rng = np.random.default_rng(0)
    part = rng.normal(size=(4, 6, 6)) * 0.1
    part[0, 2:4, 2:4] += 9
    (picture,) = component_pictures([part], foreground=True)
    is_grey = (picture == 32).all(axis=2)
    assert not is_grey[2:4, 2:4].all()
    assert is_grey[0].all()
    assert is_grey.sum() == 32


def test_too_few_patches_are_refused():
    with pytest.raises(ConfigError, match='no three principal components'):
        component_pictures([np.zeros((8, 1, 3))])
