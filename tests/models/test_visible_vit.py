"""The visible-patch ViT: same numbers as the full network, hidden pixels unseen."""

import pytest
import torch

from mim_bench.conversion.resizing.sincos import sincos_position_embedding
from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.registry import MODELS

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)


def build(**kwargs) -> torch.nn.Module:
    settings = dict(arch=ARCH, img_size=(32, 48), patch_size=8) | kwargs
    backbone = MODELS.build(dict(type='mim_bench.VisibleViT', **settings))
    torch.manual_seed(0)
    backbone.init_weights()
    backbone.eval()  # mmpretrain's returns nothing
    return backbone


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(2, 24, generator=generator)
    mask = (noise.argsort(1).argsort(1) >= 6).reshape(2, 4, 6)
    return torch.randn(2, 3, 32, 48, generator=generator), mask


@pytest.mark.parametrize(
    ('arch', 'millions'), [('small', 21.666), ('base', 85.799), ('large', 303.302)]
)
def test_visible_vit_has_the_parameters_of_mae(arch, millions):
    with torch.device('meta'):
        backbone = MODELS.build(dict(type='mim_bench.VisibleViT', arch=arch))
    count = sum(p.numel() for p in backbone.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=1e-3)


def test_visible_vit_positions_are_the_fixed_table():
    backbone = build()
    assert not backbone.pos_embed.requires_grad
    assert (backbone.pos_embed[:, 0] == 0).all()
    assert torch.equal(backbone.pos_embed[0, 1:], sincos_position_embedding((4, 6), 16))


def test_visible_vit_embeds_as_the_full_network_does():
    backbone = build()
    images, mask = make_batch()
    tokens = backbone.patch_embed(images).flatten(1, 2)
    tokens = tokens + backbone.pos_embed[:, 1:]
    expected = tokens[~mask.flatten(1)].reshape(2, 6, 16)
    ours = backbone.embed_visible(images, Mask.of(mask))
    torch.testing.assert_close(ours[:, 1:], expected)
    torch.testing.assert_close(ours[:, :1], backbone.cls_token.expand(2, -1, -1))


def test_visible_vit_with_nothing_hidden_gives_the_features_of_the_full_image():
    backbone = build()
    images, mask = make_batch()
    (full,) = backbone(images)
    (masked,) = backbone(images, torch.zeros_like(mask))
    torch.testing.assert_close(masked, full)


def test_visible_vit_without_final_norm_has_none():
    backbone = build(final_norm=False)
    assert not [name for name in backbone.state_dict() if name.startswith('ln1')]
    (tokens,) = backbone(*make_batch())
    assert tokens.mean(-1).abs().max() > 1e-3  # a norm would have centred them


def test_visible_vit_other_image_size_with_mask_raises():
    images, mask = make_batch()
    with pytest.raises(ConfigError, match='made for'):
        build(img_size=64)(images, mask)
