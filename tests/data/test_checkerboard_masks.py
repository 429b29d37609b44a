"""The transform of the two checkerboards: who gets which, fixed or drawn, packed."""

import numpy as np
import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.checkerboard import checkerboard_mask
from mim_bench.registry import TRANSFORMS

KEYS = ('mask', 'momentum_mask')


def build(**kwargs):
    return TRANSFORMS.build(dict(type='mim_bench.CheckerboardMasks', **kwargs))


def expected(cell, side=14, **kwargs):
    return torch.from_numpy(checkerboard_mask((side, side), cell, **kwargs))


def test_checkerboard_masks_gives_small_cells_to_the_online_network():
    results = build(input_size=224)({})
    assert torch.equal(results['mask'], expected(1))
    assert torch.equal(results['momentum_mask'], expected(2))


def test_checkerboard_masks_swap_exchanges_the_networks():
    results = build(input_size=224, swap=True)({})
    assert torch.equal(results['mask'], expected(2))
    assert torch.equal(results['momentum_mask'], expected(1))


def test_checkerboard_masks_fixed_parity_draws_nothing():
    np.random.seed(0)
    transform = build(input_size=224)
    results = [transform({}) for _ in range(5)]
    state = np.random.randint(2**31)
    np.random.seed(0)
    assert state == np.random.randint(2**31)
    assert all(torch.equal(result['mask'], results[0]['mask']) for result in results)


def test_checkerboard_masks_random_parity_draws_each_mask_by_itself():
    np.random.seed(0)
    transform = build(input_size=224, parity='random', anchor='center')
    drawn = [tuple(bool(transform(r)[key][0, 0]) for key in KEYS) for r in ({} for _ in range(400))]
    shares = [drawn.count(pair) / 400 for pair in ((0, 0), (0, 1), (1, 0), (1, 1))]
    # A quarter each; five standard deviations of a share are 0.11.
    assert shares == pytest.approx([0.25] * 4, abs=0.11)


def test_checkerboard_masks_of_a_pyramid_hide_whole_tokens_of_the_last_stage():
    results = build(input_size=256, patch_size=4, small_cell=32, large_cell=64)({})
    for key, cell in zip(KEYS, (1, 2), strict=True):
        last = results[key].unfold(0, 8, 8).unfold(1, 8, 8).flatten(2)  # (8, 8, 64)
        assert torch.equal(last.all(-1), last.any(-1))
        assert torch.equal(last[..., 0], expected(cell, side=8))


def test_checkerboard_masks_do_not_share_memory_between_samples():
    transform = build(input_size=224)
    first = transform({})
    first['mask'].fill_(True)
    assert transform({})['mask'].sum() == 98


def test_checkerboard_masks_follow_two_views_of_an_image():
    flip = dict(type='mmpretrain.RandomFlip', prob=1.0)
    views = dict(type='mmpretrain.MultiView', num_views=[1, 1], transforms=[[], [flip]])
    pack = dict(type='mmpretrain.PackInputs', algorithm_keys=KEYS)
    results = {'img': np.arange(64 * 64 * 3, dtype=np.float32).reshape(64, 64, 3)}
    for step in (views, dict(type='mim_bench.CheckerboardMasks', input_size=64), pack):
        results = TRANSFORMS.build(step)(results)
    first, second = results['inputs']
    assert torch.equal(second, first.flip(2))
    assert torch.equal(results['data_samples'].mask, expected(1, side=4))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(input_size=230), 'input_size 230 must be a multiple of patch_size 16'),
        (dict(input_size=224, small_cell=24), 'small_cell 24 must be a multiple of patch_size'),
        (dict(input_size=224, large_cell=64), 'input_size 224 must be a multiple of large_cell'),
        (dict(input_size=224, parity='odd'), "parity 'odd' must be one of"),
        (dict(input_size=224, parity='random', swap=True), 'online network hides 96 or 100'),
        (dict(input_size=224, parity='random'), 'momentum network hides 96 or 100'),
        (dict(input_size=208, anchor='center', large_cell=32), 'even sides'),
    ],
)
def test_checkerboard_masks_sizes_that_do_not_fit_raise(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        build(**kwargs)
