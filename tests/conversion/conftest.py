"""Weights of toy models under the names of the official repositories."""

import pytest
import torch

# What official files call the parts of a block, in the order in which to replace.
_PARTS = {
    'patch_embed.projection.': 'patch_embed.proj.',
    '.ln1.': '.norm1.',
    '.ln2.': '.norm2.',
    '.ffn.layers.0.0.': '.mlp.fc1.',
    '.ffn.layers.1.': '.mlp.fc2.',
    '.attn.w_msa.': '.attn.',
}
_STARTS = {
    'layers.': 'blocks.',
    'stages.': 'layers.',
    'ln1.': 'norm.',
    'ln2.': 'fc_norm.',
    'neck.ln1.': 'decoder_norm.',
    'neck.patch_aggregation.': 'cls_pt_layers.',
    'neck.norm.': 'norm.',
    'neck.': '',
    'head.cls_head.': 'lm_head.',
    'head.fc.': 'head.',
}


def _official(key: str) -> str:
    key = key.removeprefix('backbone.')
    start = next((start for start in _STARTS if key.startswith(start)), '')
    key = _STARTS.get(start, '') + key.removeprefix(start)
    for ours, theirs in _PARTS.items():
        key = key.replace(ours, theirs)
    return key


@pytest.fixture(scope='session')
def official():
    """A function: weights under mmpretrain's names to official names of MAE, BEiT, Swin."""
    return lambda state: {_official(key): value for key, value in state.items()}


@pytest.fixture(scope='session')
def redrawn():
    """A function: a model with every parameter random, so that nothing is zero or one."""

    def redraw(model: torch.nn.Module) -> torch.nn.Module:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        model.eval()
        return model

    return redraw
