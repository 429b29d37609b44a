"""What the detection recipes promise: who ranks beside whom, weight decay, sizes, pyramids."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS

from mim_bench.engine.launch import Launch, groups_of
from mim_bench.recipe.building import library_scope, train_pipeline
from mim_bench.recipe.config import load_config
from mim_bench.recipe.protocol import protocol_settings

CONFIGS = Path(__file__).parents[1] / 'configs' / 'detection'
LSJ = [
    'mask-rcnn_vit-base_32xb2-amp-benchvit-25e_coco-1024px',
    'mask-rcnn_vit-base_32xb2-amp-vitdet-100e_coco-1024px',
    'cascade-mask-rcnn_vit-base_32xb2-amp-vitdet-100e_coco-1024px',
]


def load(name):
    return load_config(CONFIGS / f'{name}.py')


@pytest.mark.parametrize(
    ('template', 'backbones'),
    [
        ('mask-rcnn_{}_8xb2-swin-12e_coco-800px', 'swin-base ummae-swin-large ummae-pvt-small'),
        ('mask-rcnn_{}_8xb2-amp-swin-36e_coco-800px', 'swin-base ummae-swin-tiny ummae-pvt-small'),
        (
            'mask-rcnn_{}_8xb2-amp-ummae-25e_coco-1024px',
            'swin-tiny ummae-swin-tiny ummae-pvt-small',
        ),
        ('gfl_{}_8xb2-amp-ummae-25e_coco-1024px', 'swin-tiny ummae-swin-tiny ummae-pvt-small'),
        ('mask-rcnn_{}_32xb2-amp-benchvit-50e_coco-1024px', 'vit-base vit-large beit-vit-base'),
    ],
)
def test_recipe_is_one_protocol_for_all_its_backbones(template, backbones):
    first, *others = backbones.split()
    wanted = protocol_settings(load(template.format(first)))
    for backbone in others:
        assert protocol_settings(load(template.format(backbone))) == wanted


def decays(name):
    """The weight decay of every trained parameter."""
    groups = groups_of(Launch(str(CONFIGS / f'{name}.py')))
    return {parameter: group.weight_decay for group in groups for parameter in group.names}


def test_swin_recipe_decays_as_its_source_by_names():
    found = decays('mask-rcnn_swin-tiny_8xb2-swin-12e_coco-800px')
    free = {name for name, decay in found.items() if not decay}
    assert free == {n for n in found if 'norm' in n or 'relative_position_bias_table' in n}
    assert found['backbone.stages.0.blocks.0.ffn.layers.1.bias'] == 0.05


def test_benchvit_recipe_decays_biases_but_neither_norms_nor_positions():
    found = decays('mask-rcnn_beit-vit-base_32xb2-amp-benchvit-25e_coco-1024px')
    assert found['backbone.pos_embed'] == 0
    assert found['backbone.rel_pos_bias.relative_position_bias_table'] == 0
    assert found['backbone.window_rel_pos_bias.relative_position_bias_table'] == 0
    assert found['backbone.layers.0.ln1.weight'] == 0
    assert found['roi_head.bbox_head.shared_convs.0.bn.weight'] == 0
    assert found['backbone.layers.0.attn.proj.bias'] == 0.1


def test_cae_recipe_decays_layers_and_leaves_one_dimension_free():
    groups = groups_of(Launch(str(CONFIGS / 'mask-rcnn_vit-base_16xb2-amp-cae-12e_coco-800px.py')))
    scales = {name: group.lr_scale for group in groups for name in group.names}
    found = {name: group.weight_decay for group in groups for name in group.names}
    assert scales['backbone.pos_embed'] == pytest.approx(0.75**13)
    assert scales['backbone.layers.11.attn.proj.weight'] == pytest.approx(0.75)
    assert scales['roi_head.bbox_head.fc_cls.weight'] == 1
    assert found['backbone.pos_embed'] == found['roi_head.bbox_head.fc_cls.bias'] == 0
    assert found['roi_head.bbox_head.fc_cls.weight'] == 0.05


@pytest.mark.parametrize('name', LSJ)
def test_lsj_recipe_tests_on_whole_squares_of_1024(name):
    cfg = load(name)
    (resize,) = (step for step in cfg.test_pipeline if step.type == 'Resize')
    assert tuple(resize.scale) == (1024, 1024)
    assert cfg.model.data_preprocessor.pad_size_divisor == cfg.model.backbone.img_size == 1024


def test_swin_recipe_draws_sizes_from_480_to_800():
    cfg = load('mask-rcnn_swin-tiny_8xb2-amp-swin-36e_coco-800px')
    (choice,) = (step for step in train_pipeline(cfg) if step['type'] == 'RandomChoice')
    plain, cropped = choice['transforms']
    scales = [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800]
    assert plain[0]['scales'] == cropped[-1]['scales'] == [(side, 1333) for side in scales]


def test_gfl_recipe_makes_five_levels_from_stride_8_on():
    cfg = load('gfl_ummae-swin-tiny_8xb2-amp-ummae-25e_coco-1024px')
    with library_scope(cfg):
        neck = MODELS.build(cfg.model.neck)
    maps = [torch.zeros(1, c, 64 // 2**i, 64 // 2**i) for i, c in enumerate((96, 192, 384, 768))]
    shapes = [tuple(level.shape[1:]) for level in neck.eval()(maps)]
    # An image of 256 px: maps of strides 8, 16, 32, 64, 128.
    assert shapes == [
        (256, 256 // s, 256 // s) for s in cfg.model.bbox_head.anchor_generator.strides
    ]


def test_gfl_recipe_measures_boxes_only():
    cfg = load('gfl_ummae-swin-tiny_8xb2-amp-ummae-25e_coco-1024px')
    assert cfg.val_evaluator.metric == cfg.test_evaluator.metric == 'bbox'
    assert cfg.find_unused_parameters
    for pipeline in (cfg.train_pipeline, cfg.test_pipeline):
        assert not any(step.get('with_mask') for step in pipeline)
