import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mim_bench.data.toy.polygons import outline


def _rasterise(polygons, shape):
    runs = coco_mask.frPyObjects(polygons, *shape)
    return coco_mask.decode(coco_mask.merge(runs)).astype(bool)


def _square(shape, top, left, bottom, right):
    coverage = np.zeros(shape, dtype=np.float32)
    coverage[top:bottom, left:right] = 1
    return coverage


def test_outline_square_has_its_box_and_area():
    traced = outline(_square((20, 30), 4, 6, 14, 26))

    assert traced.bbox == [6, 4, 20, 10]
    # The half-way line cuts each corner by a triangle of 0.5 x 0.5 / 2.
    assert traced.area == pytest.approx(200 - 4 * 0.125)
    assert len(traced.polygons) == 1


def test_outline_soft_edge_lies_between_pixels():
    coverage = _square((10, 20), 0, 0, 10, 8)
    coverage[:, 8] = 0.75  # half-way lies a third of the way to the next centre: 8.5 + 1/3

    traced = outline(coverage)

    assert traced.bbox[2] == pytest.approx(8.5 + 1 / 3, abs=0.01)


def test_outline_part_inside_a_hole_keeps_both():
    coverage = _square((40, 40), 2, 2, 38, 38) - _square((40, 40), 8, 8, 32, 32)
    coverage += _square((40, 40), 16, 16, 24, 24)

    traced = outline(coverage)

    assert len(traced.polygons) == 2
    np.testing.assert_array_equal(_rasterise(traced.polygons, (40, 40)), coverage > 0)


def test_outline_at_the_border_stays_in_the_image():
    traced = outline(np.ones((12, 16), dtype=np.float32))

    assert traced.bbox == [0, 0, 16, 12]


@pytest.mark.parametrize('level', [0.0, 0.49])
def test_outline_nothing_covered_by_half_is_none(level):
    assert outline(np.full((8, 8), level, dtype=np.float32)) is None
