"""UM-MAE's ViT: secondary masking in the sequence of the sampled patches."""

import numpy as np
import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.masking.uniform import secondary_mask, uniform_mask
from mim_bench.registry import MODELS

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)


def build(**kwargs) -> torch.nn.Module:
    sizes = dict(arch=ARCH, img_size=64, patch_size=16)
    backbone = MODELS.build(dict(type='mim_bench.UMMAEPretrainViT', **sizes, **kwargs))
    backbone.init_weights()
    backbone.eval()
    return backbone


def make_masks(ratio: float) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    masks = [uniform_mask((4, 4), rng) for _ in range(3)]
    hidden = [secondary_mask(mask, ratio, rng) for mask in masks]
    return torch.from_numpy(np.stack(masks)), torch.from_numpy(np.stack(hidden))


def test_ummae_vit_has_the_published_parameters():
    with torch.device('meta'):
        parts = [
            MODELS.build(dict(type='mim_bench.UMMAEPretrainViT', arch='base')),
            MODELS.build(dict(type='mim_bench.UMMAEViTDecoder', in_dims=768, num_patches=196)),
        ]
    count = sum(p.numel() for part in parts for p in part.parameters())
    assert count / 1e6 == pytest.approx(92.994, abs=1e-3)


def test_ummae_vit_hidden_patch_is_the_token_at_its_own_position():
    backbone, (mask, hidden) = build(), make_masks(0.5)
    tokens = backbone.embed_visible(torch.randn(3, 3, 64, 64), Mask.of(mask))
    found = backbone.hide(tokens, Mask.of(mask), Mask.of(hidden))
    assert torch.equal(found[:, 0], tokens[:, 0])
    for b in range(3):
        sampled = (~mask[b]).flatten().nonzero().flatten().tolist()
        assert len(sampled) == 4
        for i, patch in enumerate(sampled, start=1):
            expected = tokens[b, i]
            if hidden[b].flatten()[patch]:
                expected = backbone.vis_mask_token[0, 0] + backbone.pos_embed[0, 1 + patch]
            torch.testing.assert_close(found[b, i], expected)


def test_ummae_vit_without_secondary_masking_is_maes_encoder():
    with_token, without = build(), build(secondary_masking=False)
    state = with_token.state_dict()
    del state['vis_mask_token']
    without.load_state_dict(state, strict=True)
    images, (mask, hidden) = torch.randn(3, 3, 64, 64), make_masks(0.0)
    torch.testing.assert_close(with_token(images, mask, hidden), without(images, mask))
    with pytest.raises(ConfigError, match='no secondary mask token'):
        without(images, mask, hidden)


def test_ummae_vit_token_learns_from_hidden_patches_only():
    backbone = build()
    for ratio, learns in ((0.0, False), (0.5, True)):
        backbone.zero_grad()
        backbone(torch.randn(3, 3, 64, 64), *make_masks(ratio))[0].square().sum().backward()
        assert bool(backbone.vis_mask_token.grad.abs().sum() > 0) == learns
