"""mmpretrain's, mmselfsup's and this project's own files."""

import pytest
import timm
import torch
from mmpretrain.models import SwinTransformer, VisionTransformer

from mim_bench.conversion.backbone_config import backbone_config
from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.detection import find_source
from mim_bench.conversion.inspection import inspect_content
from mim_bench.conversion.source import Fit
from mim_bench.conversion.sources import SOURCES
from mim_bench.engine.load_gate import load_backbone
from mim_bench.errors import ConversionError
from mim_bench.registry import MODELS

ONE = torch.ones(1)
BACKBONE = {'backbone.ln1.weight': ONE}


@pytest.mark.parametrize(
    ('content', 'name'),
    [
        ({'meta': {'mmselfsup_version': '0.11.0'}}, 'mmselfsup'),
        ({'meta': {'cfg': "default_scope = 'mmselfsup'"}}, 'mmselfsup'),
        ({'meta': {'config': 'from mmselfsup import x'}}, 'mmselfsup'),
        ({'meta': {'cfg': "default_scope = 'mmpretrain'"}}, 'mmpretrain'),
        ({}, 'mmpretrain'),
        ({'meta': {'mim_bench': {'method': 'symmim'}}}, 'symmim'),
        ({'meta': {'mim_bench': {'method': 'mae'}}}, 'mmpretrain'),
    ],
)
def test_openmmlab_file_is_told_by_what_it_says(content, name):
    assert find_source(BACKBONE, 'a.pth', content).name == name


@pytest.mark.parametrize(
    ('keys', 'name'),
    [
        (('backbone.fc_norm.weight',), 'mmselfsup'),
        (('head.layers.head.weight',), 'mmselfsup'),
        (('contrast_head.predictor.fc0.weight', 'momentum_network.steps'), 'symmim'),
        (('neck.fc0.weight',), 'mmpretrain'),
    ],
)
def test_openmmlab_file_is_told_by_its_own_keys(keys, name):
    assert find_source(BACKBONE | dict.fromkeys(keys, ONE), 'a.pth').name == name


def test_mmselfsup_old_names_become_mmpretrains():
    state = {'backbone.fc_norm.weight': ONE, 'head.layers.head.bias': ONE, 'neck.x': ONE}
    converted = SOURCES['mmselfsup'].convert(state, 'a.pth')
    assert set(converted.backbone) == {'backbone.ln2.weight'}
    assert set(converted.rest) == {'head.fc.bias', 'neck.x'}


@pytest.mark.parametrize(
    'key',
    [
        'data_preprocessor.mean',
        'target_generator.x',
        'momentum_encoder.module.0.x',
        'decode_head.conv_seg.weight',
        'rpn_head.rpn_conv.weight',
        'roi_head.bbox_head.fc_cls.weight',
        'auxiliary_head.x',
        'teacher.cls_token',
    ],
)
def test_mmpretrain_parts_beside_the_backbone_are_kept_apart(key):
    assert set(SOURCES['mmpretrain'].convert(BACKBONE | {key: ONE}, 'a.pth').rest) == {key}


def test_mmpretrain_unknown_part_raises():
    with pytest.raises(ConversionError, match=r"no rule in source 'mmpretrain': surprise\.x"):
        SOURCES['mmpretrain'].convert(BACKBONE | {'surprise.x': ONE}, 'a.pth')


def test_timms_names_under_backbone_are_not_mmpretrains(tmp_path):
    vit = timm.create_model('vit_tiny_patch16_224', embed_dim=16, depth=2, num_heads=2, img_size=32)
    state = {f'backbone.{key}': value for key, value in vit.state_dict().items()}
    assert SOURCES['mmpretrain'].detect(state, {}) is Fit.NO
    torch.save(state, tmp_path / 'a.pth')
    file = convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth', source='timm')
    assert file.meta['arch']['num_layers'] == 2


def test_network_that_nobody_builds_is_refused(tmp_path):
    torch.save({'state_dict': {'backbone.conv1.weight': ONE}}, tmp_path / 'a.pth')
    with pytest.raises(ConversionError, match='fit no network that mim_bench builds'):
        convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth')


VIT = dict(
    arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
    img_size=32,
    out_type='raw',
)
SWIN = dict(arch=dict(embed_dims=8, depths=[1, 1], num_heads=[1, 2]), img_size=64, window_size=4)


def saved(network, folder):
    state = {f'backbone.{key}': value for key, value in network.state_dict().items()}
    torch.save({'state_dict': state, 'meta': {}}, folder / 'a.pth')
    return folder / 'a.pth'


@pytest.mark.parametrize(
    ('network', 'told'),
    [
        (lambda: VisionTransformer(**VIT, pre_norm=True), r'pre_norm\.weight'),  # CLIP's
        (lambda: VisionTransformer(**VIT, layer_scale_init_value=0.1), r'gamma1\.weight'),  # DINOv2
        (lambda: SwinTransformer(**SWIN, out_indices=(1,), use_abs_pos_embed=True), 'norm1'),
    ],
)
def test_mmpretrain_network_with_parts_that_ours_lacks_is_refused(network, told, tmp_path):
    path = saved(network(), tmp_path)
    with pytest.raises(ConversionError, match=rf'a\.pth: .* has no place for .*{told}'):
        convert_checkpoint(path, tmp_path / 'b.pth')
    assert 'has no place' in inspect_content(torch.load(path), 'a.pth').problem


def test_mmpretrain_vit_without_biases_of_the_attention_gives_its_features(redrawn, tmp_path):
    theirs = redrawn(VisionTransformer(**VIT, qkv_bias=False))
    file = convert_checkpoint(saved(theirs, tmp_path), tmp_path / 'b.pth', arch={'num_heads': 2})
    own = MODELS.build(backbone_config(file.meta, out_type='raw')).eval()
    load_backbone(own, file.path)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(own(images)[-1], theirs(images)[-1])
