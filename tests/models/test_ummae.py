"""UM-MAE as a model of mmpretrain: sizes, what has a loss, what depends on what."""

import numpy as np
import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.uniform import uniform_mask
from mim_bench.models.backbones.compact_grid import CompactGrid
from mim_bench.models.backbones.ummae_pyramid_layers import PatchEmbed
from mim_bench.registry import MODELS, TRANSFORMS

ARCH = dict(embed_dims=8, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2), posmlp_dims=4)


def build_model(**neck) -> torch.nn.Module:
    model = MODELS.build(
        dict(
            type='mim_bench.UMMAE',
            backbone=dict(type='mim_bench.UMMAEPretrainSwin', arch=ARCH, window_size=8),
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


def make_batch(ratio: float = 0.25) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    transform = TRANSFORMS.build(
        dict(type='mim_bench.UniformMask', input_size=64, secondary_ratio=ratio)
    )
    results = [transform({}) for _ in range(2)]
    images = torch.randn(2, 3, 64, 64)
    return images, *(torch.stack([r[key] for r in results]) for key in ('mask', 'hidden'))


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


def test_ummae_latent_does_not_see_hidden_patches():
    model, (images, mask, hidden) = build_model(), make_batch()
    changed = images.clone()
    pixels = hidden.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, None]
    changed = torch.where(pixels, torch.randn_like(images), images)
    before, after = (model.backbone(x, mask, hidden)[0] for x in (images, changed))
    torch.testing.assert_close(before, after)
    with_seen_change = images + 1.0
    assert not torch.allclose(model.backbone(with_seen_change, mask, hidden)[0], before)


def test_ummae_secondary_masked_patches_get_no_loss():
    model, (images, mask, hidden) = build_model(), make_batch()
    pred = model.predict_hidden(images, mask, hidden).detach()
    target = images.clone().requires_grad_()
    model.head.loss(pred, target, mask).backward()
    patch_grad = target.grad.abs().sum(1).unfold(1, 16, 16).unfold(2, 16, 16).sum((-1, -2))
    assert (patch_grad[mask] > 0).all()
    assert (patch_grad[~mask] == 0).all()


def test_ummae_raster_order_gives_most_visible_patches_another_place():
    rng = np.random.default_rng(0)
    mask = torch.from_numpy(np.stack([uniform_mask((16, 16), rng) for _ in range(500)]))
    places = torch.arange(256).expand(500, 256)
    own = CompactGrid.from_mask(mask).gather(places.reshape(500, 16, 16, 1)).flatten(1)
    raster = places[~mask.flatten(1)].reshape(own.shape)
    # 75.4 % were measured on the official code.
    assert (own != raster).float().mean().item() == pytest.approx(0.754, abs=0.01)
    assert torch.equal(own.sort(dim=1).values, raster)


def test_ummae_decoder_unknown_order_raises():
    with pytest.raises(ConfigError, match='decoder_pos_order'):
        build_model(decoder_pos_order='random')


@pytest.mark.parametrize('size', [(64, 64), (96, 64), (40, 72)])
def test_ummae_swin_gives_four_maps_at_any_size(size):
    backbone = MODELS.build(
        dict(type='mim_bench.UMMAESwin', arch=ARCH, window_size=4, out_indices=(0, 1, 2, 3))
    )
    maps = backbone(torch.randn(1, 3, *size))
    assert [m.shape[1] for m in maps] == [8, 16, 32, 64]
    assert maps[0].shape[-2:] == (size[0] // 4, size[1] // 4)
    maps[-1].sum().backward()


def test_ummae_swin_layer_depth_counts_a_downsample_to_the_block_it_opens():
    backbone = MODELS.build(dict(type='mim_bench.UMMAESwin', arch=ARCH))
    depth = {
        name: backbone.get_layer_depth(name)[0]
        for name in (
            'patch_embed.projection.weight',
            'stages.0.blocks.0.norm1.weight',
            'stages.1.downsample.proj.weight',
            'stages.1.blocks.0.norm1.weight',
            'stages.1.blocks.1.norm1.weight',
            'stages.3.blocks.0.norm1.weight',
        )
    }
    assert list(depth.values()) == [0, 1, 2, 2, 3, 5]
    assert backbone.get_layer_depth('head.fc.weight', 'backbone.') == (6, 7)


def test_ummae_swin_frozen_stages_get_no_gradient():
    backbone = MODELS.build(dict(type='mim_bench.UMMAESwin', arch=ARCH, frozen_stages=2))
    trainable = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert not any(name.startswith(('patch_embed', 'stages.0', 'stages.1')) for name in trainable)
    assert any(name.startswith('stages.2') for name in trainable)


def test_ummae_swin_with_checkpointing_gives_the_same_gradients():
    grads = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = MODELS.build(dict(type='mim_bench.UMMAESwin', arch=ARCH, with_cp=with_cp))
        x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        backbone(x)[0].square().sum().backward()
        grads.append(backbone.stages[0].blocks[0].attn.w_msa.qkv.weight.grad)
    torch.testing.assert_close(*grads)


def test_ummae_swin_unknown_arch_raises():
    with pytest.raises(ConfigError, match='unknown arch'):
        MODELS.build(dict(type='mim_bench.UMMAESwin', arch='huge'))


def test_patch_embedding_leaves_out_what_fills_no_patch_as_a_convolution_does():
    embed = PatchEmbed(3, 8, 4, norm=False)
    images = torch.randn(2, 3, 18, 23)
    torch.testing.assert_close(embed(images), embed.projection(images).permute(0, 2, 3, 1))
