"""Canonical weights in other libraries' layouts, and back."""

import json

import pytest
import safetensors
import timm
import torch
from mmpretrain.models import BEiTViT, SwinTransformer, VisionTransformer

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.errors import ConversionError

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=64)
TIMM = dict(embed_dim=16, depth=2, num_heads=2, img_size=32, num_classes=0)
SWIN = dict(embed_dims=8, depths=[2, 2], num_heads=[1, 2])
HEADS = {'num_heads': 2}
# What transformers' ViTModel has in its first layer; from its documented layout.
HF_LAYER = {
    f'encoder.layer.0.{part}.{leaf}'
    for part in (
        'attention.attention.query',
        'attention.attention.key',
        'attention.attention.value',
        'attention.output.dense',
        'intermediate.dense',
        'output.dense',
        'layernorm_before',
        'layernorm_after',
    )
    for leaf in ('weight', 'bias')
}
HF_REST = {
    'embeddings.cls_token',
    'embeddings.position_embeddings',
    'embeddings.patch_embeddings.projection.weight',
    'embeddings.patch_embeddings.projection.bias',
    'layernorm.weight',
    'layernorm.bias',
}


def vit():
    return VisionTransformer(ARCH, img_size=32, out_type='raw')


def beit():
    return BEiTViT(ARCH, img_size=32, out_type='avg_featmap')


def swin():
    windows = dict(block_cfgs=dict(window_size=4))
    return SwinTransformer(SWIN, img_size=64, out_indices=(1,), stage_cfgs=windows)


NETWORKS = {
    'vit': (vit, lambda: timm.create_model('vit_tiny_patch16_224', **TIMM)),
    'beit': (beit, lambda: timm.create_model('beit_base_patch16_224', init_values=0.1, **TIMM)),
    'swin': (
        swin,
        lambda: timm.create_model(
            'swin_tiny_patch4_window7_224',
            embed_dim=8,
            depths=(2, 2),
            num_heads=(1, 2),
            img_size=64,
            window_size=4,
            num_classes=0,
        ),
    ),
}


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture
def network(name, redrawn):
    return redrawn(NETWORKS[name][0]())


@pytest.fixture
def canonical(network, name, tmp_path):
    state = {f'backbone.{key}': value for key, value in network.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'run.pth')
    arch = HEADS if name == 'vit' else {}
    return convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'canonical.pth', arch=arch).path


def state_of(path):
    content = read_checkpoint(path)
    return content.get('state_dict', content)


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_export_to_timm_and_back_changes_no_bit(canonical, suffix, tmp_path):
    out = convert_checkpoint(canonical, tmp_path / f'timm.{suffix}', to='timm').path
    back = convert_checkpoint(out, tmp_path / 'back.pth')
    torch.testing.assert_close(state_of(back.path), state_of(canonical), rtol=0, atol=0)
    arch = read_checkpoint(canonical)['meta']['arch']
    assert (back.source, back.meta['arch'], back.meta['assumed']) == ('timm', arch, [])


def test_export_to_timm_gives_timms_model_the_same_features(canonical, network, name, tmp_path):
    out = convert_checkpoint(canonical, tmp_path / 'timm.pth', to='timm')
    model = NETWORKS[name][1]().eval()
    model.load_state_dict(state_of(out.path), strict=True)
    images = torch.randn(2, 3, *([64] * 2 if name == 'swin' else [32] * 2))
    ours = network(images)[-1]
    theirs = model.forward_features(images)
    if name == 'beit':
        theirs = model.fc_norm(theirs[:, 1:].mean(dim=1))
    if name == 'swin':
        theirs = theirs.permute(0, 3, 1, 2)
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)
    assert read_checkpoint(out.path)['meta']['layout'] == 'timm'


@pytest.mark.parametrize('name', ['vit', 'beit'], indirect=True)
@pytest.mark.parametrize('suffix', ['bin', 'safetensors'])
def test_export_to_huggingface_and_back_changes_no_bit(canonical, suffix, tmp_path):
    out = convert_checkpoint(canonical, tmp_path / f'model.{suffix}', to='huggingface').path
    back = convert_checkpoint(out, tmp_path / 'back.pth')
    assert back.source == 'huggingface'
    torch.testing.assert_close(state_of(back.path), state_of(canonical), rtol=0, atol=0)


