"""ConMIM's ViT against numbers from the official code."""

import pytest
import torch

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.masking.mask import Mask, take_tokens
from mim_bench.registry import MODELS
from mim_bench.testing.parity import Fixture, assert_reproduces, fixtures

TEACHER_FILE = 'teacher.pth'


def build_pretraining(fixture: Fixture, folder) -> torch.nn.Module:
    spec, arch = fixture.spec, fixture.spec['arch']
    model = MODELS.build(
        dict(
            type='mim_bench.ConMIM',
            backbone=dict(
                type='mim_bench.ConMIMViT',
                arch=dict(
                    embed_dims=arch['embed_dim'],
                    num_layers=arch['depth'],
                    num_heads=arch['num_heads'],
                    feedforward_channels=4 * arch['embed_dim'],
                ),
                img_size=arch['img_size'],
                patch_size=arch['patch_size'],
                use_abs_pos_emb=arch['abs_pos_embed'],
                use_shared_rel_pos_bias=arch['shared_rel_pos_bias'],
                layer_scale_init_value=arch['layer_scale_init'],
            ),
            neck=dict(
                type='mim_bench.ConMIMProjector',
                in_channels=arch['embed_dim'],
                hid_channels=arch['projector_hidden'],
                out_channels=arch['projector_out'],
            ),
            head=dict(type='mim_bench.PatchContrastHead', temperature=spec['temperature']),
            momentum=dict(base_momentum=spec['momentum']),
        )
    )
    student = whole_state(fixture.checkpoint, folder / 'student.pth')
    teacher = whole_state(fixture.folder / TEACHER_FILE, folder / 'teacher.pth')
    state = student | {f'teacher.module.{key}': value for key, value in teacher.items()}
    model.load_state_dict(state | {'teacher.steps': torch.tensor(0)}, strict=True)
    return model.train()


def whole_state(official, canonical) -> dict[str, torch.Tensor]:
    file = convert_checkpoint(official, canonical, keep_decoder=True)
    assert file.source == 'conmim'
    return read_checkpoint(file.path)['state_dict']


@pytest.mark.parametrize('fixture', fixtures('pretrain', 'conmim', 'vit'), ids=str)
def test_conmim_vit_pretraining_reproduces_official_numbers(fixture, tmp_path):
    model, io = build_pretraining(fixture, tmp_path), fixture.io
    side = fixture.spec['arch']['img_size'] // fixture.spec['arch']['patch_size']
    mask = torch.from_numpy(io['mask']).reshape(-1, side, side)
    keys = model.keys(torch.from_numpy(io['image_teacher']).float())
    queries = model.queries(fixture.images(), mask)
    index = Mask.of(mask).hidden
    loss = model.head.loss(take_tokens(queries, index), keys, index)
    assert_reproduces(keys, io['key'])
    assert_reproduces(queries, io['query'])
    assert_reproduces(loss, io['loss'])
    loss.backward()
    grad = model.backbone.patch_embed.projection.weight.grad
    assert_reproduces(grad.norm(), io['grad_norm_patch_embed'])


@pytest.mark.parametrize('fixture', fixtures('pretrain', 'conmim', 'vit'), ids=str)
def test_conmim_vit_teacher_after_one_update_reproduces_official_weights(fixture, tmp_path):
    model = build_pretraining(fixture, tmp_path)
    model.teacher.update_parameters(model, progress=0.0)
    assert_reproduces(model.teacher['backbone'].layers[0].attn.qkv.weight, fixture.io['ema_qkv0'])
