"""ConMIM's official files, and those of this project's own runs: every key has its place."""

import pytest
import torch
from mmpretrain.models import BEiTViT

from mim_bench.conversion.sources import SOURCES

BLOCK = ('norm1', 'norm2', 'attn.proj', 'mlp.fc1', 'mlp.fc2')
SHAPES = {'attn.proj': (8, 8), 'mlp.fc1': (32, 8), 'mlp.fc2': (8, 32)}


def official_encoder(*, table: str) -> dict[str, torch.Tensor]:
    state = {
        'cls_token': torch.zeros(1, 1, 8),
        'patch_embed.proj.weight': torch.zeros(8, 3, 16, 16),
        'patch_embed.proj.bias': torch.zeros(8),
    }
    for i in range(2):
        for part in BLOCK:
            shape = SHAPES.get(part, (8,))
            state[f'blocks.{i}.{part}.weight'] = torch.zeros(shape)
            state[f'blocks.{i}.{part}.bias'] = torch.zeros(shape[0])
        state[f'blocks.{i}.attn.qkv.weight'] = torch.zeros(24, 8)
        names = ('attn.q_bias', 'attn.v_bias', 'gamma_1', 'gamma_2')
        state |= {f'blocks.{i}.{name}': torch.zeros(8) for name in names}
    owners = ['rel_pos_bias'] if table == 'shared' else [f'blocks.{i}.attn' for i in range(2)]
    for owner in owners:
        # 32 px images: 2x2 patches.
        state[f'{owner}.relative_position_bias_table'] = torch.rand(12, 2)
        state[f'{owner}.relative_position_index'] = torch.zeros(5, 5, dtype=torch.long)
    return state


def pretrained() -> dict[str, torch.Tensor]:
    state = official_encoder(table='shared')
    state |= {'mask_token': torch.zeros(1, 1, 8), 'projectors.0.weight': torch.zeros(16, 8)}
    for name in ('norm', 'lm_head', 'projectors.1', 'projectors.4'):
        state |= {f'{name}.weight': torch.zeros(8), f'{name}.bias': torch.zeros(8)}
    state |= {'projectors.3.weight': torch.zeros(16, 16), 'projectors.6.weight': torch.zeros(4, 16)}
    return state | {'projectors.7.running_mean': torch.zeros(4)}


def finetuned() -> dict[str, torch.Tensor]:
    state = official_encoder(table='each block')
    for name in ('fc_norm', 'head'):
        state |= {f'{name}.weight': torch.zeros(8), f'{name}.bias': torch.zeros(8)}
    return state


def test_conmim_pretrained_file_drops_the_unused_layer_only():
    converted = SOURCES['conmim'].convert(pretrained(), 'x.pth')
    assert converted.dropped == ['lm_head.weight', 'lm_head.bias']
    assert 'backbone.mask_token' in converted.backbone
    assert 'backbone.ln1.weight' in converted.backbone
    assert {'neck.fc0.weight', 'neck.bn1.bias', 'neck.bn2.running_mean'} < set(converted.rest)


@pytest.mark.parametrize('make', [pretrained, finetuned])
def test_conmim_encoder_loads_into_mmpretrains_fine_tuning_network(make):
    state = make()
    arch = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=32)
    backbone = BEiTViT(arch, img_size=32, use_abs_pos_emb=False, final_norm=False)
    weights = {
        key.removeprefix('backbone.'): value
        for key, value in SOURCES['conmim'].convert(state, 'x.pth').backbone.items()
    }
    missing, unexpected = backbone.load_state_dict(weights, strict=False)
    # The new norm over the pooled patches; what pre-training alone has.
    assert not [key for key in missing if not key.endswith('relative_position_index')][2:]
    assert set(unexpected) <= {'mask_token', 'ln1.weight', 'ln1.bias'}
    table = state.get('rel_pos_bias.relative_position_bias_table')
    for i, layer in enumerate(backbone.layers):
        name = f'blocks.{i}.attn.relative_position_bias_table'
        expected = state[name] if table is None else table
        assert torch.equal(layer.attn.relative_position_bias_table, expected)


def test_convert_own_file_with_a_teacher_takes_the_teacher():
    state = {
        'backbone.cls_token': torch.zeros(1),
        'neck.fc0.weight': torch.zeros(1),
        'teacher.steps': torch.tensor(3),
        'teacher.module.backbone.cls_token': torch.ones(1),
        'teacher.module.neck.fc0.weight': torch.ones(1),
    }
    converted = SOURCES['mmpretrain'].convert(state, 'epoch_1.pth')
    assert converted.backbone == {'backbone.cls_token': torch.ones(1)}
    assert converted.rest == {'neck.fc0.weight': torch.ones(1)}
    assert converted.dropped == ['backbone.cls_token', 'neck.fc0.weight', 'teacher.steps']