@pytest.mark.parametrize('name', ['vit'], indirect=True)
def test_export_to_huggingface_has_the_names_of_vitmodel(canonical, network, tmp_path):
    out = convert_checkpoint(canonical, tmp_path / 'pytorch_model.bin', to='huggingface').path
    state = read_checkpoint(out)  # bare, as transformers reads it
    second = {key.replace('layer.0', 'layer.1') for key in HF_LAYER}
    assert set(state) == HF_LAYER | second | HF_REST
    key = network.layers[1].attn.qkv.weight[16:32]
    assert torch.equal(state['encoder.layer.1.attention.attention.key.weight'], key)


@pytest.mark.parametrize('name', ['beit'], indirect=True)
def test_export_to_huggingface_has_the_names_of_beitmodel(canonical, tmp_path):
    out = convert_checkpoint(canonical, tmp_path / 'pytorch_model.bin', to='huggingface').path
    attention = 'encoder.layer.0.attention.attention.'
    table = f'{attention}relative_position_bias.relative_position_bias_table'
    state = read_checkpoint(out)
    assert {table, f'{attention}query.bias', 'encoder.layer.0.lambda_1'} <= set(state)
    assert 'pooler.layernorm.weight' in state
    assert f'{attention}key.bias' not in state


@pytest.mark.parametrize('name', ['beit'], indirect=True)
def test_beit_of_transformers_fits_other_sizes_as_transformers_does_and_says_so(
    canonical, tmp_path
):
    out = convert_checkpoint(canonical, tmp_path / 'pytorch_model.bin', to='huggingface').path
    theirs = convert_checkpoint(out, tmp_path / 'a.pth')
    assert theirs.meta['arch']['bias_interpolation'] == 'bilinear'
    assert any('bilinearly, as transformers' in note for note in theirs.meta['notes'])
    again = convert_checkpoint(theirs.path, tmp_path / 'b.pth')
    assert again.meta['arch'] == theirs.meta['arch']
    chosen = convert_checkpoint(out, tmp_path / 'c.pth', arch={'bias_interpolation': 'geometric'})
    assert not any('bilinearly' in note for note in chosen.notes)
    assert 'bias_interpolation' not in read_checkpoint(canonical)['meta']['arch']


@pytest.mark.parametrize('name', ['vit'], indirect=True)
def test_export_to_huggingface_safetensors_says_its_framework(canonical, tmp_path):
    out = convert_checkpoint(canonical, tmp_path / 'model.safetensors', to='huggingface')
    with safetensors.safe_open(out.path, 'pt') as file:
        assert file.metadata()['format'] == 'pt'
        assert json.loads(file.metadata()['meta'])['layout'] == 'huggingface'


@pytest.mark.parametrize('name', ['swin'], indirect=True)
def test_export_of_a_swin_to_huggingface_raises(canonical, tmp_path):
    with pytest.raises(ConversionError, match=r'only a ViT can be .* not mim_bench\.Swin'):
        convert_checkpoint(canonical, tmp_path / 'b.pth', to='huggingface')


@pytest.mark.parametrize('name', ['vit'], indirect=True)
def test_export_to_an_unknown_layout_raises(canonical, tmp_path):
    message = r"Unknown layout 'jax'\. Known: \['canonical', 'timm', 'huggingface'\]"
    with pytest.raises(ConversionError, match=message):
        convert_checkpoint(canonical, tmp_path / 'b.pth', to='jax')
    assert not (tmp_path / 'b.pth').exists()


def test_export_of_a_timm_backbone_is_its_network(tmp_path):
    net = timm.create_model('test_convnext', num_classes=0)
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    canonical = convert_checkpoint(tmp_path / 'net.pth', tmp_path / 'a.pth', timm='test_convnext')
    out = convert_checkpoint(canonical.path, tmp_path / 'timm.pth', to='timm')
    state = read_checkpoint(out.path)['state_dict']
    assert set(state) == set(net.state_dict())
    timm.create_model('test_convnext', num_classes=0).load_state_dict(state)
