"""The source of UM-MAE's files: which it takes, what it reads off them, how it renames."""

import pytest
import torch

from mim_bench.conversion.convert import find_source
from mim_bench.conversion.sources import SOURCES
from mim_bench.errors import ConversionError

SOURCE = SOURCES['ummae']


def weights(**shapes) -> dict[str, torch.Tensor]:
    return {key: torch.zeros(shape) for key, shape in shapes.items()}


def block(index: int, dims: int, hidden: int, *attention: str) -> dict[str, torch.Tensor]:
    shapes = {'mlp.fc1.weight': (hidden, dims), 'norm1.bias': (dims,)}
    shapes |= {f'attn.{part}.weight': (dims, dims) for part in attention}
    return weights(**{f'blocks.{index}.{key}': shape for key, shape in shapes.items()})


def pvt() -> dict[str, torch.Tensor]:
    """Three blocks, the second opens the second stage; only what the rules tell apart."""
    parts = ('q', 'kv', 'proj', 'sr', 'norm')
    state = block(0, 64, 512, *parts) | block(1, 128, 512, *parts) | block(2, 128, 512, *parts)
    state |= weights(**{'blocks.1.downsample.proj.bias': (128,), 'norm.weight': (128,)})
    state |= weights(pos_embed=(1, 16, 64), vis_mask_token=(1, 1, 64), mask_token=(1, 1, 32))
    return state | weights(**{'patch_embed.proj.weight': (64, 3, 4, 4)})


def vit() -> dict[str, torch.Tensor]:
    state = block(0, 128, 512, 'qkv', 'proj') | block(1, 128, 512, 'qkv', 'proj')
    state |= weights(cls_token=(1, 1, 128), pos_embed=(1, 17, 128), vis_mask_token=(1, 1, 128))
    state |= weights(**{'norm.weight': (128,), 'decoder_norm.weight': (32,)})
    return state | weights(**{'decoder_blocks.0.norm2.weight': (32,)})


@pytest.mark.parametrize(
    ('state', 'backbone'), [(pvt(), 'mim_bench.UMMAEPvt'), (vit(), 'mmpretrain.VisionTransformer')]
)
def test_ummae_source_alone_takes_its_files(state, backbone):
    assert find_source(state, 'auto', 'official.pth') is SOURCE
    assert SOURCE.backbone_type_of(state) == backbone


def test_ummae_source_leaves_a_vit_without_the_secondary_token_to_mae():
    state = {key: value for key, value in vit().items() if key != 'vis_mask_token'}
    assert not SOURCE.detect(state)
    with pytest.raises(ConversionError, match=r'mae\.pth: is no file of UM-MAE'):
        SOURCE.convert(state, 'mae.pth')


def test_ummae_source_reads_the_sizes_of_a_pvt():
    assert SOURCE.architecture(pvt()) == {
        'embed_dims': [64, 128],
        'depths': [1, 2],
        'num_heads': [1, 2],
        'mlp_ratios': [8, 4],
    }


def test_ummae_source_reads_the_sizes_of_a_vit():
    assert SOURCE.architecture(vit()) == {
        'embed_dims': 128,
        'num_layers': 2,
        'num_heads': 2,
        'feedforward_channels': 512,
    }


def test_ummae_source_renames_a_pvt_by_stages():
    converted = SOURCE.convert(pvt(), 'official.pth')
    assert {
        'backbone.patch_embed.projection.weight',
        'backbone.pos_embed',
        'backbone.vis_mask_token',
        'backbone.stages.0.blocks.0.attn.sr.weight',
        'backbone.stages.1.downsample.proj.bias',
        'backbone.stages.1.blocks.0.ffn.layers.0.0.weight',
        'backbone.stages.1.blocks.1.attn.kv.weight',
        'backbone.norm.weight',
    } <= set(converted.backbone)
    assert set(converted.rest) == {'neck.mask_token'}
    assert not converted.dropped


def test_ummae_source_renames_a_vit_as_mmpretrain_does():
    converted = SOURCE.convert(vit(), 'official.pth')
    assert {
        'backbone.cls_token',
        'backbone.layers.1.attn.qkv.weight',
        'backbone.layers.1.ln1.bias',
        'backbone.layers.0.ffn.layers.0.0.weight',
        'backbone.ln1.weight',
    } <= set(converted.backbone)
    assert set(converted.rest) == {'neck.ln1.weight', 'neck.decoder_blocks.0.ln2.weight'}


def test_ummae_source_unknown_key_raises():
    with pytest.raises(ConversionError, match=r'1 keys have no rule .*: decoder_odd'):
        SOURCE.convert(vit() | weights(decoder_odd=(1,)), 'official.pth')
