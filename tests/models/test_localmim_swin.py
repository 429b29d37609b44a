"""LocalMIM's Swin: equal to the dense network where nothing is hidden, and blind to the rest."""

import numpy as np
import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.masking.units import mask_of_tokens, unit_mask
from mim_bench.models.methods.localmim_swin import GroupLayout, LocalMIMSwin
from mim_bench.registry import MODELS

ARCH = dict(embed_dims=8, depths=(2, 2, 1, 2), num_heads=(1, 2, 2, 4))
TINY = dict(embed_dims=8, depths=(2, 1), num_heads=(1, 2))


def build(arch=ARCH, *, random: bool = True, **kwargs) -> LocalMIMSwin:
    torch.manual_seed(0)
    model = MODELS.build(dict(type='mim_bench.LocalMIMSwin', arch=arch, **kwargs))
    if random:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)  # nothing accidentally zero
    return model


def draw_mask(rows: int, cols: int, ratio: float = 0.6) -> torch.Tensor:
    return torch.from_numpy(unit_mask((rows, cols), ratio, np.random.default_rng(0)))[None]


def visible_places(mask: torch.Tensor, tokens_per_unit: int) -> torch.Tensor:
    return mask_of_tokens(Mask.of(mask), tokens_per_unit).visible[0]


def encode(model: LocalMIMSwin, images: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
    return model(images, model.plan_mask(mask))


def dense_features(model: LocalMIMSwin, images: torch.Tensor) -> list[torch.Tensor]:
    """Every stage after its merging, (B, tokens, C) in raster order, without a mask."""
    features = []
    for stage, x in zip(model.stages, model(images), strict=True):
        x = x.permute(0, 2, 3, 1)
        x = x if stage.downsample is None else stage.downsample(x)
        features.append(x.flatten(1, 2))
    return features


# At 224 px, window 14 shifts one stage, window 7 three; the last stage is one window.
@pytest.mark.parametrize(('size', 'window'), [(224, 7), (224, 14), (128, 8), (192, 3)])
@torch.no_grad()
def test_localmim_swin_nothing_hidden_equals_the_dense_network(size, window):
    model = build(img_size=size, window_size=window, out_indices=range(4))
    images = torch.randn(2, 3, size, size)
    mask = torch.zeros(1, size // 32, size // 32, dtype=torch.bool)
    expected = dense_features(model, images)
    for i, ours in enumerate(encode(model, images, mask)):
        places = visible_places(mask, max(4 // 2**i, 1))
        torch.testing.assert_close(ours, expected[i][:, places], rtol=1e-4, atol=1e-4)


def plain_block(block, x, places, num_heads, window, shift):
    """A Swin block on tokens at some places: every pair in one matrix."""
    msa, span = block.attn.w_msa, 2 * window - 1
    b, n, c = x.shape
    q, k, v = msa.qkv(block.norm1(x)).reshape(b, n, 3, num_heads, -1).permute(2, 0, 3, 1, 4)
    cell = (places - shift).div(window, rounding_mode='floor')
    together = (cell[:, None] == cell[None]).all(-1)
    delta = places[:, None] - places[None] + window - 1
    index = (delta[..., 0] * span + delta[..., 1]).where(together, 0)
    bias = msa.relative_position_bias_table[index].permute(2, 0, 1)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias
    weights = scores.masked_fill(~together, float('-inf')).softmax(-1)
    x = x + msa.proj((weights @ v).transpose(1, 2).reshape(b, n, c))
    return x + block.ffn.layers(block.norm2(x))


@pytest.mark.parametrize('odd', [0, 1])
def test_block_on_groups_equals_attention_over_every_pair(odd):
    model = build(TINY, img_size=112, window_size=7, patch_size=4).double()
    mask = draw_mask(14, 14, 0.5)  # 97 units of 2x2 tokens: several groups
    plans = model.plan_mask(mask).plans[0]
    assert plans[odd].slots is not None
    raster = visible_places(mask, 2)
    places = torch.stack((raster // 28, raster % 28), -1)
    block = model.stages[0].blocks[odd]
    inputs = torch.randn(2, len(places), 8, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, len(places), 8, dtype=torch.float64)
    ours = block(inputs, [GroupLayout(plan) for plan in plans])
    expected = plain_block(block, inputs, places, 1, window=7, shift=3 * odd)
    torch.testing.assert_close(ours, expected)
    variables = [inputs, *block.parameters()]
    grads, expected_grads = (
        torch.autograd.grad((out * weights).sum(), variables) for out in (ours, expected)
    )
    torch.testing.assert_close(grads, expected_grads)


@pytest.mark.parametrize('size', [(64, 96), (160, 160)])
def test_localmim_swin_trains_at_sizes_that_windows_do_not_divide(size):
    model = build(img_size=160, window_size=7)
    mask = draw_mask(size[0] // 32, size[1] // 32, 0.3)
    features = encode(model, torch.randn(1, 3, *size), mask)
    assert [x.shape[-1] for x in features] == [16, 32, 64, 64]
    assert features[0].shape[1] == 16 * features[-1].shape[1]
    sum(x.square().sum() for x in features).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(('size', 'grid'), [(224, (6, 7)), (100, (3, 3)), (128, (14, 14))])
def test_localmim_swin_mask_that_does_not_fit_raises(size, grid):
    model, mask = build(img_size=224), torch.zeros(1, *grid, dtype=torch.bool)
    with pytest.raises(ConfigError, match='whole units of 32 px'):
        encode(model, torch.randn(1, 3, size, size), mask)


def test_localmim_swin_different_masks_in_a_batch_raise():
    model, mask = build(img_size=128, window_size=4), draw_mask(4, 4)
    with pytest.raises(ConfigError, match='2 images with different masks'):
        model.plan_mask(torch.cat((mask, mask.flip(1, 2))))


def test_localmim_swin_mask_without_a_plan_is_planned_with_a_warning():
    model, images = build(img_size=128, window_size=4), torch.randn(2, 3, 128, 128)
    masks = draw_mask(4, 4).repeat(2, 1, 1)
    with pytest.warns(UserWarning, match=r'window_sizes=\[4, 4, 4, 4\]'):
        features = model(images, masks)
    torch.testing.assert_close(features, encode(model, images, masks), rtol=0, atol=0)


def test_localmim_swin_windows_planned_for_another_network_raise():
    mask = build(img_size=128, window_size=8).plan_mask(draw_mask(4, 4))
    with pytest.raises(ConfigError, match=r'planned for \(8, 8, 8, 4\)'):
        build(img_size=128, window_size=4)(torch.randn(1, 3, 128, 128), mask)


def test_localmim_swin_window_is_no_larger_than_a_stage():
    assert build(img_size=224, window_size=14).window_sizes == (14, 14, 14, 7)
    assert build(img_size=224, window_size=7).window_sizes == (7, 7, 7, 7)


def test_localmim_swin_has_the_parameters_of_mmpretrain():
    ours = build(img_size=224)
    plain = MODELS.build(dict(type='mmpretrain.SwinTransformer', arch=ARCH, norm_cfg=None))
    assert {k: v.shape for k, v in ours.named_parameters()} == {
        k: v.shape for k, v in plain.named_parameters()
    }


def test_localmim_swin_init_is_xavier_with_normal_tables():
    arch = dict(embed_dims=96, depths=(1, 1, 1), num_heads=(3, 6, 12))
    model = build(arch, random=False)
    model.init_weights()
    weight = model.stages[1].downsample.reduction.weight
    bound = (6 / sum(weight.shape)) ** 0.5
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    patches = model.patch_embed.projection.weight
    assert patches.abs().max() <= (6 / (96 + 48)) ** 0.5
    assert model.stages[0].blocks[0].attn.w_msa.qkv.bias.abs().max() == 0
    table = model.stages[2].blocks[0].attn.w_msa.relative_position_bias_table
    assert table.std().item() == pytest.approx(0.02, rel=0.1)
