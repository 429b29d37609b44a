"""``--keep-decoder`` fills this project's and mmpretrain's pre-training models, strictly."""

import pytest
import torch

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.conversion.swin_keys import COLUMN_FIRST, source_order
from mim_bench.registry import MODELS

VIT = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
PROJECTOR = {'fc0': '0', 'bn0': '1', 'fc1': '3', 'bn1': '4', 'fc2': '6', 'bn2': '7'}


def simmim_swin():
    backbone = dict(
        type='mmpretrain.SimMIMSwinTransformer',
        arch=dict(embed_dims=8, depths=[1, 2], num_heads=[1, 2]),
        img_size=32,
        out_indices=(1,),
        stage_cfgs=dict(block_cfgs=dict(window_size=2)),
    )
    neck = dict(type='mmpretrain.SimMIMLinearDecoder', in_channels=16, encoder_stride=8)
    loss = dict(type='PixelReconstructionLoss', criterion='L1', channel=3)
    head = dict(type='mmpretrain.SimMIMHead', patch_size=4, loss=loss)
    return dict(type='mmpretrain.SimMIM', backbone=backbone, neck=neck, head=head)


def conmim_vit():
    projector = dict(in_channels=16, hid_channels=8, out_channels=4)
    return dict(
        type='mim_bench.ConMIM',
        backbone=dict(type='mim_bench.ConMIMViT', arch=VIT, img_size=32),
        neck=dict(type='mim_bench.ConMIMProjector', **projector),
        head=dict(type='mim_bench.PatchContrastHead'),
    )


def ummae_vit():
    decoder = dict(num_patches=16, patch_size=16, embed_dims=8, depth=1, num_heads=2)
    return dict(
        type='mim_bench.UMMAE',
        backbone=dict(type='mim_bench.UMMAEPretrainViT', arch=VIT, img_size=64),
        neck=dict(type='mim_bench.UMMAEViTDecoder', in_dims=16, **decoder),
        head=dict(type='mim_bench.UMMAEHead', patch_size=16),
    )


def simmim_names(key, value):
    key = key.replace('neck.decoder', 'decoder') if key.startswith('neck.') else f'encoder.{key}'
    key = key.replace('encoder.backbone.', 'encoder.').replace('encoder.norm1.', 'encoder.norm.')
    return key, source_order(value, COLUMN_FIRST) if '.downsample.' in key else value


def conmim_names(key, value):
    part, _, rest = key.partition('.')
    if part == 'neck':
        layer, _, leaf = rest.partition('.')
        return f'projectors.{PROJECTOR[layer]}.{leaf}', value
    return key, value


def same_names(key, value):
    return key, value


CASES = {
    'simmim': (simmim_swin, simmim_names),
    'conmim': (conmim_vit, conmim_names),
    'ummae': (ummae_vit, same_names),
}


@pytest.mark.parametrize('source', CASES)
def test_convert_keep_decoder_fills_the_pretraining_model(source, redrawn, official, tmp_path):
    config, rename = CASES[source]
    model = redrawn(MODELS.build(config()))
    own = {k: v for k, v in model.state_dict().items() if not k.startswith('teacher.')}
    # Names of encoder and decoder first, where the source has others.
    state = dict(rename(key, value) for key, value in own.items())
    state = {_inner(key, official): value for key, value in state.items()}
    torch.save({'model': state}, tmp_path / 'official.pth')
    file = convert_checkpoint(tmp_path / 'official.pth', tmp_path / 'a.pth', keep_decoder=True)
    assert (file.source, file.dropped) == (source, [])
    weights = read_checkpoint(file.path)['state_dict']
    torch.testing.assert_close(weights, own, rtol=0, atol=0)
    model.load_state_dict(weights, strict=True)


def _inner(key, official):
    """The official name; of what stands in SimMIM's encoder without its prefix."""
    prefix = 'encoder.' if key.startswith('encoder.') else ''
    if key.startswith('decoder.'):
        return key
    name = next(iter(official({key.removeprefix(prefix): None})))
    return prefix + name
