import cv2
import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mim_bench.data.jitter_paste import Jitter, fill_hole, mask_box, move_object
from mim_bench.data.transforms.instaboost import InstaBoost
from mim_bench.errors import ConfigError

SIZE = (80, 100)
STILL = dict(scale=(1, 1), dx=1e9, dy=1e9, theta=(0, 0), color_prob=0, aug_ratio=1)


def disc(x, y, radius):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return ((columns - x) ** 2 + (rows - y) ** 2 <= radius**2).astype(np.uint8)


def scene(discs, labels=None, ignored=()):
    """A grey picture with one disc an object, of label 1, 2, ... in its stuff map."""
    masks = [disc(*d) for d in discs]
    labels = labels or list(range(1, len(masks) + 1))
    image = np.full((*SIZE, 3), 100, np.uint8)
    stuff = np.full(SIZE, 10, np.uint8)
    for mask, label in zip(masks, labels, strict=True):
        image[mask == 1] = 20 * label
        stuff[mask == 1] = label
    return {
        'img': image,
        'gt_masks': BitmapMasks(masks, *SIZE),
        'gt_bboxes': HorizontalBoxes(torch.tensor([mask_box(m == 1) for m in masks]).float()),
        'gt_bboxes_labels': np.array(labels),
        'gt_ignore_flags': np.array([i in ignored for i in range(len(masks))]),
        'gt_seg_map': stuff,
    }


def boosted(results, seed=0, **changes):
    np.random.seed(seed)
    return InstaBoost(**{**STILL, **changes})(results)


def test_instaboost_skipped_objects_change_nothing():
    before, after = scene([(40, 40, 15)]), scene([(40, 40, 15)])
    after = boosted(after, action_probs=(0, 0, 1))
    for key in ('img', 'gt_seg_map', 'gt_bboxes_labels'):
        np.testing.assert_array_equal(after[key], before[key])
    np.testing.assert_array_equal(after['gt_masks'].masks, before['gt_masks'].masks)
    torch.testing.assert_close(after['gt_bboxes'].tensor, before['gt_bboxes'].tensor)


def test_instaboost_unmoved_object_keeps_mask_box_and_stuff():
    after = boosted(scene([(40, 40, 15)]))
    before = scene([(40, 40, 15)])
    np.testing.assert_array_equal(after['gt_masks'].masks, before['gt_masks'].masks)
    np.testing.assert_array_equal(after['gt_seg_map'], before['gt_seg_map'])
    torch.testing.assert_close(after['gt_bboxes'].tensor, before['gt_bboxes'].tensor)


@pytest.mark.parametrize('factor', [0.8, 0.9, 1.2])
def test_instaboost_scale_changes_area_by_its_square(factor):
    after = boosted(scene([(50, 40, 20)]), scale=(factor, factor))
    area = disc(50, 40, 20).sum()
    assert after['gt_masks'].masks.sum() == pytest.approx(factor**2 * area, rel=0.03)


@pytest.mark.parametrize('seed', range(5))
def test_instaboost_boxes_and_stuff_follow_the_masks(seed):
    changes = dict(scale=(0.8, 1.2), dx=5, dy=5, theta=(-20, 20))
    after = boosted(scene([(30, 40, 14), (60, 30, 12), (75, 60, 9)]), seed, **changes)
    for mask, box, label in zip(
        after['gt_masks'].masks.astype(bool),
        after['gt_bboxes'].tensor,
        after['gt_bboxes_labels'],
        strict=True,
    ):
        assert tuple(box) == mask_box(mask)
        assert (after['gt_seg_map'][mask] == label).all()
        # The centre of a disc of one colour shows that colour.
        rows, columns = np.nonzero(cv2.erode(mask.astype(np.uint8), np.ones((5, 5))))
        assert (after['img'][rows, columns] == 20 * label).all()


def test_instaboost_shift_is_at_most_a_share_of_the_box():
    centres = []
    for seed in range(40):
        box = boosted(scene([(50, 40, 15)]), seed, dx=15, dy=5)['gt_bboxes'].tensor[0]
        centres.append(((box[0] + box[2]) / 2 - 50.5, (box[1] + box[3]) / 2 - 40.5))
    across, down = np.abs(np.array(centres)).max(0)
    # 31 / 15 and 31 / 5 pixels, and a pixel of rounding.
    assert 1 < across <= 31 / 15 + 1
    assert 4 < down <= 31 / 5 + 1


def test_instaboost_old_place_is_filled_and_ignored():
    results = scene([(50, 40, 15)])
    old = results['gt_masks'].masks[0] == 1
    after = boosted(results, scale=(0.8, 0.8))
    new = after['gt_masks'].masks[0] == 1
    bare = old & ~new
    assert bare.any()
    assert (after['gt_seg_map'][bare] == 255).all()
    # Away from the soft border, the surroundings' grey.
    far = bare & ~cv2.dilate(new.astype(np.uint8), np.ones((5, 5))).astype(bool)
    assert np.abs(after['img'][far].astype(int) - 100).max() <= 2


def test_instaboost_pixels_outside_old_and_new_place_stay():
    results = scene([(30, 40, 14), (70, 40, 12)])
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    results['img'] = noise.copy()
    old = results['gt_masks'].masks.any(0)
    after = boosted(results, scale=(0.8, 1.2), dx=10, dy=10, theta=(-10, 10))
    touched = old | after['gt_masks'].masks.any(0).astype(bool)
    outside = ~cv2.dilate(touched.astype(np.uint8), np.ones((7, 7))).astype(bool)
    np.testing.assert_array_equal(after['img'][outside], noise[outside])
    assert (after['gt_seg_map'][outside] == 10).all()
    assert (after['img'] != noise).any()


