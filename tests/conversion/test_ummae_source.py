"""The source of UM-MAE's files: which it takes, what it reads off them, how it renames."""

import pytest
import torch

from mim_bench.conversion.architecture import architecture_of
from mim_bench.conversion.detection import find_source
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
    state |= weights(
        **{'blocks.0.attn.qkv.bias': (384,), 'patch_embed.proj.weight': (128, 3, 16, 16)}
    )
    state |= weights(cls_token=(1, 1, 128), pos_embed=(1, 17, 128), vis_mask_token=(1, 1, 128))
    state |= weights(**{'norm.weight': (128,), 'decoder_norm.weight': (32,)})
    return state | weights(**{'decoder_blocks.0.norm2.weight': (32,)})


def sizes_of(state):
    return architecture_of(SOURCE.convert(state, 'x.pth').backbone)


@pytest.mark.parametrize(
    ('state', 'backbone'), [(pvt(), 'mim_bench.UMMAEPvt'), (vit(), 'mim_bench.ViT')]
)
def test_ummae_source_alone_takes_its_files(state, backbone):
    assert find_source(state, 'official.pth') is SOURCE
    assert sizes_of(state).backbone_type == backbone


def test_ummae_source_leaves_a_vit_without_the_secondary_token_to_mae():
    state = {key: value for key, value in vit().items() if key != 'vis_mask_token'}
    assert find_source(state | weights(**{'decoder_embed.weight': (8, 8)}), 'x').name == 'mae'


def test_ummae_source_other_network_raises():
    with pytest.raises(ConversionError, match=r'swin\.pth: is not a checkpoint of UM-MAE'):
        SOURCE.convert(weights(**{'layers.0.blocks.0.attn.qkv.weight': (3, 1)}), 'swin.pth')


def test_ummae_source_tells_its_simmim_baseline_by_the_missing_decoder():
    state = {k: v for k, v in pvt().items() if k != 'vis_mask_token'}
    assert SOURCE.method_of(pvt()) == 'ummae'
    assert SOURCE.method_of(state) == 'simmim'
    state |= weights(**{'decoder_pred.weight': (48, 128), 'decoder_pred.bias': (48,)})
    converted = SOURCE.convert(state, 'simmim.pth')
    assert 'backbone.mask_token' in converted.backbone
    assert set(converted.rest) == {'neck.decoder.0.weight', 'neck.decoder.0.bias'}


def test_ummae_source_takes_a_finetuned_vit_by_name_only():
    state = {k: v for k, v in vit().items() if 'decoder' not in k and k != 'vis_mask_token'}
    state |= weights(**{'fc_norm.weight': (128,), 'head.weight': (5, 128)})
    with pytest.raises(ConversionError, match=r"fits: \['localmim', 'mae', 'timm', 'ummae'\]"):
        find_source(state, 'x.pth')
    assert 'backbone.ln2.weight' in SOURCE.convert(state, 'x.pth').backbone


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
