"""BEiT's mask of rectangles."""

import numpy as np
import torch

from mim_bench.data.seeding import seed_everything
from mim_bench.data.transforms.masks import RandomBlockMask
from mim_bench.masking.random_blocks import random_block_mask


def masks():
    rng = np.random.default_rng(0)
    return [random_block_mask((14, 14), 75, rng) for _ in range(300)]


def test_random_block_mask_hides_at_most_what_is_asked():
    counts = [int(mask.sum()) for mask in masks()]
    assert max(counts) == 75
    # The official generator gives up when ten blocks in a row do not fit what is left.
    assert min(counts) < 75
    assert np.mean(counts) > 65


def test_random_block_mask_reaches_every_patch():
    assert np.any(masks(), axis=0).all()


def test_random_block_mask_is_decided_by_the_seed_of_the_sample():
    transform = RandomBlockMask((14, 14), max_hidden=75)

    def draw(seed):
        seed_everything(seed)
        return transform({})['mask']

    assert draw(1).dtype == torch.bool
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
