"""What every backbone of the ViT family keeps, however it computes."""

import pytest
import torch
from torch import nn

from mim_bench.masking.mask import Mask
from mim_bench.models.layers.patches import filled_up
from mim_bench.models.layers.transformer import TransformerBlock
from mim_bench.registry import MODELS

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
BEIT = dict(abs_pos='none', rel_pos_bias='per_block', qkv_bias='qv', layer_scale=0.1)
DENSE = {
    'plain': dict(type='mim_bench.ViT', drop_path_rate=0.1),
    'beit': dict(type='mim_bench.ViT', **BEIT),
    'shared table': dict(type='mim_bench.ViT', **BEIT | dict(rel_pos_bias='shared')),
    'windows': dict(type='mim_bench.ViT', **BEIT, window_size=3, global_blocks=(1,)),
    'decomposed': dict(
        type='mim_bench.ViT',
        rel_pos_bias='decomposed',
        window_size=3,
        pad_windows=True,
        global_blocks=(1,),
    ),
}
MASKED = {
    'visible': dict(type='mim_bench.VisibleViT'),
    'localmim': dict(type='mim_bench.LocalMIMViT', guided_blocks=[0, 1]),
    'mask tokens': dict(type='mim_bench.MaskTokenViT'),
    'conmim': dict(type='mim_bench.ConMIMViT', drop_path_rate=0.1),
    'ummae': dict(type='mim_bench.UMMAEPretrainViT'),
}
CASES = {**DENSE, **MASKED}
each = pytest.mark.parametrize('name', CASES)


def build(name, **settings):
    torch.manual_seed(0)
    backbone = MODELS.build(dict(arch=ARCH, img_size=64, **CASES[name], **settings))
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.2)
    return backbone


def inputs(name):
    """Images, and masks where the backbone takes some; dense ones of another size."""
    torch.manual_seed(1)
    if name in DENSE:
        return (torch.randn(2, 3, 80, 96),)
    order = torch.rand(2, 16).argsort(1).unflatten(1, (4, 4))
    masks = [Mask.of(order < num_hidden) for num_hidden in (8, 12)]
    return (torch.randn(2, 3, 64, 64), *masks[: 2 if name == 'ummae' else 1])


def compiled_cases():
    """Compiling takes seconds: the default suite compiles one with windows.

    A masked one is compiled in profiling/test_graph_breaks.py.
    """
    for name in CASES:
        for dtype, with_cp in ((None, False), (torch.bfloat16, False), (None, True)):
            is_fast = name == 'windows' and dtype is None and not with_cp
            marks = () if is_fast else pytest.mark.slow
            yield pytest.param(name, dtype, with_cp, marks=marks)


@pytest.mark.parametrize(('name', 'dtype', 'with_cp'), compiled_cases())
def test_backbone_compiles_as_one_graph(name, dtype, with_cp):
    torch._dynamo.reset()
    backbone, given = build(name, with_cp=with_cp), inputs(name)
    with torch.autocast('cpu', dtype=dtype, enabled=dtype is not None):
        backbone.eval()
        compiled = torch.compile(backbone, backend='eager', fullgraph=True)
        torch.testing.assert_close(compiled(*given), backbone(*given))
        backbone.train()  # with drop path
        torch._dynamo.reset()
        torch.compile(backbone, backend='eager', fullgraph=True)(*given)


@each
def test_backbone_calls_every_block_so_that_hooks_see_it(name):
    backbone, called = build(name).eval(), []
    for i, layer in enumerate(backbone.layers):
        layer.register_forward_hook(lambda *_, i=i: called.append(i))
    backbone(*inputs(name))
    assert called == [0, 1]


@pytest.mark.parametrize('name', MASKED)
def test_backbone_does_not_see_hidden_patches(name):
    backbone, (images, *masks) = build(name).eval(), inputs(name)
    pixels = masks[-1].is_hidden.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, None]
    changed = torch.where(pixels, torch.randn_like(images), images)
    before, after, other = (backbone(x, *masks) for x in (images, changed, images + 1))
    torch.testing.assert_close(after, before)
    assert not torch.allclose(other[-1], before[-1])


