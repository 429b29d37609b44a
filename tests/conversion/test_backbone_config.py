"""The config that a canonical file implies is that of the network it came from."""

import pytest
import torch

from mim_bench.conversion.architecture import architecture_of, found_architecture
from mim_bench.conversion.backbone_config import backbone_config
from mim_bench.conversion.key_table import Converted
from mim_bench.conversion.sources import SOURCES
from mim_bench.errors import ConversionError
from mim_bench.models.backbones.vit import ViT
from mim_bench.registry import MODELS

VIT = dict(embed_dims=32, num_layers=2, num_heads=4, feedforward_channels=64)
RELATIVE = dict(abs_pos='none', qkv_bias='qv', layer_scale=0.1)
CONFIGS = {
    'vit': dict(type='mim_bench.ViT', arch=VIT, img_size=48, patch_size=8, final_norm=True),
    'vit without class token': dict(
        type='mim_bench.ViT', arch=VIT, img_size=32, final_norm=False, with_cls_token=False
    ),
    'beit': dict(type='mim_bench.ViT', arch=VIT, img_size=32, rel_pos_bias='per_block', **RELATIVE),
    'beit, shared': dict(
        type='mim_bench.ViT', arch=VIT, img_size=32, rel_pos_bias='shared', **RELATIVE
    ),
    'classifier': dict(
        type='mim_bench.ViT', arch=VIT, img_size=32, final_norm=False, out_type='avg_featmap'
    ),
    'swin': dict(
        type='mim_bench.Swin',
        arch=dict(embed_dims=8, depths=[1, 2], num_heads=[1, 2]),
        window_size=[4, 2],
        patch_size=2,
        in_channels=1,
    ),
    'swin with norms': dict(
        type='mim_bench.Swin',
        arch=dict(embed_dims=8, depths=[1, 2], num_heads=[1, 2]),
        out_norms=True,
        out_indices=[0, 1],
    ),
    'ummae swin': dict(
        type='mim_bench.UMMAESwin',
        arch=dict(embed_dims=8, depths=[1, 1], num_heads=[1, 2], posmlp_dims=4),
        final_norm=True,
    ),
    'ummae pvt': dict(
        type='mim_bench.UMMAEPvt',
        arch=dict(embed_dims=[8, 16], depths=[1, 1], num_heads=[1, 2], mlp_ratios=[4, 2]),
        img_size=32,
    ),
}


@pytest.mark.parametrize('name', CONFIGS)
def test_backbone_config_builds_the_network_the_weights_came_from(name):
    network = MODELS.build(CONFIGS[name].copy())
    state = {f'backbone.{key}': value for key, value in network.state_dict().items()}
    found = architecture_of(state)
    heads = CONFIGS[name]['arch']['num_heads']
    arch = {**found.arch, **({'num_heads': heads} if found.assumed else {})}
    config = backbone_config({'backbone_type': found.backbone_type, 'arch': arch})
    assert config['type'] == CONFIGS[name]['type']
    assert config['arch'] == CONFIGS[name]['arch']
    MODELS.build(config).load_state_dict(network.state_dict(), strict=True)


def test_backbone_config_overrides_win():
    arch = architecture_of(
        {f'backbone.{k}': v for k, v in MODELS.build(CONFIGS['vit'].copy()).state_dict().items()}
    )
    meta = {'backbone_type': arch.backbone_type, 'arch': arch.arch}
    config = backbone_config(meta, final_norm=False, out_indices=[0])
    assert (config['final_norm'], config['out_indices']) == (False, [0])


def test_backbone_config_of_an_unknown_backbone_raises():
    with pytest.raises(ConversionError, match=r'No backbone is known for None, of x\.pth'):
        backbone_config({'backbone_type': None, 'source_file': 'x.pth'})


def test_architecture_of_an_incomplete_file_raises():
    state = {'backbone.layers.0.attn.qkv.weight': torch.zeros(3, 1)}
    with pytest.raises(ConversionError, match=r'lack backbone\.patch_embed\.projection\.weight'):
        architecture_of(state)


def test_architecture_of_other_networks_is_not_known():
    assert architecture_of({'backbone.conv1.weight': torch.zeros(1)}).backbone_type is None


def test_architecture_of_mae_huge_has_its_eighty_wide_heads():
    shapes = {'patch_embed.projection.weight': (1280, 3, 14, 14), 'pos_embed': (1, 257, 1280)}
    shapes |= {'layers.0.attn.qkv.weight': (3840, 1280), 'cls_token': (1, 1, 1280)}
    shapes['layers.0.ffn.layers.0.0.weight'] = (5120, 1280)
    state = {f'backbone.{k}': torch.empty(shape, device='meta') for k, shape in shapes.items()}
    found = architecture_of(state)
    assert (found.arch['num_heads'], found.arch['img_size']) == (16, 224)


def test_epsilon_of_a_hub_folder_reaches_the_network():
    settings = dict(arch='tiny', patch_size=16, img_size=32)
    state = {f'backbone.{k}': v for k, v in ViT(**settings).state_dict().items()}
    converted = Converted(backbone=state)
    content = {'config.json': {'layer_norm_eps': 1e-12, 'num_attention_heads': 3}}
    found = found_architecture(converted, SOURCES['huggingface'], content)
    config = backbone_config({'backbone_type': found.backbone_type, 'arch': found.arch})
    config.pop('type')
    assert {m.eps for m in ViT(**config).modules() if hasattr(m, 'eps')} == {1e-12}
