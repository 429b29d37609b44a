from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate

from mim_bench.errors import ConfigError
from mim_bench.models.detection_tta import InstanceTTA
from mim_bench.models.roi_views import to_image, to_view
from mim_bench.recipe.building import build_model, build_pipeline, init_weights
from mim_bench.recipe.config import load_config
from mim_bench.recipe.tta import use_test_time_augmentation

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
HTC = DEMO / 'htc-plus_swin-toy_1xb4-300i_toy-coco-128px.py'
MASK_RCNN = DEMO / 'mask-rcnn_swin-toy_1xb4-3e_toy-coco-128px.py'
META = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'scale')
NMS = dict(type='nms', iou_threshold=0.5)
HTC_ONLY = ('interleaved', 'mask_info_flow', 'semantic_head', 'semantic_roi_extractor')


def cascade(cfg):
    """The demo's HTC without what makes it hybrid: Cascade Mask R-CNN."""
    head = cfg.model.roi_head
    cfg.model.type, head.type = 'CascadeRCNN', 'CascadeRoIHead'
    for key in HTC_ONLY:
        head.pop(key)
    for mask_head in head.mask_head:
        mask_head.type = 'FCNMaskHead'
        mask_head.pop('with_conv_res')
    return cfg


def config(kind):
    if kind == 'mask-rcnn':
        return load_config(MASK_RCNN)
    cfg = load_config(HTC)
    return cascade(cfg) if kind == 'cascade' else cfg


@pytest.fixture
def image(toy_root):
    return {'img_path': str(next((toy_root / 'coco' / 'val2017').glob('*.jpg'))), 'img_id': 1}


def detector(kind):
    cfg = config(kind)
    torch.manual_seed(0)
    model = build_model(cfg)
    init_weights(model)
    head = model.roi_head.mask_head
    # Masks of random weights are all near one half: they are to have both sides.
    for part in head if isinstance(head, torch.nn.ModuleList) else [head]:
        torch.nn.init.normal_(part.conv_logits.weight, std=1.0)
    return cfg, model.eval()


def views(cfg, image, scales, flips):
    """A batch of one image in every scale and flip."""
    pack = dict(type='PackDetInputs', meta_keys=(*META, 'flip', 'flip_direction'))
    steps = [
        dict(type='LoadImageFromFile'),
        dict(
            type='TestTimeAug',
            transforms=[
                [dict(type='Resize', scale=scale, keep_ratio=True) for scale in scales],
                [dict(type='RandomFlip', prob=float(flip)) for flip in flips],
                [pack],
            ],
        ),
    ]
    return pseudo_collate([build_pipeline(cfg, steps)(dict(image))])


def plain(cfg, image, scale):
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=scale, keep_ratio=True),
        dict(type='PackDetInputs', meta_keys=META),
    ]
    return pseudo_collate([build_pipeline(cfg, steps)(dict(image))])


@pytest.mark.parametrize('kind', ['mask-rcnn', 'cascade', 'htc'])
@torch.no_grad()
def test_instance_tta_one_view_is_the_plain_test(kind, image):
    cfg, model = detector(kind)
    (wanted,) = model.test_step(plain(cfg, image, (160, 128)))
    (found,) = InstanceTTA(model).test_step(views(cfg, image, [(160, 128)], [False]))
    wanted, found = wanted.pred_instances, found.pred_instances
    assert len(found) == len(wanted) > 5
    torch.testing.assert_close(found.scores, wanted.scores, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.bboxes, wanted.bboxes, atol=1e-2, rtol=1e-4)
    assert torch.equal(found.labels, wanted.labels)
    assert found.masks.shape == wanted.masks.shape
    assert wanted.masks.any()
    assert (found.masks ^ wanted.masks).sum() <= 0.01 * wanted.masks.sum()


@torch.no_grad()
def test_instance_tta_mirrored_view_of_a_mirrored_image_is_its_mirror(image, tmp_path):
    import mmcv

    cfg, model = detector('htc')
    pixels = mmcv.imread(image['img_path'])
    mmcv.imwrite(mmcv.imflip(pixels), str(tmp_path / 'mirrored.png'))
    mmcv.imwrite(pixels, str(tmp_path / 'image.png'))
    image, mirrored = (
        {**image, 'img_path': str(tmp_path / name)} for name in ('image.png', 'mirrored.png')
    )
    # The flipped view of the mirrored file is the image itself; its result comes back mirrored.
    (wanted,) = InstanceTTA(model).test_step(views(cfg, image, [(160, 128)], [False]))
    (found,) = InstanceTTA(model).test_step(views(cfg, mirrored, [(160, 128)], [True]))
    wanted, found = wanted.pred_instances, found.pred_instances
    width = pixels.shape[1]
    x1, y1, x2, y2 = found.bboxes.unbind(-1)
    mirrored_boxes = torch.stack((width - x2, y1, width - x1, y2), dim=-1)
    torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=1e-3)
    # Boxes of nearly equal scores may change places.
    distance, order = torch.cdist(wanted.bboxes, mirrored_boxes).min(1)
    assert (distance < 0.2).all()
    masks = found.masks.flip(-1)[order]
    assert (masks ^ wanted.masks).sum() <= 0.02 * wanted.masks.sum()


