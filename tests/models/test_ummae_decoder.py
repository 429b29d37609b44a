"""UM-MAE's decoders against the plain sequence of blocks over all tokens."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.masking.uniform import uniform_mask
from mim_bench.registry import MODELS

WIDTH = 16


def make_mask() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([uniform_mask((4, 4), rng) for _ in range(2)]))


def build(kind: str, **kwargs) -> torch.nn.Module:
    sizes = dict(in_dims=8, num_patches=16, patch_size=4, embed_dims=WIDTH, num_heads=2)
    neck = MODELS.build({'type': f'mim_bench.UMMAE{kind}Decoder', **sizes, **kwargs})
    neck.init_weights()
    return neck


def plain_predictions(neck, seen: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Every block over every token, then the hidden ones."""
    positions = neck.decoder_pos_embed[0, neck.num_extra_tokens :]
    hidden = [neck.mask_token[0] + positions[m.flatten()] for m in mask]
    x = torch.cat((seen, torch.stack(hidden)), dim=1)
    for block in neck.decoder_blocks:
        x = block(x)
    return neck.decoder_pred(neck.ln1(x[:, seen.shape[1] :]))


def assert_same_numbers_and_gradients(neck, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs)
    parameters = [p for p in neck.parameters() if p.requires_grad]
    out = torch.randn_like(ours)
    pairs = [torch.autograd.grad(y, parameters, out, retain_graph=True) for y in (ours, theirs)]
    for found, expected in zip(*pairs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('depth', [1, 2, 3])
def test_vit_decoder_gives_the_numbers_of_plain_blocks(depth):
    neck, mask = build('ViT', depth=depth), make_mask()
    latent = torch.randn(2, 1 + 4, 8)
    positions = neck.decoder_pos_embed[0]
    assert not positions[0].any()  # the class token has no place
    rows = [F.pad(positions[1:][~m.flatten()], (0, 0, 1, 0)) for m in mask]
    seen = neck.decoder_embed(latent) + torch.stack(rows)
    ours, theirs = neck(latent, mask), plain_predictions(neck, seen, mask)
    assert ours.shape == (2, 12, 4 * 4 * 3)
    assert_same_numbers_and_gradients(neck, ours, theirs)


@pytest.mark.parametrize('order', ['cell', 'raster'])
@pytest.mark.parametrize('depth', [1, 2, 3])
def test_pyramid_decoder_gives_the_numbers_of_plain_blocks(depth, order):
    neck, mask = build('Pyramid', depth=depth, decoder_pos_order=order), make_mask()
    latent = torch.randn(2, 8, 1, 1)
    # One token becomes 2x2 vectors: channel c * 4 + place goes to channel c of that place.
    vectors = neck.decoder_embed(latent.flatten(1)).reshape(2, WIDTH, 4).transpose(1, 2)
    grid = torch.arange(16).reshape(4, 4)
    places = []
    for m in mask:
        visible = grid[~m].tolist()
        cells = [grid[i : i + 2, j : j + 2].flatten().tolist() for i in (0, 2) for j in (0, 2)]
        by_cell = [patch for cell in cells for patch in cell if patch in visible]
        places.append(by_cell if order == 'cell' else visible)
    seen = vectors + neck.decoder_pos_embed[0][torch.tensor(places)]
    ours, theirs = neck(latent, mask), plain_predictions(neck, seen, mask)
    assert_same_numbers_and_gradients(neck, ours, theirs)


@pytest.mark.parametrize('grid', [(6, 6), (2, 8)])
def test_decoder_of_another_grid_raises(grid):
    mask = torch.from_numpy(uniform_mask(grid, np.random.default_rng(0)))[None]
    with pytest.raises(ConfigError, match=r'masks of \dx\d patches, but num_patches is 16'):
        build('Pyramid')(torch.randn(1, 8, 1, 1), mask)
    with pytest.raises(ConfigError, match='num_patches is 12'):
        build('Pyramid', num_patches=12)


def test_vit_decoder_class_token_reaches_the_predictions():
    neck, mask, latent = build('ViT'), make_mask(), torch.randn(2, 5, 8)
    before, changed = neck(latent, mask), latent.clone()
    changed[:, 0] += 1
    assert not torch.allclose(neck(changed, mask), before)
