"""Packing of windows: every token once, only tokens of one window see each other."""

import numpy as np
import pytest

from mim_bench.models.backbones.window_groups import GroupPlan, pack_windows, plan_groups


def all_places(rows: int, cols: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing='ij'), -1).reshape(-1, 2)


def seen_pairs(plan: GroupPlan, num_tokens: int, window_size: int) -> np.ndarray:
    """(N, N) int64: the entry of the table for each pair of tokens, -1 for a hidden pair."""
    table = (2 * window_size - 1) ** 2
    num_groups, size, _ = plan.bias_index.shape
    slots = np.arange(num_tokens) if plan.slots is None else plan.slots
    pairs = np.full((num_groups * size, num_groups * size), -1)
    for g, block in enumerate(plan.bias_index):
        span = slice(g * size, (g + 1) * size)
        pairs[span, span] = np.where(block < table, block, -1)
    return pairs[slots][:, slots]


def test_pack_windows_fills_groups_to_the_brim():
    # 5 + 3 + 2, 4 + 4, then the rest: by size alone 5 + 4 would leave gaps.
    groups = pack_windows([5, 4, 4, 3, 2], capacity=10)
    assert sorted(sum([5, 4, 4, 3, 2][i] for i in group) for group in groups) == [8, 10]
    assert sorted(i for group in groups for i in group) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize('shifted', [False, True])
@pytest.mark.parametrize(('side', 'window'), [(12, 3), (16, 4), (15, 4)])
def test_plan_groups_lets_tokens_of_a_window_see_each_other(side, window, shifted):
    rng = np.random.default_rng(0)
    places = rng.permutation(all_places(side, side))[: side**2 // 3]
    plan = plan_groups(places, (side, side), window, shifted=shifted)
    assert plan.tokens is not None  # several groups
    shift = window // 2 if shifted else 0
    windows = np.floor_divide(places - shift, window)
    delta = places[:, None] - places[None] + window - 1
    expected = np.where(
        (windows[:, None] == windows[None]).all(-1),
        delta[..., 0] * (2 * window - 1) + delta[..., 1],
        -1,
    )
    assert np.array_equal(seen_pairs(plan, len(places), window), expected)


def test_plan_groups_gives_every_token_its_own_slot():
    places = np.random.default_rng(0).permutation(all_places(14, 14))[:120]
    plan = plan_groups(places, (14, 14), 7, shifted=True)
    assert np.array_equal(plan.tokens[plan.slots], np.arange(120))
    assert len(set(plan.slots)) == 120
    # Never more slots than the fullest window has tokens.
    assert plan.bias_index.shape[1] <= 49


def test_plan_groups_slots_without_a_token_see_only_each_other():
    places = np.random.default_rng(0).permutation(all_places(14, 14))[:120]
    plan = plan_groups(places, (14, 14), 7, shifted=False)
    is_empty = np.ones(len(plan.tokens), dtype=bool)
    is_empty[plan.slots] = False
    assert is_empty.any()
    is_empty = is_empty.reshape(plan.bias_index.shape[:2])
    hidden, padding = 13**2, 13**2 + 1
    both = is_empty[:, :, None] & is_empty[:, None]
    one = is_empty[:, :, None] ^ is_empty[:, None]
    assert (plan.bias_index[both] == padding).all()
    assert (plan.bias_index[one] == hidden).all()


def test_plan_groups_few_tokens_stay_in_their_order():
    plan = plan_groups(all_places(7, 14), (14, 14), 7, shifted=False)  # 98 = 2 * 49
    assert plan.tokens is None
    assert plan.bias_index.shape == (1, 98, 98)


@pytest.mark.parametrize('window', [4, 6])
def test_plan_groups_window_over_the_whole_map_is_not_shifted(window):
    plan = plan_groups(all_places(4, 4), (4, 4), window, shifted=True)
    assert (seen_pairs(plan, 16, window) >= 0).all()
