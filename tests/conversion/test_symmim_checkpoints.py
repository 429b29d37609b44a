"""A SymMIM checkpoint becomes a canonical backbone: the online network, for stock classes."""

import pytest
import torch
from mmpretrain.models import SwinTransformer, VisionTransformer

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.registry import MODELS

VIT = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
SWIN = dict(embed_dims=8, depths=[1, 1], num_heads=[1, 2])


def mlp(in_channels):
    return dict(
        type='NonLinearNeck',
        in_channels=in_channels,
        hid_channels=8,
        out_channels=8,
        with_avg_pool=False,
    )


def build(backbone, width, patch_size, pooling):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='mim_bench.SymMIM',
            backbone=backbone,
            neck=mlp(width),
            head=dict(type='mim_bench.HiddenPixelHead', in_dims=width, patch_size=patch_size),
            contrast_head=dict(type='mim_bench.MomentumContrastHead', predictor=mlp(8)),
            pooling=pooling,
        )
    )
    model.init_weights()
    with torch.no_grad():
        for parameter in model.momentum_network.parameters():
            parameter.zero_()  # so that the wrong network would be noticed
    return model.eval()


def vit():
    backbone = dict(type='mim_bench.MaskTokenViT', arch=VIT, img_size=64)
    return build(backbone, 16, 16, 'cls'), VisionTransformer(VIT, img_size=64, out_type='raw')


def swin():
    sizes = dict(arch=SWIN, img_size=64, out_indices=(1,), drop_path_rate=0.0)
    stages = dict(block_cfgs=dict(window_size=8))
    backbone = dict(type='mim_bench.MaskTokenSwin', **sizes, stage_cfgs=stages)
    return build(backbone, 16, 8, 'gap'), SwinTransformer(**sizes, stage_cfgs=stages)


@pytest.mark.parametrize('make', [vit, swin])
def test_convert_symmim_gives_the_online_network_to_the_stock_class(make, tmp_path):
    model, stock = make()
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'epoch_1.pth')
    convert_checkpoint(tmp_path / 'epoch_1.pth', tmp_path / 'canonical.pth')
    state = read_checkpoint(tmp_path / 'canonical.pth')['state_dict']
    stock.load_state_dict({k.removeprefix('backbone.'): v for k, v in state.items()}, strict=True)
    stock.eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(stock(images)[-1], model.extract_feat(images)[-1])
