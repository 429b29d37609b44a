"""What makes a hybrid task cascade: that its parts do what they are there for."""

from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData, PixelData

from mim_bench.recipe.building import build_model, init_weights
from mim_bench.recipe.config import load_config

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
HTC = DEMO / 'htc-plus_swin-toy_1xb4-300i_toy-coco-128px.py'
NO_STUFF = DEMO / 'htc-plus-no-stuff_swin-toy_1xb4-300i_toy-coco-128px.py'
ROIS = torch.tensor([[0, 4.0, 4, 40, 40], [0, 20, 10, 60, 60]])


def roi_head(path=HTC, **options):
    """The demo's head with random weights, and features of an image of 64 x 64 pixels."""
    cfg = load_config(path, options)
    torch.manual_seed(0)
    model = build_model(cfg)
    init_weights(model)
    features = tuple(torch.randn(1, 48, 16 >> i, 16 >> i) for i in range(4))
    return model.roi_head.eval(), features


def annotated():
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    sample = DetDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64)))
    masks = torch.zeros(1, 64, 64, dtype=torch.uint8)
    masks[0, 10:40, 10:40] = 1
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[10.0, 10, 40, 40]]),
        labels=torch.tensor([3]),
        masks=BitmapMasks(masks.numpy(), 64, 64),
    )
    sample.gt_sem_seg = PixelData(sem_seg=torch.randint(0, 11, (1, 64, 64)))
    proposals = InstanceData(bboxes=torch.tensor([[8.0, 8, 42, 42], [0, 0, 20, 20]]))
    return sample, proposals


def losses(head, features, sample, proposals):
    torch.manual_seed(0)  # of the samplers
    return head.train().loss(features, [proposals], [sample])


def test_semantic_features_are_added_to_those_of_boxes_and_masks():
    head, features = roi_head()
    semantic = head.semantic_head(features)[1]

    def outputs(semantic):
        box = head._bbox_forward(0, features, ROIS, semantic)['cls_score']
        mask = head._mask_forward(2, features, ROIS, semantic, training=True)['mask_preds']
        return box, mask

    for of_none, of_some in zip(outputs(0 * semantic), outputs(semantic), strict=True):
        assert not torch.allclose(of_none, of_some)


@pytest.mark.parametrize('name', ['loss_cls', 'loss_bbox', 'loss_mask'])
def test_semantic_branch_learns_from_boxes_and_masks(name):
    head, features = roi_head()
    found = losses(head, features, *annotated())
    sum(value for key, value in found.items() if key.endswith(name)).backward()
    assert head.semantic_head.conv_embedding.conv.weight.grad.abs().sum() > 0
    assert head.semantic_head.lateral_convs[3].conv.weight.grad.abs().sum() > 0
    # Of the classes of stuff only the semantic loss knows.
    assert head.semantic_head.conv_logits.weight.grad is None


def test_semantic_loss_is_of_the_map_at_an_eighth_and_leaves_out_255():
    head, features = roi_head()
    sample, proposals = annotated()
    logits, _ = head.semantic_head(features)
    assert logits.shape == (1, 11, 8, 8)
    labels = sample.gt_sem_seg.sem_seg[:, ::8, ::8]
    wanted = 0.2 * torch.nn.functional.cross_entropy(logits, labels)
    found = losses(head, features, sample, proposals.clone())
    torch.testing.assert_close(found['loss_semantic_seg'], wanted)
    sample.gt_sem_seg.sem_seg[:] = 255
    assert losses(head, features, sample, proposals)['loss_semantic_seg'] == 0


def test_config_without_stuff_has_no_semantic_loss_and_needs_no_map():
    head, features = roi_head(NO_STUFF)
    sample, proposals = annotated()
    del sample.gt_sem_seg
    found = losses(head, features, sample, proposals)
    assert not head.with_semantic
    assert 'loss_semantic_seg' not in found
    assert {f's{stage}.loss_mask' for stage in range(3)} < set(found)


