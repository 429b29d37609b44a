"""Swin with mask tokens: mmpretrain's numbers, by another way, and what is hidden."""

import pytest
import torch
from mmpretrain.models.selfsup.simmim import SimMIMSwinTransformer

from mim_bench.masking.checkerboard import checkerboard_mask
from mim_bench.models.backbones.simmim_encoders import MaskTokenSwin

SETTINGS = dict(
    arch=dict(embed_dims=8, depths=[2, 2, 2], num_heads=[1, 2, 2]),
    drop_path_rate=0.0,
    out_indices=(2,),
)


def windows(*sizes):
    return [dict(block_cfgs=dict(window_size=size)) for size in sizes]


def batch(size):
    torch.manual_seed(1)
    side = size // 4
    masks = [checkerboard_mask((side, side), 4, parity=parity) for parity in (0, 1)]
    return torch.randn(2, 3, size, size), torch.stack([torch.from_numpy(mask) for mask in masks])


def pair(size, *window_sizes, **kwargs):
    """Mmpretrain's network and ours with the same weights, in float64."""
    torch.manual_seed(0)
    kwargs = {**SETTINGS, 'img_size': size, 'stage_cfgs': windows(*window_sizes), **kwargs}
    theirs, ours = SimMIMSwinTransformer(**kwargs).double(), MaskTokenSwin(**kwargs).double()
    theirs.init_weights()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # nothing is zero or one by chance
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


CASES = {
    'shifted windows': (64, (8, 4, 2), {}),
    'one window in the last stage': (64, (4, 4, 4), {}),
    'windows that do not divide': (64, (6, 8, 4), {}),
    'checkpointing': (64, (4, 4, 2), dict(with_cp=True)),
}


@pytest.mark.parametrize('case', CASES)
def test_mask_token_swin_gives_mmpretrains_maps_and_gradients(case):
    size, window_sizes, kwargs = CASES[case]
    images, mask = batch(size)
    results = []
    for network in pair(size, *window_sizes, **kwargs):
        maps = network(images.double(), mask)
        sum(x.square().sum() for x in maps).backward()
        results.append((maps, {n: p.grad for n, p in network.named_parameters()}))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


def test_mask_token_swin_without_mask_is_mmpretrains_swin():
    theirs, ours = pair(64, 4, 4, 2)
    images = batch(64)[0].double()
    torch.testing.assert_close(ours(images), theirs(images, None), rtol=1e-9, atol=1e-9)