def test_instaboost_ignored_objects_stay_and_are_pasted_over():
    results = scene([(30, 40, 14), (50, 40, 14)], ignored=(0,))
    mask, box = results['gt_masks'].masks[0].copy(), results['gt_bboxes'].tensor[0].clone()
    after = boosted(results, scale=(1.2, 1.2))
    np.testing.assert_array_equal(after['gt_masks'].masks[0], mask)
    torch.testing.assert_close(after['gt_bboxes'].tensor[0], box)
    assert after['gt_ignore_flags'].tolist() == [True, False]


def test_instaboost_later_object_covers_the_earlier_one():
    after = boosted(scene([(40, 40, 14), (60, 40, 14)]), scale=(1.2, 1.2))
    first, second = after['gt_masks'].masks.astype(bool)
    alone = boosted(scene([(60, 40, 14)], labels=[2]), scale=(1.2, 1.2))['gt_masks'].masks[0]
    np.testing.assert_array_equal(second, alone.astype(bool))
    assert not (first & second).any()
    assert tuple(after['gt_bboxes'].tensor[0]) == mask_box(first)


def test_instaboost_hidden_object_is_dropped_everywhere():
    after = boosted(scene([(50, 40, 3), (50, 40, 20)]))
    assert after['gt_bboxes_labels'].tolist() == [2]
    sizes = {len(after[k]) for k in ('gt_masks', 'gt_bboxes', 'gt_ignore_flags')}
    assert sizes == {1}


def test_instaboost_mirrors_pixels_and_mask():
    results = scene([(50, 40, 15)])
    left = disc(50, 40, 15).astype(bool) & (np.arange(SIZE[1]) < 50)
    results['gt_masks'] = BitmapMasks([left.astype(np.uint8)], *SIZE)
    after = boosted(results, action_probs=(0, 1, 0))
    columns = np.flatnonzero(left.any(0))
    middle = (columns[0] + columns[-1]) / 2
    mirrored = np.flatnonzero(after['gt_masks'].masks[0].any(0))
    assert (mirrored[0] + mirrored[-1]) / 2 == middle
    assert after['gt_masks'].masks[0].sum() == left.sum()
    # The flat side has changed sides.
    heights = left.sum(0)[columns[0] : columns[-1] + 1]
    np.testing.assert_array_equal(
        after['gt_masks'].masks[0].sum(0)[columns[0] : columns[-1] + 1], heights[::-1]
    )


def test_instaboost_polygons_become_bitmaps():
    results = scene([(50, 40, 15)])
    corners = np.array([35.0, 25, 65, 25, 65, 55, 35, 55])
    results['gt_masks'] = PolygonMasks([[corners]], *SIZE)
    masks = boosted(results, scale=(1.1, 1.1))['gt_masks']
    assert isinstance(masks, BitmapMasks)
    assert masks.masks.sum() == pytest.approx(1.1**2 * 30**2, rel=0.06)


def test_instaboost_boxes_may_be_plain_arrays():
    results = scene([(50, 40, 15)])
    results['gt_bboxes'] = results['gt_bboxes'].numpy()
    after = boosted(results, scale=(0.8, 0.8))
    assert tuple(after['gt_bboxes'][0]) == mask_box(after['gt_masks'].masks[0] == 1)


def test_instaboost_without_objects_is_the_picture_itself():
    results = scene([(50, 40, 15)])
    results.update(gt_masks=BitmapMasks([], *SIZE), gt_ignore_flags=np.zeros(0, bool))
    results['gt_bboxes'] = HorizontalBoxes(torch.zeros(0, 4))
    before = results['img'].copy()
    np.testing.assert_array_equal(boosted(results)['img'], before)


def test_instaboost_ratio_is_the_share_of_changed_pictures():
    changed = 0
    for seed in range(200):
        after = boosted(scene([(50, 40, 9)]), seed, scale=(0.8, 0.8), aug_ratio=0.5)
        changed += after['gt_masks'].masks.sum() != disc(50, 40, 9).sum()
    assert 75 < changed < 125  # five standard deviations of 0.035 are 35


def test_instaboost_colour_change_keeps_annotations():
    after = boosted(scene([(50, 40, 15)]), action_probs=(0, 0, 1), color_prob=1)
    before = scene([(50, 40, 15)])
    assert (after['img'] != before['img']).any()
    np.testing.assert_array_equal(after['gt_masks'].masks, before['gt_masks'].masks)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(actions=('normal', 'vertical'), action_probs=(1, 0)), r"unknown actions \['vert"),
        (dict(action_probs=(0.5, 0.2, 0)), r'action_probs \(0\.5, 0\.2, 0\) must be 3 numbers'),
        (dict(scale=(0, 1)), r'scale \(0, 1\) must be positive'),
    ],
)
def test_instaboost_wrong_arguments_raise(arguments, message):
    with pytest.raises(ConfigError, match=message):
        InstaBoost(**arguments)


def test_instaboost_before_the_masks_raises():
    with pytest.raises(ConfigError, match='Put it after LoadAnnotations'):
        boosted({'img': np.zeros((4, 4, 3), np.uint8)})


def test_move_object_at_the_border_is_cut():
    image = np.zeros((*SIZE, 3), np.uint8)
    mask = disc(5, 40, 8) == 1
    moved = move_object(image, mask, Jitter(shift=(-4, 0)))
    placed = np.zeros(SIZE, bool)
    placed[moved.region] = moved.mask
    np.testing.assert_array_equal(placed[:, :-4], mask[:, 4:])


def test_fill_hole_continues_a_gradient():
    image = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 80, 0).repeat(3, 2)
    wanted = image.copy()
    hole = disc(50, 40, 10) == 1
    image[hole] = 0
    fill_hole(image, hole)
    assert np.abs(image.astype(int) - wanted).max() <= 20  # of 100 that it has lost
