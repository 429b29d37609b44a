"""Plans of windows: every token once, only tokens of one window see each other, one shape."""

import numpy as np
import pytest
import torch

from mim_bench.data.masked_samples import collate_masks
from mim_bench.masking.mask import Mask
from mim_bench.masking.units import unit_mask
from mim_bench.masking.window_plans import GroupPlan, pack_windows, plan_groups, plan_windows


def all_places(rows: int, cols: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing='ij'), -1).reshape(-1, 2)


def seen_pairs(plan: GroupPlan, num_tokens: int, window_size: int) -> np.ndarray:
    """(N, N) int64: the entry of the table for each pair of tokens, -1 for a hidden pair."""
    table = (2 * window_size - 1) ** 2
    num_groups, size, _ = plan.bias_index.shape
    slots = np.arange(num_tokens) if plan.slots is None else plan.slots.numpy()
    pairs = np.full((num_groups * size, num_groups * size), -1)
    for g, block in enumerate(plan.bias_index.numpy()):
        span = slice(g * size, (g + 1) * size)
        pairs[span, span] = np.where(block < table, block, -1)
    return pairs[slots][:, slots]


def draw_masks(count: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([unit_mask((7, 7), 0.75, rng) for _ in range(count)]))


def test_pack_windows_fills_the_fullest_group_that_has_room():
    # 6 opens a group of 10, 5 another; 4 fills the fuller one, 3 and 2 the other.
    found, num_groups = pack_windows([3, 6, 4, 5, 2], capacity=10)
    assert num_groups == 2
    assert found == [(1, 5), (0, 0), (0, 6), (1, 0), (1, 8)]


@pytest.mark.parametrize('shifted', [False, True])
@pytest.mark.parametrize(('side', 'window'), [(12, 3), (16, 4), (15, 4)])
def test_plan_groups_lets_tokens_of_a_window_see_each_other(side, window, shifted):
    rng = np.random.default_rng(0)
    places = rng.permutation(all_places(side, side))[: side**2 // 3]
    plan = plan_groups(places, (side, side), window, shifted=shifted)
    assert plan.slots is not None  # several groups
    shift = window // 2 if shifted else 0
    windows = np.floor_divide(places - shift, window)
    delta = places[:, None] - places[None] + window - 1
    expected = np.where(
        (windows[:, None] == windows[None]).all(-1),
        delta[..., 0] * (2 * window - 1) + delta[..., 1],
        -1,
    )
    assert np.array_equal(seen_pairs(plan, len(places), window), expected)


def test_plan_groups_slots_without_a_token_see_only_each_other():
    places = np.random.default_rng(0).permutation(all_places(14, 14))[:120]
    plan = plan_groups(places, (14, 14), 7, shifted=False)
    groups, size, _ = plan.bias_index.shape
    is_empty = torch.ones(groups * size, dtype=torch.bool)
    is_empty[plan.slots] = False
    assert is_empty.sum() == groups * size - 120 > 0  # every token has a slot of its own
    is_empty = is_empty.reshape(groups, size)
    hidden, padding = 13**2, 13**2 + 1
    both = is_empty[:, :, None] & is_empty[:, None]
    one = is_empty[:, :, None] ^ is_empty[:, None]
    assert (plan.bias_index[both] == padding).all()
    assert (plan.bias_index[one] == hidden).all()


def test_plan_groups_few_tokens_stay_in_their_order():
    plan = plan_groups(all_places(7, 14), (14, 14), 7, shifted=False)  # 98 = 2 * 49
    assert plan.slots is None
    assert plan.bias_index.shape == (1, 98, 98)


@pytest.mark.parametrize('window', [4, 6])
def test_plan_groups_window_over_the_whole_map_is_not_shifted(window):
    plan = plan_groups(all_places(4, 4), (4, 4), window, shifted=True)
    assert (seen_pairs(plan, 16, window) >= 0).all()


@pytest.mark.parametrize('sizes', [(7, 7, 7, 7), (14, 14, 14, 7)])
def test_plans_of_all_masks_of_the_recipe_have_one_shape(sizes):
    shapes = {plan_windows(Mask.of(m[None]), sizes).shapes for m in draw_masks(40)}
    assert len(shapes) == 1


def test_planned_mask_is_the_first_ones_and_travels_as_one_tensor():
    masks = draw_masks(3)
    planned = plan_windows(Mask.of(masks), (7, 7, 7, 7))
    assert torch.equal(planned.is_hidden, masks[:1])
    moved = planned.to('cpu').first()
    assert moved.order.data_ptr() == moved.numbers.data_ptr()
    for ours, theirs in zip(moved.plans, planned.plans, strict=True):
        for plan, expected in zip(ours, theirs, strict=True):
            assert torch.equal(plan.bias_index, expected.bias_index)
    ((first, _), *_) = moved.plans
    assert first.bias_index.untyped_storage().data_ptr() == moved.numbers.data_ptr()


def test_loader_plans_the_windows_of_a_batch():
    from mmpretrain.structures import DataSample

    batch = []
    for mask in draw_masks(2):
        sample = DataSample()
        sample.set_field(mask, 'mask')
        batch.append({'inputs': torch.zeros(3, 4, 4), 'data_samples': sample})
    mask = collate_masks(batch, window_sizes=[7, 7, 7, 7])['data_samples'].mask
    assert mask.window_sizes == (7, 7, 7, 7)
    assert torch.equal(mask.is_hidden[0], draw_masks(1)[0])
