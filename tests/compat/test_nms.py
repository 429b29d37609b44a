import math
import sys

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, nms, soft_nms

from mim_bench.errors import StackError

pytestmark = pytest.mark.stack


def overlap(a, b, offset):
    width = min(a[2], b[2]) - max(a[0], b[0]) + offset
    height = min(a[3], b[3]) - max(a[1], b[1]) + offset
    intersection = max(width, 0) * max(height, 0)
    areas = [(x2 - x1 + offset) * (y2 - y1 + offset) for x1, y1, x2, y2 in (a, b)]
    return intersection / (sum(areas) - intersection)


def nms_by_definition(boxes, scores, threshold, offset):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(overlap(boxes[i], boxes[j], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


def soft_nms_by_definition(boxes, scores, threshold, sigma, min_score, method, offset):
    """The boxes' order and scores; one removed box is replaced by the last, as in mmcv."""
    order, scores = list(range(len(boxes))), list(scores)
    fixed = 0
    while fixed < len(order):
        best = max(range(fixed, len(order)), key=lambda i: scores[order[i]])
        order[fixed], order[best] = order[best], order[fixed]
        i = fixed + 1
        while i < len(order):
            iou = overlap(boxes[order[fixed]], boxes[order[i]], offset)
            if method == 'gaussian':
                scores[order[i]] *= math.exp(-iou * iou / sigma)
            elif iou >= threshold:
                scores[order[i]] *= 1 - iou if method == 'linear' else 0
            if scores[order[i]] < min_score:
                order[i] = order[-1]
                order.pop()
            else:
                i += 1
        fixed += 1
    return order, [scores[i] for i in order]


@pytest.fixture
def boxes():
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 20, (40, 2))
    return np.concatenate([corners, corners + generator.uniform(3, 15, (40, 2))], axis=1)


@pytest.fixture
def scores():
    return np.random.default_rng(1).uniform(0.05, 1, 40)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.3, 0.7])
def test_nms_equals_definition(boxes, scores, threshold, offset):
    dets, kept = nms(boxes, scores, threshold, offset=offset)
    assert kept.tolist() == nms_by_definition(boxes, scores, threshold, offset)
    np.testing.assert_array_equal(dets[:, :4], boxes[kept])
    np.testing.assert_array_equal(dets[:, 4], scores[kept])


def test_nms_offset_changes_the_result():
    # Overlap 4/12 = 0.33 without offset, 9/23 = 0.39 with it.
    boxes = np.array([[0, 0, 2, 4], [0, 2, 2, 6]], dtype=np.float32)
    scores = np.array([0.9, 0.8], dtype=np.float32)
    assert len(nms(boxes, scores, 0.35, offset=0)[1]) == 2
    assert len(nms(boxes, scores, 0.35, offset=1)[1]) == 1


def test_nms_no_boxes_keeps_none():
    dets, kept = nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)


def test_nms_half_precision_equals_full(boxes, scores):
    boxes, scores = torch.tensor(boxes).half(), torch.tensor(scores).half()
    kept = nms(boxes, scores, 0.3)[1]
    assert kept.tolist() == nms(boxes.float(), scores.float(), 0.3)[1].tolist()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_soft_nms_takes_scores_of_a_detector_in_low_precision(boxes, scores, dtype):
    boxes, scores = torch.tensor(boxes).float(), torch.tensor(scores).to(dtype)
    kept = soft_nms(boxes, scores, 0.3)[1]
    assert kept.tolist() == soft_nms(boxes, scores.float(), 0.3)[1].tolist()


@pytest.mark.parametrize('min_score', [0.0, 0.3])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_equals_definition(boxes, scores, method, offset, min_score):
    dets, kept = soft_nms(boxes, scores, 0.3, 0.5, min_score, method, offset)
    order, lowered = soft_nms_by_definition(boxes, scores, 0.3, 0.5, min_score, method, offset)
    assert kept.tolist() == order
    np.testing.assert_allclose(dets[:, 4], lowered, rtol=1e-12)
    np.testing.assert_array_equal(dets[:, :4], boxes[order])


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_equal_scores_keep_the_order_of_the_definition(boxes, method):
    scores = np.random.default_rng(2).integers(1, 4, 40) / 4
    kept = soft_nms(boxes, scores, 0.3, 0.5, 0.2, method)[1]
    assert kept.tolist() == soft_nms_by_definition(boxes, scores, 0.3, 0.5, 0.2, method, 0)[0]


def test_soft_nms_computes_in_the_type_of_the_boxes(boxes, scores):
    dets, kept = soft_nms(torch.tensor(boxes).float(), torch.tensor(scores).float(), 0.3)
    pairs = [(kept.tolist().index(i), i) for i in kept.tolist()]
    wanted = np.float32(scores)
    rows = np.float32(boxes)
    for row, number in pairs:
        assert dets[row, 4] == wanted[number]
        for later in kept.tolist()[row + 1 :]:
            iou = np.float32(overlap(rows[number], rows[later], np.float32(0)))
            wanted[later] *= np.float32(1) - iou if iou >= np.float32(0.3) else np.float32(1)


def test_soft_nms_without_numba_is_one_message(boxes, scores, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mim_bench.compat.soft_nms', None)
    with pytest.raises(StackError, match='Install a numba that suits your NumPy'):
        soft_nms(boxes, scores)


def test_soft_nms_linear_pencil_example():
    # The second overlaps the first by 1/2 and keeps half its score, the third by 0.
    boxes = np.array([[0, 0, 2, 2], [0, 0, 1, 2], [5, 5, 6, 6]], dtype=np.float32)
    scores = np.array([0.75, 0.5, 0.375], dtype=np.float32)
    dets, kept = soft_nms(boxes, scores, 0.3, method='linear')
    assert kept.tolist() == [0, 2, 1]
    assert dets[:, 4].tolist() == [0.75, 0.375, 0.25]


def test_soft_nms_boxes_without_area_keep_finite_scores():
    boxes = np.zeros((3, 4), dtype=np.float32)
    dets, _ = soft_nms(boxes, np.array([0.5, 0.4, 0.3], dtype=np.float32), method='gaussian')
    assert dets[:, 4].tolist() == pytest.approx([0.5, 0.4, 0.3])


def test_soft_nms_no_boxes_keeps_none():
    dets, kept = soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)


def test_batched_nms_soft_leaves_other_classes_alone():
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]])
    config = {'type': 'soft_nms', 'iou_threshold': 0.5}
    dets, _ = batched_nms(boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 1]), config)
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.8])
