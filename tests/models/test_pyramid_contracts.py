"""What every pyramid promises, with a mask and without: hooks, compilation, precision, loading."""

import numpy as np
import pytest
import torch

from mim_bench.masking.mask import Mask
from mim_bench.masking.uniform import secondary_mask, uniform_mask
from mim_bench.masking.units import unit_mask
from mim_bench.registry import MODELS

SWIN = dict(embed_dims=16, depths=(2, 1, 1), num_heads=(2, 2, 4))
PVT = dict(embed_dims=(16, 16, 32), depths=(1, 2, 1), num_heads=(2, 2, 4), mlp_ratios=(2, 2, 2))
OFFSETS = dict(SWIN, posmlp_dims=8)
COMPACT = dict(mask_patch_size=8)
BACKBONES = {
    'Swin': dict(arch=SWIN, window_size=4, out_norms=True),
    'MaskTokenSwin': dict(arch=SWIN, window_size=4),
    'LocalMIMSwin': dict(arch=SWIN, window_size=4, img_size=64),
    'UMMAESwin': dict(arch=OFFSETS, window_size=8),
    'UMMAEPretrainSwin': dict(arch=OFFSETS, window_size=8, **COMPACT),
    'UMMAEPvt': dict(arch=PVT, img_size=64, sr_ratios=(2, 2, 1)),
    'UMMAEPretrainPvt': dict(arch=PVT, img_size=64, sr_ratios=(2, 2, 1), **COMPACT),
}
SIDE = 64


def build(name: str, **kwargs) -> torch.nn.Module:
    torch.manual_seed(0)
    backbone = MODELS.build(dict(type=f'mim_bench.{name}', **BACKBONES[name], **kwargs))
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # nothing is zero or one by chance
    return backbone


def draw_masks(backbone: torch.nn.Module, name: str) -> tuple:
    """What the backbone takes after images in pre-training, for two images."""
    rng = np.random.default_rng(0)
    if name == 'MaskTokenSwin':
        return (torch.from_numpy(rng.random((2, 16, 16)) < 0.6),)
    if name == 'LocalMIMSwin':
        return (backbone.plan_mask(torch.from_numpy(unit_mask((4, 4), 0.6, rng))[None]),)
    masks = [uniform_mask((8, 8), rng) for _ in range(2)]
    hidden = [secondary_mask(mask, 0.25, rng) for mask in masks]
    return tuple(Mask.of(torch.from_numpy(np.stack(x))) for x in (masks, hidden))


def cases() -> list:
    masked = [name for name in BACKBONES if name not in ('Swin', 'UMMAESwin', 'UMMAEPvt')]
    return [(name, False) for name in BACKBONES] + [(name, True) for name in masked]


# Compiling takes seconds: the default suite compiles one that sees all, and one that is masked.
COMPILED = (('Swin', False), ('UMMAEPretrainPvt', True))
CASES = pytest.mark.parametrize(('name', 'masked'), cases())


def inputs(backbone: torch.nn.Module, name: str, masked: bool) -> tuple:
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    return (images, *(draw_masks(backbone, name) if masked else ()))


def gradients(backbone: torch.nn.Module, args: tuple) -> dict[str, torch.Tensor]:
    backbone.zero_grad()
    outputs = backbone(*args)
    generator = torch.Generator().manual_seed(2)
    sum((out * torch.randn(out.shape, generator=generator)).sum() for out in outputs).backward()
    return {n: p.grad.clone() for n, p in backbone.named_parameters() if p.grad is not None}


@CASES
def test_pyramid_runs_every_block_as_a_module(name, masked):
    backbone, calls = build(name), []
    blocks = [block for stage in backbone.stages for block in stage.blocks]
    for module in (*backbone.stages, *blocks, *(block.ffn for block in blocks)):
        module.register_forward_hook(lambda module, *_: calls.append(module))
    backbone(*inputs(backbone, name, masked))
    assert len(calls) == len(set(calls)) == len(backbone.stages) + 2 * len(blocks)


@pytest.mark.parametrize(
    ('name', 'masked'),
    [pytest.param(*case, marks=() if case in COMPILED else pytest.mark.slow) for case in cases()],
)
def test_pyramid_compiles_as_one_graph(name, masked):
    torch._dynamo.reset()
    backbone = build(name).train()
    args = inputs(backbone, name, masked)
    compiled = torch.compile(backbone, backend='eager', fullgraph=True)
    torch.testing.assert_close(compiled(*args), backbone(*args), rtol=1e-4, atol=1e-4)


@CASES
def test_pyramid_with_checkpointing_computes_each_block_twice(name, masked):
    plain, checkpointed, calls = build(name), build(name, with_cp=True), []
    blocks = [block for stage in checkpointed.stages for block in stage.blocks]
    for block in blocks:
        block.norm1.register_forward_hook(lambda *_: calls.append(1))
    args = inputs(plain, name, masked)
    torch.testing.assert_close(gradients(checkpointed, args), gradients(plain, args))
    assert len(calls) == 2 * len(blocks)


@pytest.mark.parametrize('name', [name for name, masked in cases() if masked])
@torch.no_grad()
def test_pyramid_does_not_see_hidden_pixels(name):
    backbone = build(name)
    images, *masks = inputs(backbone, name, True)
    hidden = getattr(masks[-1], 'is_hidden', masks[-1])
    size = SIDE // hidden.shape[-1]
    pixels = hidden.repeat_interleave(size, 1).repeat_interleave(size, 2)[:, None]
    changed = torch.where(pixels, torch.randn_like(images), images)
    before, after, other = (backbone(x, *masks) for x in (images, changed, images + 1))
    torch.testing.assert_close(after, before)
    assert not torch.allclose(other[-1], before[-1])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@CASES
def test_pyramid_block_has_the_gradients_of_float32_under_autocast(name, masked, dtype):
    backbone, given = build(name), []
    block = backbone.stages[0].blocks[-1]
    handle = block.register_forward_pre_hook(lambda _, args: given.extend(args))
    backbone(*inputs(backbone, name, masked))
    handle.remove()
    x, context = given[0].detach().requires_grad_(), given[1]
    variables, weights = [x, *block.parameters()], torch.randn(x.shape)

    def gradient() -> torch.Tensor:
        grads = torch.autograd.grad((block(x, context) * weights).sum(), variables)
        return torch.cat([grad.flatten() for grad in grads])

    expected = gradient()
    with torch.autocast('cpu', dtype):
        found = gradient()
    assert (found - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize('as_list', [False, True])
@pytest.mark.parametrize('name', BACKBONES)
def test_pyramid_keeps_pretrained_weights_when_it_is_initialised(name, as_list, tmp_path):
    source = build(name)
    torch.save(source.state_dict(), tmp_path / 'weights.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'))
    backbone = build(name, init_cfg=[init_cfg] if as_list else init_cfg)
    backbone.init_weights()
    torch.testing.assert_close(backbone.state_dict(), source.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize('name', BACKBONES)
def test_pyramid_says_the_widths_and_strides_of_its_maps(name):
    backbone = build(name, out_indices=(0, 2))
    maps = backbone(torch.zeros(1, 3, SIDE, SIDE))
    assert tuple(x.shape[1] for x in maps) == backbone.out_channels
    assert tuple(SIDE // x.shape[-1] for x in maps) == backbone.strides
