"""LocalMIM's official ViT checkpoints: every key has its place."""

import pytest
import torch

from mim_bench.conversion.architecture import architecture_of
from mim_bench.conversion.source import Fit
from mim_bench.conversion.sources import SOURCES
from mim_bench.registry import MODELS

BLOCK = ('norm1', 'norm2', 'attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2')
# Layers with weights of each prediction head, by their place in the official sequence.
PREDICTIONS = {
    '0': {0: (8, 4, 2, 2), 1: (4,), 3: (4, 2, 2, 2), 4: (27, 2, 1, 1)},
    '1': {0: (8, 4, 2, 2), 1: (27, 4, 1, 1)},
    '2': {0: (27, 8, 1, 1)},
    '3': {1: (27, 8, 1, 1)},
}


def official_state(*, hog_bias: bool = False) -> dict[str, torch.Tensor]:
    names = ['patch_embed.proj']
    names += [f'blocks.{i}.{part}' for i in range(4) for part in BLOCK]
    state = {'cls_token': torch.zeros(1, 1, 16), 'pos_embed': torch.zeros(1, 17, 16)}
    for k, layers in PREDICTIONS.items():
        names += [f'norm.{k}', f'decoder.{k}.embed', f'decoder.{k}.norm']
        names += [f'decoder.{k}.blocks.0.{part}' for part in BLOCK]
        state[f'decoder.{k}.mask_token'] = torch.zeros(1, 1, 8)
        state[f'decoder.{k}.pos_embed'] = torch.zeros(1, 17, 8)
        state[f'hog_enc.{k}.conv.weight'] = torch.zeros(2, 1, 3, 3)
        if hog_bias:
            state[f'hog_enc.{k}.conv.bias'] = torch.zeros(2)
        for i, shape in layers.items():
            state[f'decoder.{k}.pred.{i}.weight'] = torch.zeros(shape)
            state[f'decoder.{k}.pred.{i}.bias'] = torch.zeros(shape[0])
    for name in names:
        shape = (16, 32) if name.endswith('fc2') else (32, 3, 16, 16)
        state |= {f'{name}.weight': torch.zeros(shape), f'{name}.bias': torch.zeros(32)}
    return state


def build_keys(*, hog_bias: bool) -> set[str]:
    arch = dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32)
    model = MODELS.build(
        dict(
            type='mim_bench.LocalMIM',
            backbone=dict(
                type='mim_bench.LocalMIMViT', arch=arch, guided_blocks=[0, 1, 2, 3], img_size=64
            ),
            neck=dict(
                type='mim_bench.LocalMIMDecoder',
                in_dims=16,
                grid=(4, 4),
                embed_dims=8,
                num_heads=2,
            ),
            head=dict(type='mim_bench.LocalMIMHead', hog_bias=hog_bias),
        )
    )
    return set(model.state_dict())


@pytest.mark.parametrize('hog_bias', [False, True])
def test_convert_localmim_vit_gives_the_keys_of_the_pretraining_model(hog_bias):
    converted = SOURCES['localmim'].convert(official_state(hog_bias=hog_bias), 'file')
    assert {*converted.backbone, *converted.rest} == build_keys(hog_bias=hog_bias)
    assert converted.dropped == [f'hog_enc.{k}.conv.weight' for k in range(4)]


def test_convert_localmim_vit_backbone_is_a_plain_vit():
    converted = SOURCES['localmim'].convert(official_state(), 'file')
    assert architecture_of(converted.backbone).backbone_type == 'mim_bench.ViT'
    # The norms of the tasks belong to their decoders.
    assert not [key for key in converted.backbone if '.norm' in key]


def test_convert_localmim_vit_tells_prediction_layers_by_shape():
    rest = SOURCES['localmim'].convert(official_state(), 'file').rest
    assert rest['neck.preds.0.ups.1.weight'].shape == (4, 2, 2, 2)
    assert rest['neck.preds.0.norms.0.weight'].shape == (4,)
    assert rest['neck.preds.3.proj.weight'].shape == (27, 8, 1, 1)


def test_localmim_vit_detector_wants_plain_blocks_and_task_decoders():
    state = official_state()
    assert SOURCES['localmim'].detect(state, {}) is Fit.MARK
    assert not SOURCES['localmim'].detect(
        {f'encoder.{key}': value for key, value in state.items()}, {}
    )
    without = {k: v for k, v in state.items() if not k.startswith('decoder.')}
    assert not SOURCES['localmim'].detect(without, {})
