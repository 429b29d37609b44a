"""What the detection recipes promise: weight decay, rates, sizes, pyramids, proposals."""

from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import MODELS
from mmengine.structures import InstanceData

from mim_bench.engine.launch import Launch, groups_of
from mim_bench.recipe.building import build_model, build_pipeline, library_scope, train_pipeline
from mim_bench.recipe.config import load_config
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.testing.config_names import CONFIGS, PATHS

DETECTION = CONFIGS / 'detection'
CASCADE_VITDET = 'cascade-mask-rcnn_vit-base_32xb2-amp-vitdet-184375i_coco-1024px'
MASK_VITDET = 'mask-rcnn_vit-base_32xb2-amp-vitdet-184375i_coco-1024px'
VITDET = [path.stem for path in PATHS if '-vitdet-' in path.stem]
LSJ = ['mask-rcnn_vit-base_32xb2-amp-benchvit-25e_coco-1024px', MASK_VITDET, CASCADE_VITDET]
IBOT = 'cascade-mask-rcnn_vit-base_8xb2-amp-ibot-12e_coco-800px'
CAE = 'mask-rcnn_beit-vit-base_16xb2-amp-cae-12e_coco-800px'
HTC_PLUS = [path for path in PATHS if path.parent.name == 'htc_plus']


def find(name):
    (path,) = DETECTION.rglob(f'{name}.py')
    return path


def load(name):
    return load_config(find(name))


@cache
def groups(name):
    """The optimiser's group of every trained parameter."""
    return {n: group for group in groups_of(Launch(str(find(name)))) for n in group.names}


def decays(name):
    return {parameter: group.weight_decay for parameter, group in groups(name).items()}


@cache
def vitdet_cascade():
    """The cascade's heads; shared, so change a copy only."""
    return build_model(load(CASCADE_VITDET)).roi_head


@pytest.mark.parametrize(
    ('template', 'backbones'),
    [
        ('mask-rcnn_{}_8xb2-amp-swin-36e_coco-800px', 'swin-tiny swin-small'),
        ('cascade-mask-rcnn_{}_8xb2-amp-swin-36e_coco-800px', 'swin-tiny swin-small'),
        ('mask-rcnn_{}_16xb2-amp-cae-12e_coco-800px', 'vit-base beit-vit-base'),
        ('htc-plus_{}_16xb1-vitadapter-36e_coco-1400px', 'vit-large beit-vit-large'),
    ],
)
def test_recipe_is_one_protocol_for_all_its_backbones(template, backbones):
    first, *others = backbones.split()
    wanted = protocol_settings(load(template.format(first)))
    for backbone in others:
        assert protocol_settings(load(template.format(backbone))) == wanted


def test_swin_recipe_decays_as_its_source_by_names():
    found = decays('cascade-mask-rcnn_swin-tiny_8xb2-amp-swin-36e_coco-800px')
    free = {name for name, decay in found.items() if not decay}
    assert free == {n for n in found if 'norm' in n or 'relative_position_bias_table' in n}
    assert found['backbone.stages.0.blocks.0.ffn.layers.1.bias'] == 0.05
    assert found['roi_head.bbox_head.0.shared_convs.0.bn.weight'] == 0.05


