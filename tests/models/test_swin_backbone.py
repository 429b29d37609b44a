"""The standard Swin: mmpretrain's and mmdet's numbers on any size, what is dropped or frozen."""

import pytest
import torch
from mmdet.models import SwinTransformer as MmdetSwin
from mmpretrain.models import SwinTransformer

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.swin import Swin
from mim_bench.registry import MODELS

ARCH = dict(embed_dims=8, depths=[2, 2, 2], num_heads=[1, 2, 2])
ALL = (0, 1, 2)


def build(**kwargs) -> Swin:
    """In float64, nothing zero or one by chance."""
    torch.manual_seed(0)
    kwargs = {'arch': ARCH, 'window_size': 4, 'out_indices': ALL, 'out_norms': True, **kwargs}
    backbone = MODELS.build(dict(type='mim_bench.Swin', **kwargs)).double()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return backbone


def images(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1)).double()


def results(backbone: torch.nn.Module, x: torch.Tensor) -> tuple:
    """Maps and gradients."""
    maps = tuple(backbone(x))
    sum(out.square().sum() for out in maps).backward()
    return maps, {name: p.grad for name, p in backbone.named_parameters()}


@pytest.mark.parametrize(
    ('size', 'window_size', 'pad_small_map'),
    [
        ((64, 64), 4, False),  # whole windows; the last map is one
        ((64, 128), 4, False),  # one window along one side
        ((135, 170), 4, False),  # padding of patches, windows and mergings
        ((135, 170), 7, True),
        ((50, 40), 7, True),  # maps smaller than a window
    ],
)
def test_swin_gives_mmpretrains_maps_and_gradients(size, window_size, pad_small_map):
    kwargs = dict(window_size=window_size, pad_small_map=pad_small_map)
    ours = build(**kwargs)
    theirs = SwinTransformer(ARCH, out_indices=ALL, drop_path_rate=0.0, **kwargs).double()
    missing, unexpected = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert all(key.endswith('relative_position_index') for key in missing)
    assert not unexpected
    x = images(*size)
    torch.testing.assert_close(results(ours, x), results(theirs, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(('size', 'window_size'), [((135, 170), 4), ((135, 170), 7), ((30, 30), 7)])
def test_swin_with_padded_maps_gives_mmdets_maps(size, window_size):
    ours = build(window_size=window_size, pad_small_map=True)
    theirs = MmdetSwin(
        embed_dims=8,
        depths=(2, 2, 2),
        num_heads=(1, 2, 2),
        strides=(4, 2, 2),
        window_size=window_size,
        out_indices=ALL,
        drop_path_rate=0.0,
    ).double()
    theirs.load_state_dict(ours.state_dict(), strict=False)
    x = images(*size)
    torch.testing.assert_close(ours(x), tuple(theirs(x)), rtol=1e-9, atol=1e-9)


def test_swin_without_gradients_gives_the_same_maps_again():
    backbone, x = build().eval(), images(40, 72)
    expected = backbone(x)
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(backbone(x), expected, rtol=1e-9, atol=1e-9)


def test_swin_window_larger_than_the_map_shrinks_to_it_and_uses_the_middle_of_its_table():
    small, large = build(window_size=4), build(window_size=(4, 4, 6))
    # A map of 4 x 4 in the last stage: offsets of up to 3 out of up to 5.
    for theirs, ours in zip(small.stages[2].blocks, large.stages[2].blocks, strict=True):
        theirs.load_state_dict(
            {k: v for k, v in ours.state_dict().items() if 'table' not in k}, strict=False
        )
        table = ours.attn.w_msa.relative_position_bias_table.unflatten(0, (11, 11))
        middle = table[2:9, 2:9].flatten(0, 1)
        theirs.attn.w_msa.relative_position_bias_table.data.copy_(middle)
    x = torch.randn(2, 4, 4, 32, dtype=torch.float64)
    for backbone in (small, large):
        backbone.eval()
    out = [_run_stage(backbone, 2, x) for backbone in (small, large)]
    torch.testing.assert_close(*out, rtol=1e-9, atol=1e-9)


def _run_stage(backbone: Swin, stage: int, x: torch.Tensor) -> torch.Tensor:
    return backbone.stages[stage](x, _layouts(backbone, stage, x))[0]


def _layouts(backbone: Swin, stage: int, x: torch.Tensor) -> tuple:
    return backbone.layouts(stage, tuple(x.shape[1:3]), x.device)


def test_swin_masked_padding_is_as_if_it_were_not_there():
    # One window of 6 on a map of 4 x 4, not shifted: masked, only the 16 tokens are left.
    arch = dict(embed_dims=8, depths=[1], num_heads=[2])
    kwargs = dict(arch=arch, window_size=6, out_indices=(0,))
    shrunk, x = build(**kwargs), images(16, 16)
    masked = build(**kwargs, pad_small_map=True, mask_padding=True)
    seen = build(**kwargs, pad_small_map=True)
    torch.testing.assert_close(masked(x), shrunk(x), rtol=1e-9, atol=1e-9)
    assert not torch.allclose(seen(x)[0], shrunk(x)[0])


def test_swin_init_weights_is_the_official_one_unless_init_cfg_tells_another():
    arch = dict(embed_dims=64, depths=[1], num_heads=[2])
    weights = {}
    for init_cfg in (None, dict(type='Constant', layer='Linear', val=0.5)):
        backbone = Swin(arch, init_cfg=init_cfg)
        backbone.init_weights()
        msa = backbone.stages[0].blocks[0].attn.w_msa
        assert msa.relative_position_bias_table.std().item() == pytest.approx(0.02, rel=0.2)
        weights[init_cfg is None] = msa.qkv.weight
    assert weights[True].std().item() == pytest.approx(0.02, rel=0.1)
    assert (weights[False] == 0.5).all()


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(arch='huge'), "Swin: unknown arch 'huge'"),
        (dict(window_size=(7, 7)), r'window_size \(7, 7\) for 4 stages'),
        (dict(out_indices=(4,)), r'out_indices \(4,\) of 4 stages'),
        (dict(arch={**ARCH, 'num_heads': [1, 2, 3]}), r'cannot have \[1, 2, 3\] heads'),
    ],
)
def test_swin_sizes_that_do_not_fit_raise(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        Swin(**kwargs)
