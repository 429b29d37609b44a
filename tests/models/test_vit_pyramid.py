import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.vit import ViT
from mim_bench.models.necks.vit_pyramid import SimpleFeaturePyramid, ViTPyramid, check_pyramids

GROUP_NORM = dict(type='GN', num_groups=4)


def test_width_that_the_groups_do_not_divide_is_refused_at_planning():
    neck = dict(
        type='mim_bench.ViTPyramid', embed_dims=432, norm_cfg=dict(type='GN', num_groups=32)
    )
    check_pyramids(dict(neck=[dict(neck, embed_dims=448), dict(type='FPN')]))
    with pytest.raises(ConfigError, match='32 groups do not divide a backbone of 432'):
        check_pyramids(dict(neck=neck))


@pytest.mark.parametrize('patch_size', [4, 8, 16, 32])
def test_vit_pyramid_maps_have_the_wanted_strides_whatever_the_patches(patch_size):
    pyramid = ViTPyramid(16, norm_cfg=GROUP_NORM, in_stride=patch_size)
    outs = pyramid([torch.randn(2, 16, 64 // patch_size, 96 // patch_size)] * 4)
    sizes = [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert [out.shape for out in outs] == [(2, 16, *size) for size in sizes]


def test_vit_pyramid_layers_are_those_of_beits_code():
    finest, finer, same, coarser = ViTPyramid(16).levels
    kinds = [nn.ConvTranspose2d, nn.SyncBatchNorm, nn.GELU, nn.ConvTranspose2d]
    assert all(isinstance(layer, kind) for layer, kind in zip(finest, kinds, strict=True))
    assert isinstance(finer, nn.ConvTranspose2d)
    assert isinstance(same, nn.Identity)
    assert isinstance(coarser, nn.MaxPool2d)


def test_vit_pyramid_average_pooling_is_localmims():
    x = torch.randn(1, 16, 4, 4)
    out = ViTPyramid(16, strides=(32,), pooling='avg')([x])[0]
    assert torch.equal(out, F.avg_pool2d(x, 2))


def test_vit_pyramid_other_number_of_taps_raises():
    with pytest.raises(ConfigError, match='3 maps for 4 strides'):
        ViTPyramid(16)([torch.zeros(1, 16, 2, 2)] * 3)


@pytest.mark.parametrize('settings', [dict(in_stride=12), dict(pooling='sum')])
def test_vit_pyramid_unknown_argument_raises(settings):
    with pytest.raises(ConfigError, match='Known'):
        ViTPyramid(16, **settings)


def test_simple_feature_pyramid_levels_come_from_the_last_map():
    pyramid = SimpleFeaturePyramid(16, 8)
    last = torch.randn(2, 16, 8, 12)
    outs = pyramid([torch.zeros(1), last])
    sizes = [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert [out.shape for out in outs] == [(2, 8, *size) for size in sizes]
    assert torch.equal(outs[4], outs[3][..., ::2, ::2])
    sum(out.square().mean() for out in outs).backward()
    assert all(p.grad is not None for p in pyramid.parameters())


def test_simple_feature_pyramid_widths_are_vitdets():
    pyramid = SimpleFeaturePyramid(16, 8, with_pooled_level=False)
    convs = [
        m for m in pyramid.levels[0].modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
    ]
    assert [(conv.in_channels, conv.out_channels) for conv in convs] == [
        (16, 8), (8, 4), (4, 8), (8, 8)
    ]  # fmt: skip
    assert [conv.bias is None for conv in convs] == [False, False, True, True]
    assert {m.eps for m in pyramid.modules() if isinstance(m, nn.LayerNorm)} == {1e-6}
    assert len(pyramid([torch.randn(1, 16, 4, 4)])) == 4


def test_several_maps_of_patches_of_14_px_have_stride_16():
    arch = dict(embed_dims=8, num_layers=2, num_heads=1, feedforward_channels=8)
    images = torch.randn(1, 3, 112, 224)
    one = ViT(arch=arch, patch_size=14, img_size=112)
    assert (one.strides, one(images)[0].shape[2:]) == ((14,), (8, 16))
    two = ViT(arch=arch, patch_size=14, img_size=112, out_indices=(0, 1))
    assert two.strides == (16, 16)
    assert [out.shape[2:] for out in two(images)] == [(7, 14), (7, 14)]
