"""ViT with mask tokens: mmpretrain's numbers, what may be left out, what is hidden."""

import pytest
import torch
from mmpretrain.models.selfsup.maskfeat import MaskFeatViT

from mim_bench.errors import ConfigError
from mim_bench.masking.checkerboard import checkerboard_mask
from mim_bench.models.methods.symmim import MaskTokenViT

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)


def build(**kwargs):
    torch.manual_seed(0)
    backbone = MaskTokenViT(ARCH, img_size=64, **kwargs)
    backbone.init_weights()
    return backbone


def batch():
    torch.manual_seed(1)
    masks = [checkerboard_mask((4, 4), 1, parity=parity) for parity in (0, 1, 1)]
    return torch.randn(3, 3, 64, 64), torch.stack([torch.from_numpy(mask) for mask in masks])


def test_mask_token_vit_gives_the_tokens_of_mmpretrains_masked_vit():
    backbone, (images, mask) = build(), batch()
    reference = MaskFeatViT(ARCH, img_size=64)
    reference.load_state_dict(backbone.state_dict(), strict=True)
    expected = reference(images, mask.flatten(1).long())
    torch.testing.assert_close(backbone(images, mask)[0], expected, rtol=1e-5, atol=1e-5)


def test_mask_token_vit_hidden_are_the_class_token_and_the_hidden_patches_of_all():
    backbone, (images, mask) = build(), batch()
    everything = backbone(images, mask)[0]
    expected = everything[:, 1:][mask.flatten(1)].reshape(3, 8, 16)
    found = backbone(images, mask, wanted='hidden')[0]
    torch.testing.assert_close(found[:, 0], everything[:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[:, 1:], expected, rtol=1e-5, atol=1e-5)


def test_mask_token_vit_class_is_the_class_token_of_all():
    backbone, (images, mask) = build(), batch()
    found = backbone(images, mask, wanted='class')[0]
    expected = backbone(images, mask)[0][:, :1]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_mask_token_vit_hidden_has_the_gradients_of_all():
    images, mask = batch()
    gradients = []
    for wanted in ('all', 'hidden'):
        backbone = build()
        tokens = backbone(images, mask, wanted=wanted)[0]
        patches = tokens[:, 1:]
        hidden = patches if wanted == 'hidden' else patches[mask.flatten(1)]
        (hidden.square().sum() + tokens[:, 0].sum()).backward()
        gradients.append({n: p.grad for n, p in backbone.named_parameters() if p.requires_grad})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-4)


def test_mask_token_vit_without_mask_encodes_images_of_any_size():
    assert build()(torch.randn(1, 3, 96, 64))[0].shape == (1, 1 + 24, 16)


def test_mask_token_vit_positions_are_fixed_and_the_class_token_has_none():
    backbone = build()
    assert not backbone.pos_embed.requires_grad
    assert (backbone.pos_embed[:, 0] == 0).all()
    # The first patch stands at row 0 and column 0: sines are 0, cosines 1.
    assert backbone.pos_embed[0, 1].tolist() == [0, 0, 0, 0, 1, 1, 1, 1] * 2


def test_mask_token_vit_frozen_patch_embed_gets_no_gradient():
    backbone, (images, mask) = build(freeze_patch_embed=True), batch()
    backbone(images, mask)[0].sum().backward()
    assert all(p.grad is None for p in backbone.patch_embed.parameters())
    assert backbone.mask_token.grad is not None


@pytest.mark.parametrize(
    ('size', 'num_hidden', 'wanted', 'message'),
    [
        (64, 8, 'visible', 'is none of'),
        (96, 8, 'all', r'images of \(96, 96\) pixels'),
        (64, 9, 'hidden', 'must leave the same number'),
    ],
)
def test_mask_token_vit_wrong_input_raises(size, num_hidden, wanted, message):
    _, mask = batch()
    mask[0].view(-1)[:] = torch.arange(16) < num_hidden
    with pytest.raises(ConfigError, match=message):
        build()(torch.randn(3, 3, size, size), mask, wanted=wanted)
