"""LocalMIM's Swin files: names, and the order of the merged neighbours."""

import pytest
import torch

from mim_bench.conversion.backbone_config import backbone_config
from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.detection import find_source
from mim_bench.conversion.sources import SOURCES
from mim_bench.errors import ConversionError
from mim_bench.registry import MODELS

LAYER = 'encoder.layers.0.'
MERGING = 'backbone.stages.0.downsample.'


def official_state() -> dict[str, torch.Tensor]:
    return {
        'encoder.patch_embed.proj.weight': torch.zeros(1, 3, 4, 4),
        f'{LAYER}blocks.0.attn.relative_position_bias_table': torch.zeros(169, 1),
        f'{LAYER}blocks.1.mlp.fc2.bias': torch.zeros(1),
        # Two channels of four neighbours: 10 * neighbour + channel.
        f'{LAYER}downsample.norm.weight': torch.tensor([0, 1, 10, 11, 20, 21, 30, 31]),
        f'{LAYER}downsample.reduction.weight': torch.arange(16).reshape(2, 8),
        'encoder.norm.0.weight': torch.zeros(2),
        'decoder.0.pred.bias': torch.zeros(1),
        'hog_enc.0.conv.weight': torch.zeros(2, 1, 3, 3),
        'hog_enc.0.conv.bias': torch.zeros(2),
    }


def test_localmim_swin_source_is_found_and_alone():
    assert find_source(official_state(), 'x.pth').name == 'localmim'


def test_localmim_swin_source_names_every_key():
    converted = SOURCES['localmim'].convert(official_state(), 'x.pth')
    assert sorted(converted.backbone) == [
        'backbone.patch_embed.projection.weight',
        'backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table',
        'backbone.stages.0.blocks.1.ffn.layers.1.bias',
        f'{MERGING}norm.weight',
        f'{MERGING}reduction.weight',
    ]
    assert sorted(converted.rest) == [
        'head.hog_bias0',
        'neck.decoders.0.norm_in.weight',
        'neck.preds.0.bias',
    ]
    assert converted.dropped == ['hog_enc.0.conv.weight']
    assert converted.reordered == [f'{MERGING}norm.weight', f'{MERGING}reduction.weight']


@pytest.mark.parametrize(
    ('order', 'norm'),
    [
        (None, [0, 10, 20, 30, 1, 11, 21, 31]),
        ('pretrain', [0, 10, 20, 30, 1, 11, 21, 31]),
        ('official-finetune', [0, 20, 10, 30, 1, 21, 11, 31]),
    ],
)
def test_localmim_swin_source_puts_the_channel_before_the_neighbour(order, norm):
    converted = SOURCES['localmim'].convert(official_state(), 'x.pth', merge_order=order)
    assert converted.backbone[f'{MERGING}norm.weight'].tolist() == norm
    order = [[0, 1, 10, 11, 20, 21, 30, 31].index(n) for n in norm]
    assert converted.backbone[f'{MERGING}reduction.weight'][0].tolist() == order


@pytest.mark.parametrize(
    ('options', 'eps'),
    [
        ({}, (1e-6, 1e-6)),
        ({'merge_order': 'official-finetune'}, (1e-6, 1e-5)),
        ({'arch': {'norm2_eps': 1e-4}}, (1e-6, 1e-4)),
    ],
)
def test_localmim_swin_file_gives_a_backbone_with_the_norms_of_its_reader(tmp_path, options, eps):
    torch.save({'model': official_state()}, tmp_path / 'x.pth')
    meta = convert_checkpoint(tmp_path / 'x.pth', tmp_path / 'y.pth', **options).meta
    block = MODELS.build(backbone_config(meta)).stages[0].blocks[0]
    assert (block.norm1.eps, block.norm2.eps) == eps


def test_localmim_swin_unknown_merge_order_raises():
    with pytest.raises(ConversionError, match=r"no merge order 'swapped' \(known: \['official-fin"):
        SOURCES['localmim'].convert(official_state(), 'x.pth', merge_order='swapped')