@torch.no_grad()
def test_instance_tta_of_a_config_sees_every_scale(image):
    cfg, model = detector('htc')
    cfg.tta_model.pop('type')
    tta = InstanceTTA(model, **cfg.tta_model)
    batch = views(cfg, image, [(192, 96), (192, 128), (192, 160)], [False, True])
    assert len(batch['inputs']) == 6
    (found,) = tta.test_step(batch)
    instances = found.pred_instances
    assert 0 < len(instances) <= 60
    assert instances.masks.shape[1:] == found.ori_shape
    assert (instances.scores >= 0.001).all()


@pytest.mark.parametrize('kind', ['mask-rcnn', 'cascade', 'htc'])
@torch.no_grad()
def test_instance_tta_nothing_found_is_an_empty_result(kind, image):
    cfg, model = detector(kind)
    tta = InstanceTTA(model, tta_cfg=dict(score_thr=1.1))
    (found,) = tta.test_step(views(cfg, image, [(160, 128)], [False, True]))
    instances = found.pred_instances
    assert len(instances) == 0
    assert instances.masks.shape == (0, *found.ori_shape)


def test_instance_tta_view_without_proposals_adds_nothing():
    tta = InstanceTTA(torch_module(), tta_cfg=dict(score_thr=0.1, nms=NMS, max_per_img=9))
    tta.module.roi_head = torch.nn.Module()
    tta.module.roi_head.test_cfg = {}
    none = torch.zeros(0, 4), torch.zeros(0, 3)
    some = torch.tensor([[0, 0, 9, 9.0, 0, 0, 5, 5]]), torch.tensor([[0.5, 0.3, 0.2]])
    assert len(tta._suppress([none, some])) == 2
    assert len(tta._suppress([none, none])) == 0


def test_instance_tta_area_filter_drops_what_a_view_may_not_report():
    tta = InstanceTTA(torch_module(), area_filter=[(600, ('large',)), (1200, ('small', 'medium'))])
    boxes = torch.tensor([[0, 0, 31, 32.0], [0, 0, 32, 32], [0, 0, 95, 96], [0, 0, 96, 96]])
    scores = torch.tensor([[0.5, 0.3, 0.2]]).repeat(4, 1)
    large = tta._filter(boxes, scores, {'scale': (1600, 600)})
    others = tta._filter(boxes, scores, {'scale': (1600, 1200)})
    assert large[:, 0].tolist() == [0, 0, 0, 0.5]
    assert others[:, 0].tolist() == [0.5, 0.5, 0.5, 0]
    # Never the background's.
    assert torch.equal(large[:, 2], scores[:, 2])


def test_instance_tta_area_filter_counts_the_box_of_each_class():
    tta = InstanceTTA(torch_module(), area_filter=[(600, ('large',))])
    boxes = torch.tensor([[0, 0, 10, 10.0, 0, 0, 100, 100]])
    scores = torch.tensor([[0.5, 0.3, 0.2]])
    filtered = tta._filter(boxes, scores, {'scale': (1600, 600)})
    torch.testing.assert_close(filtered, torch.tensor([[0, 0.3, 0.2]]))


def test_instance_tta_area_filter_without_the_scale_raises():
    tta = InstanceTTA(torch_module(), area_filter=[(600, ('large',))])
    with pytest.raises(ConfigError, match=r'nothing of the short side 800\. It has 600'):
        tta._filter(torch.rand(1, 4), torch.rand(1, 3), {'scale': (1600, 800)})


def test_instance_tta_area_filter_unknown_size_raises():
    with pytest.raises(ConfigError, match=r"names \['big'\]\. Known sizes: small, medium, large"):
        InstanceTTA(torch_module(), area_filter=[(600, ('big',))])


@pytest.mark.parametrize('direction', ['horizontal', 'vertical', 'diagonal', None])
def test_to_image_undoes_to_view(direction):
    meta = {
        'img_shape': (60, 80),
        'scale_factor': (2.0, 1.5),
        'flip': direction is not None,
        'flip_direction': direction,
    }
    boxes = torch.tensor([[3.0, 4, 20, 30], [0, 0, 40, 40]])
    torch.testing.assert_close(to_image(to_view(boxes, meta), meta), boxes)
    if direction == 'horizontal':
        torch.testing.assert_close(to_view(boxes, meta)[0], torch.tensor([40.0, 6, 74, 45]))


def test_to_view_unknown_flip_raises():
    meta = {'img_shape': (6, 8), 'scale_factor': (1, 1), 'flip': True, 'flip_direction': 'round'}
    with pytest.raises(ConfigError, match="unknown flip 'round'"):
        to_view(torch.zeros(1, 4), meta)


def test_instance_tta_stands_in_the_config_that_tta_runs():
    cfg = load_config(HTC)
    use_test_time_augmentation(cfg)
    assert isinstance(cfg.model, ConfigDict)
    model = build_model(cfg)
    assert isinstance(model, InstanceTTA)
    assert type(model.module).__name__ == 'HybridTaskCascade'


def torch_module():
    """Anything that BaseTTAModel takes for a detector."""
    module = torch.nn.Module()
    module.test_step = None
    return module
