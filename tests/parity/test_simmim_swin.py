"""mmpretrain's SimMIM, the baseline, against numbers from SimMIM's official code."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.registry import MODELS
from mim_bench.testing.parity import Fixture, assert_reproduces, fixtures


def build_pretraining(fixture: Fixture, folder) -> torch.nn.Module:
    arch = fixture.spec['arch']
    last = len(arch['depths']) - 1
    sides = [arch['img_size'] // arch['patch_size'] // 2**i for i in range(last + 1)]
    model = MODELS.build(
        dict(
            type='mmpretrain.SimMIM',
            backbone=dict(
                type='SimMIMSwinTransformer',
                arch=dict(
                    embed_dims=arch['embed_dim'],
                    depths=arch['depths'],
                    num_heads=arch['num_heads'],
                ),
                img_size=arch['img_size'],
                out_indices=(last,),
                drop_path_rate=0.0,
                stage_cfgs=[
                    dict(block_cfgs=dict(window_size=min(arch['window_size'], side)))
                    for side in sides
                ],
            ),
            neck=dict(
                type='SimMIMLinearDecoder',
                in_channels=arch['embed_dim'] * 2**last,
                encoder_stride=arch['patch_size'] * 2**last,
            ),
            head=dict(
                type='SimMIMHead',
                patch_size=arch['patch_size'],
                loss=dict(type='PixelReconstructionLoss', criterion='L1', channel=3),
            ),
        )
    )
    file = convert_checkpoint(fixture.checkpoint, folder / 'whole.pth', keep_decoder=True)
    model.load_state_dict(read_checkpoint(file.path)['state_dict'], strict=True)
    return model


@pytest.mark.parametrize('fixture', fixtures('pretrain', 'simmim', 'swin'), ids=str)
def test_simmim_swin_pretraining_reproduces_official_numbers(fixture, tmp_path):
    model = build_pretraining(fixture, tmp_path)
    samples = [DataSample() for _ in fixture.io['mask']]
    for sample, mask in zip(samples, torch.from_numpy(fixture.io['mask']), strict=True):
        sample.mask = mask
    loss = model(fixture.images(), samples, mode='loss')['loss']
    assert_reproduces(loss, fixture.io['loss'])
