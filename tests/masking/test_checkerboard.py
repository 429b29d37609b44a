"""Checkerboard masks: rows by hand, counts, and what mirrors do to them."""

import numpy as np
import pytest

from mim_bench.errors import ConfigError
from mim_bench.masking.checkerboard import checkerboard_mask

MIRRORS = {
    'left-right': lambda mask: mask[:, ::-1],
    'up-down': lambda mask: mask[::-1],
    'half turn': lambda mask: mask[::-1, ::-1],
}


def row(text):
    return np.array([digit == '1' for digit in text])


def effect(mask, mirrored):
    if np.array_equal(mirrored, mask):
        return 'unchanged'
    return 'complement' if np.array_equal(mirrored, ~mask) else 'neither'


@pytest.mark.parametrize(
    ('cell', 'anchor', 'first', 'second', 'third'),
    [
        (1, 'corner', '01010101010101', '10101010101010', '01010101010101'),
        (2, 'corner', '00110011001100', '00110011001100', '11001100110011'),
        (2, 'center', '01100110011001', '10011001100110', '10011001100110'),
    ],
)
def test_checkerboard_mask_rows_are_those_of_the_formula(cell, anchor, first, second, third):
    mask = checkerboard_mask((14, 14), cell, anchor=anchor)
    assert mask.dtype == bool
    for i, text in enumerate((first, second, third)):
        assert np.array_equal(mask[i], row(text))


def test_checkerboard_mask_center_fourth_row_is_the_first():
    mask = checkerboard_mask((14, 14), 2, anchor='center')
    assert np.array_equal(mask[3], mask[0])


@pytest.mark.parametrize(
    ('side', 'cell', 'anchor', 'hidden', 'mirror', 'turn'),
    [
        (14, 1, 'corner', 98, 'complement', 'unchanged'),
        (14, 2, 'corner', 96, 'unchanged', 'unchanged'),
        (14, 2, 'center', 98, 'complement', 'unchanged'),
        (12, 2, 'corner', 72, 'complement', 'unchanged'),
        (16, 2, 'corner', 128, 'complement', 'unchanged'),
        (14, 4, 'corner', 96, 'neither', 'neither'),
        (14, 7, 'corner', 98, 'complement', 'unchanged'),
    ],
)
def test_checkerboard_mask_counts_and_mirrors(side, cell, anchor, hidden, mirror, turn):
    mask = checkerboard_mask((side, side), cell, anchor=anchor)
    assert mask.sum() == hidden
    found = {name: effect(mask, flip(mask)) for name, flip in MIRRORS.items()}
    assert found == {'left-right': mirror, 'up-down': mirror, 'half turn': turn}


@pytest.mark.parametrize('anchor', ['corner', 'center'])
def test_checkerboard_mask_other_parity_is_the_complement(anchor):
    masks = [checkerboard_mask((14, 14), 2, anchor=anchor, parity=p) for p in (0, 1)]
    assert np.array_equal(masks[0], ~masks[1])


def test_checkerboard_masks_of_both_scales_overlap_as_counted():
    small, large = (checkerboard_mask((14, 14), cell) for cell in (1, 2))
    overlap = [(small & large), (small & ~large), (~small & large), (~small & ~large)]
    assert [part.sum() for part in overlap] == [48, 50, 48, 50]


@pytest.mark.parametrize(('cell', 'visible'), [(1, 4), (2, 2)])
def test_checkerboard_mask_hidden_patches_inside_have_visible_neighbours(cell, visible):
    mask = checkerboard_mask((14, 14), cell)
    shown = ~mask
    around = shown[:-2, 1:-1] + 0 + shown[2:, 1:-1] + shown[1:-1, :-2] + shown[1:-1, 2:]
    assert set(around[mask[1:-1, 1:-1]]) == {visible}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(grid=(7, 8), cell=1, anchor='center'), 'even sides'),
        (dict(grid=(8, 8), cell=0), 'must be positive'),
        (dict(grid=(8, 8), cell=1, parity=2), 'must be 0 or 1'),
        (dict(grid=(8, 8), cell=1, anchor='middle'), 'must be one of'),
    ],
)
def test_checkerboard_mask_argument_out_of_range_raises(arguments, message):
    with pytest.raises(ConfigError, match=message):
        checkerboard_mask(**arguments)
