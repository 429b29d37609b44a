"""UM-MAE as a model of mmpretrain: sizes, what has a loss, what depends on what."""

import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.models.methods.ummae import kept_patches, token_places
from mim_bench.registry import MODELS, TRANSFORMS

ARCH = dict(embed_dims=8, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2), posmlp_dims=4)


def build_model(*, secondary_masking: bool = True, **neck) -> torch.nn.Module:
    model = MODELS.build(
        dict(
            type='mim_bench.UMMAE',
            backbone=dict(
                type='mim_bench.UMMAEPretrainSwin',
                arch=ARCH,
                window_size=8,
                secondary_masking=secondary_masking,
            ),
            neck=dict(
                type='mim_bench.UMMAEPyramidDecoder',
                in_dims=64,
                num_patches=16,
                embed_dims=16,
                depth=1,
                num_heads=2,
                **neck,
            ),
            head=dict(type='mim_bench.UMMAEHead'),
        )
    )
    model.init_weights()
    return model.eval()


def make_batch(ratio: float = 0.25) -> tuple[torch.Tensor, ...]:
    """Images, ``mask`` and, with a ratio, ``hidden``."""
    torch.manual_seed(0)
    transform = TRANSFORMS.build(
        dict(type='mim_bench.UniformMask', input_size=64, secondary_ratio=ratio)
    )
    results = [transform({}) for _ in range(2)]
    images = torch.randn(2, 3, 64, 64)
    return images, *(torch.stack([r[key] for r in results]) for key in results[0])


@pytest.mark.parametrize(
    ('arch', 'width', 'depth', 'millions'), [('tiny', 768, 2, 35.905), ('large', 1536, 8, 223.830)]
)
def test_ummae_pretraining_has_the_published_parameters(arch, width, depth, millions):
    neck = dict(type='mim_bench.UMMAEPyramidDecoder', in_dims=width, num_patches=256, depth=depth)
    with torch.device('meta'):
        parts = [MODELS.build(dict(type='mim_bench.UMMAEPretrainSwin', arch=arch))]
        parts.append(MODELS.build(neck))
    count = sum(p.numel() for part in parts for p in part.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=1e-3)


@pytest.mark.parametrize(
    ('arch', 'width', 'millions'), [('tiny', 768, 28.268), ('large', 1536, 196.473)]
)
def test_ummae_finetuning_has_the_published_parameters(arch, width, millions):
    with torch.device('meta'):
        backbone = MODELS.build(dict(type='mim_bench.UMMAESwin', arch=arch))
    # The classifier adds a LayerNorm and a linear layer to 1000 classes.
    count = sum(p.numel() for p in backbone.parameters()) + 2 * width + width * 1000 + 1000
    assert count / 1e6 == pytest.approx(millions, abs=1e-3)


def test_ummae_secondary_masked_patches_get_no_loss():
    model, (images, mask, hidden) = build_model(), make_batch()
    pred = model.predict_hidden(images, mask, hidden).detach()
    target = images.clone().requires_grad_()
    model.head.loss(pred, target, mask).backward()
    patch_grad = target.grad.abs().sum(1).unfold(1, 16, 16).unfold(2, 16, 16).sum((-1, -2))
    assert (patch_grad[mask] > 0).all()
    assert (patch_grad[~mask] == 0).all()


def test_ummae_decoder_unknown_order_raises():
    with pytest.raises(ConfigError, match='decoder_pos_order'):
        build_model(decoder_pos_order='random')


def test_ummae_swin_leaves_out_what_fills_no_patch_as_a_convolution_does():
    backbone = MODELS.build(dict(type='mim_bench.UMMAESwin', arch=ARCH, window_size=4))
    images = torch.randn(2, 3, 34, 35)
    torch.testing.assert_close(backbone(images), backbone(images[..., :32, :32]))


def test_kept_patches_are_the_visible_one_of_every_cell():
    mask = torch.ones(1, 2, 4, dtype=torch.bool)
    mask[0, 1, 0] = mask[0, 0, 3] = False  # raster numbers 4 and 3, cells 0 and 1
    assert kept_patches(Mask.of(mask)).tolist() == [[[4, 3]]]


def test_token_places_point_to_the_tokens_of_the_kept_patches():
    # The kept patch is (1, 0) of a grid of 2 x 2, a patch of 2 x 2 tokens.
    places = token_places(torch.tensor([[[2]]]), 2)
    assert places.tolist() == [[[[2, 0], [2, 1]], [[3, 0], [3, 1]]]]


@pytest.mark.parametrize('shape', [(1, 3, 4), (1, 4, 4)])
def test_ummae_masks_that_keep_not_one_patch_a_cell_raise(shape):
    with pytest.raises(ConfigError, match='one patch of every 2x2 cell'):
        kept_patches(Mask.of(torch.zeros(shape, dtype=torch.bool)))


def test_ummae_without_secondary_masking_has_no_token_and_trains_every_parameter():
    model = build_model(secondary_masking=False).train()
    images, mask = make_batch(ratio=0)
    assert 'backbone.vis_mask_token' not in model.state_dict()
    model.head.loss(model.predict_hidden(images, mask, None), images, mask).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_ummae_without_secondary_masking_encodes_as_with_a_mask_that_hides_nothing_more():
    with_token, without = build_model(), build_model(secondary_masking=False)
    state = with_token.state_dict()
    del state['backbone.vis_mask_token']
    without.load_state_dict(state, strict=True)
    images, mask = make_batch(ratio=0)
    torch.testing.assert_close(
        without.backbone(images, mask, None), with_token.backbone(images, mask, mask)
    )


@pytest.mark.parametrize('secondary_masking', [True, False])
def test_ummae_secondary_masking_in_the_network_or_the_masks_alone_raises(secondary_masking):
    model = build_model(secondary_masking=secondary_masking)
    images, *masks = make_batch(ratio=0 if secondary_masking else 0.25)
    with pytest.raises(ConfigError, match='secondary mask token'):
        model.backbone(images, *masks)
