"""Overlaps by the numbers of mmcv's own tests (tests/test_ops/test_bbox.py), and by pencil."""

import pytest
import torch
from mmcv.ops import bbox_overlaps

pytestmark = pytest.mark.stack

TWO = [[0, 2, 2, 5], [2, 1, 3, 3]]


@pytest.mark.parametrize(
    ('first', 'second', 'is_aligned', 'expected'),
    [
        (
            [[1, 1, 3, 4], [2, 2, 3, 4], [7, 7, 8, 8]],
            TWO,
            False,
            [[1 / 3, 0.5], [0.2, 0.5], [0, 0]],
        ),
        ([[1, 1, 3, 4], [2, 2, 3, 4]], TWO, True, [1 / 3, 0.5]),
        (
            [[0, 0, 3, 3]],
            [[4, 0, 5, 3], [3, 0, 4, 3], [2, 0, 3, 3], [1, 0, 2, 3]],
            False,
            [[0, 0.2, 0.5, 0.5]],
        ),
    ],
)
def test_overlaps_with_the_last_pixel_are_mmcvs(first, second, is_aligned, expected):
    first, second, expected = (
        torch.tensor(x, dtype=torch.float) for x in (first, second, expected)
    )
    found = bbox_overlaps(first, second, aligned=is_aligned, offset=1)
    torch.testing.assert_close(found, expected)


def test_overlap_over_foreground_divides_by_the_first_box():
    # 2 x 2 pixels in common, of 4 x 4 and of 2 x 6.
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([[2.0, 2.0, 4.0, 8.0]])
    assert bbox_overlaps(*boxes, mode='iof').item() == 4 / 16
    assert bbox_overlaps(*boxes).item() == pytest.approx(4 / (16 + 12 - 4))
