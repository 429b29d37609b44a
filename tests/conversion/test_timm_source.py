"""timm's own models: converted, they give timm's features."""

import pytest
import timm
import torch
from mmpretrain.models import BEiTViT, SwinTransformer, VisionTransformer

from mim_bench.conversion.backbone_config import backbone_config
from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.detection import find_source
from mim_bench.conversion.files import read_checkpoint
from mim_bench.errors import ConversionError
from mim_bench.registry import MODELS

SIZES = dict(embed_dim=16, depth=2, num_heads=2, img_size=32, num_classes=3)
VIT = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=64)
SWIN = dict(embed_dim=8, depths=(2, 2), num_heads=(1, 2), img_size=64, window_size=4)
TOLERANCE = dict(rtol=1e-5, atol=1e-5)


def converted(model, folder, **options):
    """Its file, canonical, and the weights of the backbone."""
    torch.save(model.state_dict(), folder / 'timm.pth')
    file = convert_checkpoint(folder / 'timm.pth', folder / 'b.pth', source='timm', **options)
    state = read_checkpoint(file.path)['state_dict']
    return file, {k.removeprefix('backbone.'): v for k, v in state.items() if 'backbone.' in k}


def filled(network, weights):
    network.load_state_dict(weights, strict=True)
    network.eval()
    return network


def ours(file, weights, **overrides):
    return filled(MODELS.build(backbone_config(file.meta, **overrides)), weights)


def vit(**settings):
    return timm.create_model('vit_tiny_patch16_224', **{**SIZES, **settings})


def beit():
    return timm.create_model('beit_base_patch16_224', **SIZES, init_values=0.1)


def test_timm_vit_gives_its_features_in_mmpretrain_and_here(redrawn, tmp_path):
    model = redrawn(vit())
    file, weights = converted(model, tmp_path, arch={'num_heads': 2})
    images = torch.randn(2, 3, 32, 32)
    expected = model.forward_features(images)
    stock = filled(VisionTransformer(VIT, img_size=32, out_type='raw'), weights)
    torch.testing.assert_close(stock(images)[-1], expected, **TOLERANCE)
    own = ours(file, weights, out_type='raw')
    torch.testing.assert_close(own(images)[-1], expected, **TOLERANCE)


@pytest.mark.parametrize(
    ('settings', 'size', 'expanded'),
    [
        (dict(dynamic_img_size=True), (32, 96), []),  # positions are resized as timm does
        (dict(init_values=0.1), (32, 32), []),
        (dict(no_embed_class=True, init_values=0.1), (32, 32), ['backbone.pos_embed']),  # DeiT III
    ],
)
def test_timm_vit_of_another_kind_gives_its_features_here(
    redrawn, tmp_path, settings, size, expanded
):
    model = redrawn(vit(**settings))
    file, weights = converted(model, tmp_path, arch={'num_heads': 2})
    assert bool(file.meta['arch'].get('layer_scale')) == ('init_values' in settings)
    assert file.meta['expanded'] == expanded
    images = torch.randn(2, 3, *size)
    own = ours(file, weights, out_type='raw')
    torch.testing.assert_close(own(images)[-1], model.forward_features(images), **TOLERANCE)


def test_norms_without_biases_are_refused(redrawn, tmp_path):
    with pytest.raises(ConversionError, match=r'lack backbone\.layers\.0\.ln1\.bias'):
        converted(redrawn(vit(norm_layer='rmsnorm')), tmp_path)


@pytest.mark.parametrize(
    ('settings', 'size'), [({}, (16, 48)), ({'no_embed_class': True}, (32, 32))]
)
def test_timm_vit_ambiguous_grid_needs_the_image_size(redrawn, tmp_path, settings, size):
    # 1 + 1 x 3 and 2 x 2 rows are both four.
    model = redrawn(vit(**{**settings, 'img_size': size}))
    file, weights = converted(model, tmp_path, arch={'num_heads': 2})
    assert any('no square grid' in note for note in file.notes)
    with pytest.raises(ConversionError, match='3 patches is not one of a square grid'):
        ours(file, weights)
    wrong = {'num_heads': 2, 'img_size': 64}
    with pytest.raises(ConversionError, match='has 16 patches'):
        converted(model, tmp_path, arch=wrong)
    file, weights = converted(model, tmp_path, arch={'num_heads': 2, 'img_size': size})
    assert not any('no square grid' in note for note in file.notes)
    images = torch.randn(2, 3, *size)
    own = MODELS.build(backbone_config(file.meta, out_type='raw', img_size=size))
    own.load_state_dict(weights)
    torch.testing.assert_close(own.eval()(images)[-1], model.forward_features(images), **TOLERANCE)


def test_timm_beit_gives_its_features_in_mmpretrain_and_here(redrawn, tmp_path):
    model = redrawn(beit())
    file, weights = converted(model, tmp_path)
    images = torch.randn(2, 3, 32, 32)
    expected = model.fc_norm(model.forward_features(images)[:, 1:].mean(dim=1))
    stock = filled(BEiTViT(VIT, img_size=32), weights)
    torch.testing.assert_close(stock(images)[-1], expected, **TOLERANCE)
    torch.testing.assert_close(ours(file, weights)(images)[-1], expected, **TOLERANCE)


def test_timm_swin_gives_its_features_in_mmpretrain_and_here(redrawn, tmp_path):
    model = redrawn(timm.create_model('swin_tiny_patch4_window7_224', **SWIN, num_classes=3))
    file, weights = converted(model, tmp_path)
    images = torch.randn(2, 3, 64, 64)
    expected = model.forward_features(images).permute(0, 3, 1, 2)
    arch = {key: file.meta['arch'][key] for key in ('embed_dims', 'depths', 'num_heads')}
    windows = dict(block_cfgs=dict(window_size=4))
    stock = SwinTransformer(arch, img_size=64, out_indices=(1,), stage_cfgs=windows)
    torch.testing.assert_close(filled(stock, weights)(images)[-1], expected, **TOLERANCE)
    own = MODELS.build(backbone_config(file.meta))
    own.load_state_dict(weights, strict=False)
    own.eval()
    torch.testing.assert_close(own(images)[-1], expected, **TOLERANCE)


@pytest.mark.parametrize(
    'make',
    [
        vit,
        lambda: vit(init_values=0.1),
        beit,
        lambda: timm.create_model('swin_tiny_patch4_window7_224', **SWIN, num_classes=0),
    ],
    ids=['vit', 'vit with layer scale', 'beit', 'swin'],
)
def test_timm_bare_weights_are_recognised(make):
    state = make().state_dict()
    assert find_source(state, 'timm.pth', state).name == 'timm'


def test_timm_register_tokens_are_unknown(tmp_path):
    torch.save(vit(reg_tokens=2).state_dict(), tmp_path / 'a.pth')
    with pytest.raises(ConversionError, match=r"no rule in source 'timm': reg_token"):
        convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth', source='timm')


@pytest.mark.parametrize(('tag', 'is_noted'), [('', True), ('.openai', True), ('.laion2b', False)])
def test_clip_whose_activation_may_be_another_is_noted(tag, is_noted, tmp_path):
    name, args = 'vit_base_patch16_clip_224', dict(embed_dim=16, depth=1, num_heads=2)
    torch.save(timm.create_model(name, num_classes=0, **args).state_dict(), tmp_path / 'a.pth')
    options = dict(timm=name + tag, arch=args)
    notes = convert_checkpoint(tmp_path / 'a.pth', tmp_path / 'b.pth', **options).notes
    assert any('vit_base_patch16_clip_quickgelu_224 computes' in n for n in notes) == is_noted