@pytest.mark.parametrize(
    ('name', 'length', 'drop_path'),
    [
        ('mask-rcnn_swin-tiny_8xb2-amp-swin-12e_coco-800px', 12, 0.1),
        ('mask-rcnn_swin-tiny_8xb2-amp-swin-36e_coco-800px', 36, 0.2),
        ('mask-rcnn_swin-small_8xb2-amp-swin-36e_coco-800px', 36, 0.2),
        ('cascade-mask-rcnn_swin-tiny_8xb2-amp-swin-12e_coco-800px', 12, 0.0),
        ('cascade-mask-rcnn_swin-tiny_8xb2-amp-swin-36e_coco-800px', 36, 0.2),
        ('cascade-mask-rcnn_swin-base_8xb2-amp-swin-36e_coco-800px', 36, 0.3),
    ],
)
def test_swin_recipe_has_the_drop_path_and_the_steps_of_its_file(name, length, drop_path):
    cfg = load(name)
    assert cfg.model.backbone.drop_path_rate == drop_path
    warmup, steps = cfg.param_scheduler
    assert (warmup.end, list(steps.milestones)) == (
        500,
        [length * 3 // 4 - (length == 12), length * 11 // 12],
    )


def test_swin_recipe_draws_sizes_from_480_to_800():
    cfg = load('mask-rcnn_swin-tiny_8xb2-amp-swin-36e_coco-800px')
    (choice,) = (step for step in train_pipeline(cfg) if step['type'] == 'RandomChoice')
    plain, cropped = choice['transforms']
    scales = [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800]
    assert plain[0]['scales'] == cropped[-1]['scales'] == [(side, 1333) for side in scales]


def test_benchvit_recipe_decays_biases_but_neither_norms_nor_positions():
    found = decays('mask-rcnn_beit-vit-base_32xb2-amp-benchvit-25e_coco-1024px')
    assert found['backbone.pos_embed'] == 0
    assert found['backbone.rel_pos_bias.relative_position_bias_table'] == 0
    assert found['backbone.window_rel_pos_bias.relative_position_bias_table'] == 0
    assert found['backbone.layers.0.ln1.weight'] == 0
    assert found['roi_head.bbox_head.shared_convs.0.bn.weight'] == 0
    assert found['backbone.layers.0.attn.proj.bias'] == 0.1


def test_cae_recipe_decays_layers_and_leaves_one_dimension_free():
    found = groups(CAE)
    scales = {name: group.lr_scale for name, group in found.items()}
    decay = {name: group.weight_decay for name, group in found.items()}
    assert 'backbone.pos_embed' not in found  # fixed
    assert scales['backbone.cls_token'] == pytest.approx(0.75**13)
    assert scales['backbone.layers.11.attn.proj.weight'] == pytest.approx(0.75)
    assert scales['roi_head.bbox_head.fc_cls.weight'] == 1
    assert decay['roi_head.bbox_head.fc_cls.bias'] == decay['backbone.layers.0.gamma_1'] == 0
    assert decay['roi_head.bbox_head.fc_cls.weight'] == decay['backbone.cls_token'] == 0.05


def test_cae_recipe_has_fixed_positions_and_no_relative_ones():
    cfg = load(CAE)
    backbone = cfg.model.backbone
    assert (backbone.abs_pos, backbone.get('rel_pos_bias', 'none')) == ('fixed', 'none')
    assert cfg.param_scheduler[0].end == 500
    assert cfg.model.train_cfg.rpn_proposal.max_per_img == 2000


def test_ibot_recipe_is_that_of_its_command():
    cfg = load(IBOT)
    assert cfg.train_cfg.max_epochs == 12
    assert cfg.param_scheduler[1].milestones == [8, 11]
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == 0.75
    # Its rule compares bare names, which a detector's parameters do not have.
    found = decays(IBOT)
    assert found['backbone.pos_embed'] == found['backbone.cls_token'] == 0.05
    assert (
        found['backbone.layers.0.ln1.weight'] == found['backbone.patch_embed.projection.bias'] == 0
    )


@pytest.mark.parametrize('name', LSJ)
def test_lsj_recipe_tests_on_whole_squares_of_1024(name):
    cfg = load(name)
    (resize,) = (step for step in cfg.test_pipeline if step.type == 'Resize')
    assert tuple(resize.scale) == (1024, 1024)
    assert cfg.model.data_preprocessor.pad_size_divisor == 1024


@pytest.mark.parametrize('name', [MASK_VITDET, CASCADE_VITDET])
def test_vitdet_recipe_assigns_and_proposes_as_detectron2(name):
    train = load(name).model.train_cfg
    stages = train.rcnn if isinstance(train.rcnn, list) else [train.rcnn]
    assert not any(stage.assigner.match_low_quality for stage in stages)
    assert train.rpn_proposal.max_per_img == 1000
    assert train.rpn.allowed_border == -1


@pytest.mark.parametrize('head', ['mask-rcnn', 'cascade-mask-rcnn'])
@pytest.mark.parametrize(
    ('size', 'decay', 'drop_path', 'warmup', 'steps', 'length'),
    [
        ('base', 0.7, 0.1, 250, [163889, 177546], 184375),
        ('large', 0.8, 0.4, 250, [163889, 177546], 184375),
        ('huge', 0.9, 0.5, 188, [122916, 133159], 138281),
    ],
)
def test_vitdet_recipe_has_the_rates_of_its_size(
    head, size, decay, drop_path, warmup, steps, length
):
    (name,) = (n for n in VITDET if n.startswith(f'{head}_vit-{size}_'))
    cfg = load(name)
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == decay
    assert cfg.model.backbone.drop_path_rate == drop_path
    assert cfg.train_cfg.max_iters == length
    # The warm-up reaches the whole rate in the iteration before its end.
    assert [cfg.param_scheduler[0].end - 1, cfg.param_scheduler[1].milestones] == [warmup, steps]


@pytest.mark.parametrize(
    ('name', 'blocks', 'dims'),
    [(MASK_VITDET, 12, 64), (MASK_VITDET.replace('vit-base', 'vit-large'), 24, 64)],
)
def test_vitdet_backbone_is_global_at_the_end_of_each_quarter(name, blocks, dims):
    cfg = load(name)
    with library_scope(cfg), torch.device('meta'):
        vit = MODELS.build(cfg.model.backbone)
    quarter = blocks // 4
    windows = ([14] * (quarter - 1) + [0]) * 4
    assert [layer.window_size for layer in vit.layers] == windows
    assert all(layer.pad_windows for layer in vit.layers)
    for axis in 'hw':
        shapes = [tuple(getattr(layer.attn, f'rel_pos_{axis}').shape) for layer in vit.layers]
        assert shapes == [(27 if window else 127, dims) for window in windows]
    # Of the class token's row nothing was used.
    assert vit.pos_embed.shape[1] == 14 * 14
    assert vit.ln1 is None


@pytest.mark.parametrize('name', [*VITDET, LSJ[0]])
def test_detectron2_recipe_resizes_with_pil_and_cuts_polygons(name):
    cfg = load(name)
    steps = {step['type']: step for step in train_pipeline(cfg)}
    assert steps['LoadAnnotations']['poly2mask'] is False
    assert steps['RandomResize']['backend'] == 'pillow'
    assert steps['RandomResize']['ratio_range'] == (0.1, 2.0)
    (resize,) = (step for step in cfg.test_pipeline if step.type == 'Resize')
    assert resize.backend == 'pillow'


def test_detectron2_pipeline_drops_crowds_and_keeps_an_image_that_loses_its_objects():
    cfg = load(MASK_VITDET)
    _, load_annotations, resize, *rest = train_pipeline(cfg)
    fixed = {**resize, 'ratio_range': (1.0, 1.0)}
    run = build_pipeline(cfg, [load_annotations, fixed, *rest])
    crowd = dict(counts=[100], size=[10, 10])
    square = [[10.0, 10.0, 40.0, 10.0, 40.0, 40.0, 10.0, 40.0]]
    objects = [
        dict(bbox=[0, 0, 9, 9], bbox_label=0, mask=crowd, ignore_flag=1),
        dict(bbox=[10, 10, 40, 40], bbox_label=3, mask=square, ignore_flag=0),
    ]
    for instances, labels in ((objects, [3]), (objects[:1], [])):
        image = np.zeros((64, 64, 3), np.uint8)
        results = dict(img=image, img_shape=(64, 64), ori_shape=(64, 64), instances=instances)
        sample = run({**results, 'img_id': 0, 'img_path': 'a.jpg'})['data_samples']
        assert sample.gt_instances.labels.tolist() == labels
        assert len(sample.ignored_instances) == 0
        if labels:
            (box,) = sample.gt_instances.bboxes.tensor
            assert (box[2] - box[0]).item() == pytest.approx(30 * 16)


def test_vitdet_recipe_decays_the_norms_of_heads_but_not_the_backbones():
    found = decays(MASK_VITDET)
    assert found['backbone.layers.0.ln1.weight'] == found['backbone.pos_embed'] == 0
    assert found['backbone.layers.0.attn.proj.bias'] == 0.1
    assert {v for n, v in found.items() if n.startswith(('neck.', 'roi_head.'))} == {0.1}
    table = groups(MASK_VITDET)['backbone.layers.0.attn.rel_pos_h']
    assert (table.weight_decay, table.lr_scale) == (0.1, pytest.approx(0.7**12))


def test_vitdet_recipe_of_the_huge_size_decays_everything():
    (name,) = (n for n in VITDET if n.startswith('mask-rcnn_vit-huge'))
    assert set(decays(name).values()) == {0.1}


def test_vitdet_cascade_has_one_mask_head_and_unweighted_losses():
    head = vitdet_cascade()
    assert head.stage_loss_weights == [1, 1, 1]
    assert (len(head.bbox_head), len(head.mask_head), len(head.mask_roi_extractor)) == (3, 1, 1)
    maps = [torch.ones(1, 256, 16 // 2**i, 16 // 2**i, requires_grad=True) for i in range(4)]
    rois = torch.tensor([[0, 0.0, 0, 32, 32]])
    features = head._bbox_forward(1, tuple(maps), rois)['bbox_feats']
    features.sum().backward()
    whole = torch.ones_like(maps[0], requires_grad=True)
    head.bbox_roi_extractor[1]((whole, *maps[1:]), rois).sum().backward()
    torch.testing.assert_close(maps[0].grad, whole.grad / 3)
    masks = [head._mask_forward(stage, tuple(maps), rois)['mask_preds'] for stage in range(3)]
    assert torch.equal(masks[0], masks[2])


def test_vitdet_cascade_refines_with_detectron2s_weights():
    coders = [head.bbox_coder for head in load(CASCADE_VITDET).model.roi_head.bbox_head]
    weights = [[round(1 / std) for std in coder.target_stds] for coder in coders]
    assert weights == [[10, 10, 5, 5], [20, 20, 10, 10], [30, 30, 15, 15]]


def test_vitdet_cascade_keeps_annotated_boxes_and_averages_probabilities():
    head = deepcopy(vitdet_cascade())
    maps = [torch.randn(1, 256, 16 // 2**i, 16 // 2**i) for i in range(4)]
    boxes = torch.tensor([[0.0, 0, 9, 9], [4, 4, 30, 30], [20, 20, 50, 60], [7, 7, 7, 30]])
    annotated = InstanceData(
        bboxes=torch.tensor([[5.0, 5, 29, 31], [33, 2, 60, 20]]), labels=torch.tensor([1, 2])
    )
    sample = DetDataSample(gt_instances=annotated, metainfo=dict(img_shape=(64, 64)))
    seen = []
    for assigner in head.bbox_assigner:
        assign = assigner.assign
        assigner.assign = lambda found, *args, assign=assign: (
            seen.append(len(found.priors)),
            assign(found, *args),
        )[1]
    head.mask_loss = lambda *_: {'loss_mask': {}}
    head.loss(maps, [InstanceData(bboxes=boxes)], [sample])
    # Two annotated boxes join four proposals, of which one has no area.
    assert seen == [4, 5, 5]

    scores = []
    for stage in head.bbox_head:
        torch.nn.init.normal_(stage.fc_cls.weight)
        stage.register_forward_hook(lambda _, __, out: scores.append(out[0].softmax(-1)))
    rois = torch.nn.functional.pad(boxes[:3], (1, 0))
    _, (logits,), _ = head._refine_roi(tuple(maps), rois, [sample.metainfo], (3,))
    torch.testing.assert_close(logits.softmax(-1), sum(scores) / 3)


def test_gfl_recipe_makes_five_levels_from_stride_8_on():
    cfg = load('gfl_ummae-swin-tiny_8xb2-amp-ummae-25e_coco-1024px')
    with library_scope(cfg):
        neck = MODELS.build(cfg.model.neck)
    maps = [torch.zeros(1, c, 64 // 2**i, 64 // 2**i) for i, c in ((1, 192), (2, 384), (3, 768))]
    shapes = [tuple(level.shape[1:]) for level in neck.eval()(maps)]
    # An image of 256 px: maps of strides 8, 16, 32, 64, 128.
    assert shapes == [
        (256, 256 // s, 256 // s) for s in cfg.model.bbox_head.anchor_generator.strides
    ]


def test_gfl_recipe_measures_boxes_only():
    cfg = load('gfl_ummae-swin-tiny_8xb2-amp-ummae-25e_coco-1024px')
    assert cfg.val_evaluator.metric == cfg.test_evaluator.metric == 'bbox'
    for pipeline in (cfg.train_pipeline, cfg.test_pipeline):
        assert not any(step.get('with_mask') for step in pipeline)


def test_gfl_recipe_steps_its_cosine_once_an_epoch_and_decays_norms_of_projections():
    name = 'gfl_ummae-swin-tiny_8xb2-amp-ummae-25e_coco-1024px'
    cosine = load(name).param_scheduler[1]
    assert cosine.by_epoch
    assert 'convert_to_iter_based' not in cosine
    found = decays(name)
    assert found['neck.0.norms.0.weight'] == 0.05
    assert found['neck.0.norms.0.bias'] == found['neck.0.projections.0.bias'] == 0


@pytest.mark.parametrize('path', HTC_PLUS, ids=lambda path: path.stem)
def test_htc_plus_multi_scale_test_shows_the_picture_at_six_sizes(path):
    cfg = load_config(path)
    multi_scale = cfg.tta_pipeline[1]['transforms'][0]
    sizes = []
    for resize in multi_scale:
        results = dict(img=np.zeros((480, 640, 3), np.uint8), img_shape=(480, 640))
        height, width = build_pipeline(cfg, [resize])(results)['img_shape']
        sizes.append((width, height))
    assert sizes == [
        (800, 600),
        (1067, 800),
        (1333, 1000),
        (1600, 1200),
        (1867, 1400),
        (2133, 1600),
    ]
    # Each has its place in the filter by area.
    assert [side for side, _ in cfg.tta_model.area_filter] == [height for _, height in sizes]


def test_htc_plus_of_plain_transformers_decays_tables_and_drops_0_3_behind_the_backbone():
    cfg = load('htc-plus_beit-vit-large_16xb1-vitadapter-36e_coco-1400px')
    found = decays('htc-plus_beit-vit-large_16xb1-vitadapter-36e_coco-1400px')
    tables = [name for name in found if name.endswith('relative_position_bias_table')]
    assert tables
    assert {found[name] for name in tables} == {0.05}
    attention = next(part for part in cfg.model.neck if part.type == 'mim_bench.GlobalAttention')
    assert (attention.drop_path_rate, cfg.model.backbone.drop_path_rate) == (0.3, 0.4)


@pytest.mark.parametrize(
    ('name', 'proposals'),
    [
        ('htc-plus_swin-large_16xb1-vitadapter-36e_coco-1400px', 'soft_nms'),
        ('htc-plus_ummae-swin-large_16xb1-vitadapter-36e_coco-1400px', 'soft_nms'),
        ('htc-plus_beit-vit-large_16xb1-vitadapter-36e_coco-1400px', 'nms'),
        ('htc-plus_vit-large_16xb1-vitadapter-36e_coco-1400px', 'nms'),
    ],
)
def test_htc_plus_of_vit_adapter_filters_proposals_by_soft_nms_for_swin_only(name, proposals):
    model = load(name).model
    for settings in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
        assert settings.nms == dict(type=proposals, iou_threshold=0.7)
    assert model.test_cfg.rcnn.nms == dict(type='soft_nms', iou_threshold=0.5)


def test_one_mask_cascade_learns_masks_from_the_first_stage_only():
    head = vitdet_cascade()
    assert head.mask_loss(1, (), [], []) == {'loss_mask': {}}
    assert [type(sampler).__name__ for sampler in head.bbox_sampler] == [
        'RandomSampler', 'PseudoSampler', 'PseudoSampler',
    ]  # fmt: skip