@each
def test_backbone_checkpointing_changes_no_gradient(name):
    gradients = []
    for with_cp in (False, True):
        backbone = build(name, with_cp=with_cp).eval()
        sum(out.square().sum() for out in backbone(*inputs(name))).backward()
        gradients.append({n: p.grad for n, p in backbone.named_parameters() if p.requires_grad})
    assert all(gradient is not None for gradient in gradients[0].values())
    torch.testing.assert_close(*gradients)


@each
def test_backbone_pretrained_init_cfg_is_not_overwritten(name, tmp_path):
    source = build(name)
    torch.save(source.state_dict(), tmp_path / 'a.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    for init_cfg in (init, [init]):
        backbone = MODELS.build(dict(arch=ARCH, img_size=64, **CASES[name], init_cfg=init_cfg))
        backbone.init_weights()
        torch.testing.assert_close(dict(backbone.state_dict()), dict(source.state_dict()))


def test_vit_blocks_behind_the_last_tap_are_frozen_and_not_computed():
    backbone = MODELS.build(
        dict(type='mim_bench.ViT', arch=ARCH | dict(num_layers=4), img_size=32, out_indices=(0, 2))
    )
    backbone.layers[3] = nn.Identity()  # a call with the arguments of a block would fail
    outs = backbone(torch.randn(1, 3, 32, 32))
    sum(out.sum() for out in outs).backward()
    assert len(outs) == 2
    without = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert not backbone.ln1.weight.requires_grad


@pytest.mark.parametrize('settings', [{}, dict(qkv_bias='qv')], ids=['mae', 'beit'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_block_gradients_in_half_precision_are_those_of_single(settings, dtype):
    torch.manual_seed(0)
    block = TransformerBlock(64, 2, layer_scale=1e-5, **settings)
    tokens, weight = torch.randn(4, 25, 64), torch.randn(4, 25, 64)
    bias = torch.randn(1, 2, 25, 25) if settings else None
    gradients = []
    for enabled in (False, True):
        block.zero_grad()
        with torch.autocast('cpu', dtype=dtype, enabled=enabled):
            out = block(tokens, bias)
        scale = 2.0**16  # of the gradient scaler, which half precision trains with
        (scale * (out.float() * weight).sum()).backward()
        gradients.append({name: p.grad / scale for name, p in block.named_parameters()})
    for name, expected in gradients[0].items():
        error = (gradients[1][name] - expected).norm() / expected.norm()
        assert error < 0.01, f'{name}: {error:.4f}'


@pytest.mark.slow
def test_vit_compiles_for_images_of_varying_size():
    # Its positions, absolute and relative, are fitted to each grid.
    arch = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32)
    settings = dict(img_size=64, rel_pos_bias='per_block', qkv_bias='qv')
    vit = MODELS.build(dict(type='mim_bench.ViT', arch=arch, **settings)).eval()
    torch._dynamo.reset()
    compiled = torch.compile(vit, backend='aot_eager', fullgraph=True)
    with torch.no_grad():
        for size in ((67, 64), (80, 97)):
            images = torch.randn(1, 3, *size)
            torch.testing.assert_close(compiled(images), vit(images))


def test_filling_compiles_where_positions_are_fitted_to_a_size_that_varies():
    def positions(images):
        cells = filled_up(images, (16, 16)).shape[-1] // 16
        return nn.functional.interpolate(images[..., :8, :8], size=(cells, 8), mode='bicubic')

    torch._dynamo.reset()
    compiled = torch.compile(positions, backend='aot_eager', fullgraph=True, dynamic=True)
    for side, cells in ((67, 5), (96, 6)):
        assert compiled(torch.ones(1, 1, 16, side)).shape == (1, 1, cells, 8)