@pytest.mark.parametrize('is_flowing', [True, False])
def test_mask_information_flows_from_stage_to_stage(is_flowing):
    head, features = roi_head()
    head.mask_info_flow = is_flowing
    semantic = head.semantic_head(features)[1]

    def mask(stage):
        return head._mask_forward(stage, features, ROIS, semantic, training=True)['mask_preds']

    before = [mask(stage).detach() for stage in range(3)]
    with torch.no_grad():
        head.mask_head[0].convs[0].conv.weight.mul_(2)
    after = [mask(stage) for stage in range(3)]
    has_changed = [not torch.allclose(b, a) for b, a in zip(before, after, strict=True)]
    assert has_changed == [True, is_flowing, is_flowing]
    after[2].sum().backward()
    assert (head.mask_head[0].convs[0].conv.weight.grad is not None) == is_flowing


def test_later_stages_weigh_less_and_are_stricter():
    head, _ = roi_head()
    assert head.stage_loss_weights == [1, 0.5, 0.25]
    stds = [tuple(part.bbox_coder.stds) for part in head.bbox_head]
    assert stds == [(0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067)]
    assert [part.assigner.pos_iou_thr for part in head.train_cfg] == [0.5, 0.6, 0.7]


def test_box_heads_are_four_convolutions_and_one_layer():
    head, _ = roi_head()
    for part in head.bbox_head:
        assert (len(part.shared_convs), len(part.shared_fcs)) == (4, 1)
        assert part.reg_class_agnostic


@pytest.mark.parametrize('is_soft', [True, False])
def test_soft_nms_keeps_overlapping_boxes_with_lower_scores(is_soft):
    from mmdet.models.layers import multiclass_nms

    kind = 'soft_nms' if is_soft else 'nms'
    head, _ = roi_head(**{'model.test_cfg.rcnn.nms.type': kind})
    # The second overlaps the first by 60 of 100 columns of 100: 60 / 140 = 0.4286; the third
    # by 80: 80 / 120 = 0.6667. The fourth has another class.
    boxes = torch.tensor([[0, 0, 100, 100.0], [40, 0, 140, 100], [-20, 0, 80, 100]])
    scores = torch.tensor([[0.9, 0, 0.1], [0.8, 0, 0.2], [0.6, 0.3, 0.1]])
    cfg = head.test_cfg
    found, labels = multiclass_nms(boxes, scores, cfg.score_thr, cfg.nms, cfg.max_per_img)
    pairs = zip(labels.tolist(), found.tolist(), strict=True)
    kept = {(label, round(box[0])): box[4] for label, box in pairs}
    wanted = {(0, 0): 0.9, (0, 40): 0.8, (1, -20): 0.3}
    if is_soft:
        # Under the threshold of 0.5 nothing falls; above it, by the overlap.
        wanted[(0, -20)] = 0.6 * (1 - 80 / 120)
    assert kept == pytest.approx(wanted, abs=1e-6)


def test_soft_nms_of_proposals_lowers_overlapping_ones_and_keeps_levels_apart():
    cfg = load_config(HTC)
    rpn = build_model(cfg).rpn_head
    # Overlap 90 / 110 with the first; the third is the second on another level.
    boxes = torch.tensor([[0, 0, 100, 100.0], [10, 0, 110, 100], [10, 0, 110, 100]])
    found = {}
    for kind in ('nms', 'soft_nms'):
        settings = {**cfg.model.test_cfg.rpn, 'nms': dict(type=kind, iou_threshold=0.7)}
        proposals = InstanceData(
            bboxes=boxes,
            scores=torch.tensor([0.9, 0.8, 0.5]),
            level_ids=torch.tensor([0, 0, 1]),
        )
        kept = rpn._bbox_post_process(proposals, ConfigDict(settings))
        found[kind] = [round(score, 4) for score in kept.scores.tolist()]
    assert found == {'nms': [0.9, 0.5], 'soft_nms': [0.9, 0.5, round(0.8 * (1 - 90 / 110), 4)]}
