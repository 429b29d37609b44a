"""Augmentation transforms: what a pencil can check; tests/parity holds them against the facts."""

from unittest import mock

import numpy as np
import pytest
import torch

from mim_bench.data.seeding import seed_everything
from mim_bench.data.transforms.augmentation import (
    RandAugment,
    RandomErasing,
    SingleDrawCrop,
    TwoSizeCrop,
)

ALL = {
    'RandAugment': RandAugment,
    'RandomErasing': RandomErasing,
    'SingleDrawCrop': lambda: SingleDrawCrop(scale=16),
    'TwoSizeCrop': lambda: TwoSizeCrop(scale=16, second_scale=8),
}


def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def plain(value):
    """Arrays, tensors and what holds them as numbers that can be compared."""
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value.tolist() if hasattr(value, 'tolist') else value


def draw(name: str, seed: int) -> list:
    """What twelve samples become after one seed."""
    transform = ALL[name]()
    seed_everything(seed)
    return [plain([*transform(dict(img=image())).values()]) for _ in range(12)]


@pytest.mark.parametrize('name', ALL)
def test_transform_is_decided_by_the_seed_of_the_sample(name):
    assert draw(name, 1) == draw(name, 1) != draw(name, 2)
    assert any(sample != draw(name, 1)[0] for sample in draw(name, 1))


def test_rand_augment_survives_the_greatest_magnitude():
    # A magnitude of 10 leaves no bit to PosterizeIncreasing: a black image.
    transform = RandAugment()
    operations = {op.name: op for op in transform.augment.ops}
    posterize = operations['PosterizeIncreasing']
    with (
        mock.patch('numpy.random.choice', return_value=[posterize]),
        mock.patch('random.gauss', return_value=10.0),
        mock.patch('random.random', return_value=0.0),
    ):
        assert not transform(dict(img=image()))['img'].any()


def test_random_erasing_draws_boxes_inside_the_image():
    seed_everything(0)
    transform = RandomErasing(prob=1.0, area=(0.02, 1 / 3))
    for _ in range(50):
        box = transform(dict(img=image()))['erased']
        _, height, width = box.noise.shape
        assert box.noise.dtype == torch.float32
        assert 0 <= box.top <= 32 - height
        assert 0 <= box.left <= 48 - width
        # Rounded sides of an area between 31 and 512 pixels.
        assert 20 < height * width < 560


def test_single_draw_crop_cuts_what_does_not_fit():
    # An area of 0.9 at an aspect of 1 has sides of 85 in an image of 40 x 200.
    transform = SingleDrawCrop(scale=16, crop_ratio_range=(0.9, 0.9), aspect_ratio_range=(1.0, 1.0))
    seed_everything(0)
    boxes = [transform.rand_crop_params(np.empty((40, 200, 3))) for _ in range(200)]
    assert {box[0] for box in boxes} == {0}
    assert {box[2:] for box in boxes} == {(40, 85)}
    assert min(box[1] for box in boxes) < 5
    assert max(box[1] for box in boxes) > 110  # of at most 115


def test_two_size_crop_gives_two_sizes_of_one_crop():
    rows, cols = np.mgrid[:64, :96]
    smooth = np.stack([rows, cols, rows + cols], -1).astype(np.uint8)
    seed_everything(0)
    results = TwoSizeCrop(scale=32, second_scale=16)(dict(img=smooth))
    first, second = results['img']
    assert (first.shape, second.shape) == ((32, 32, 3), (16, 16, 3))
    halves = first.reshape(16, 2, 16, 2, 3).mean((1, 3))
    assert np.abs(halves - second).max() <= 2
