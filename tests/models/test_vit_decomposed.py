"""Relative positions of rows and columns, and padded windows, against ViTDet's as published."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mim_bench.errors import CheckpointError, ConfigError
from mim_bench.models.backbones.vit import ViT
from mim_bench.models.layers.relative_bias import AxisTables
from mim_bench.models.layers.transformer import Attention, TransformerBlock

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
VITDET = dict(
    rel_pos_bias='decomposed', window_size=3, global_blocks=(1,), pad_windows=True, final_norm=False
)


def redrawn(module):
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data.normal_(std=0.3, generator=generator)
    return module.double().eval()


def make_vit(**settings):
    return redrawn(ViT(ARCH, **{'img_size': 64, **VITDET, **settings}))


def attend(attn, maps):
    """Attention within one map (rows, cols, C), query by query as ViTDet's paper says it."""
    rows, cols, dims = maps.shape
    qkv = attn.qkv(maps).unflatten(2, (3, attn.num_heads, -1)).permute(2, 3, 0, 1, 4)
    heads = []
    for q, k, v in zip(*qkv, strict=True):
        out = torch.zeros_like(q)
        for i in range(rows):
            for j in range(cols):
                logits = torch.zeros(rows, cols, dtype=q.dtype)
                for m in range(rows):
                    for n in range(cols):
                        logits[m, n] = q[i, j] @ k[m, n] / (dims / attn.num_heads) ** 0.5
                        logits[m, n] += q[i, j] @ attn.rel_pos_h[i - m + rows - 1]
                        logits[m, n] += q[i, j] @ attn.rel_pos_w[j - n + cols - 1]
                weights = logits.flatten().softmax(0).view(rows, cols, 1)
                out[i, j] = (weights * v).sum((0, 1))
        heads.append(out)
    return attn.proj(torch.cat(heads, dim=2))


def run_block(block, maps, window):
    """A block on one map (rows, cols, C): norm, zeros, windows, attention, cut, residual, MLP."""
    rows, cols = maps.shape[:2]
    side_rows, side_cols = (window, window) if window else (rows, cols)
    normed = F.pad(block.ln1(maps), (0, 0, 0, -cols % side_cols, 0, -rows % side_rows))
    attended = torch.zeros_like(normed)
    for top in range(0, normed.shape[0], side_rows):
        for left in range(0, normed.shape[1], side_cols):
            place = slice(top, top + side_rows), slice(left, left + side_cols)
            attended[place] = attend(block.attn, normed[place])
    maps = maps + attended[:rows, :cols]
    return maps + block.ffn(block.ln2(maps))


@torch.no_grad()
@pytest.mark.parametrize(('window', 'grid'), [(0, (4, 5)), (3, (5, 4)), (3, (3, 6)), (3, (2, 2))])
def test_vit_block_equals_vitdets_with_padded_windows(window, grid):
    size = tuple(16 * side for side in grid)
    blocks = make_vit(img_size=size).layers
    block, maps = blocks[0 if window else 1], torch.randn(2, *grid, 16, dtype=torch.float64)
    expected = torch.stack([run_block(block, one, window) for one in maps]).flatten(1, 2)
    torch.testing.assert_close(block(maps.flatten(1, 2), grid), expected, rtol=0, atol=1e-10)


@torch.no_grad()
def test_vit_padding_of_windows_takes_part_in_the_attention():
    vit = make_vit(rel_pos_bias='none', global_blocks=())
    other = make_vit(rel_pos_bias='none', global_blocks=(), pad_windows=False)
    other.load_state_dict(vit.state_dict())
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    assert vit.layers[0].shapes((4, 4)) == ((3, 3),)
    whole, smaller = (net.layers[0](net.embed_patches(images)[0], (4, 4)) for net in (vit, other))
    is_same = torch.isclose(whole, smaller).all(2).view(4, 4)
    assert is_same[:3, :3].all()
    assert not is_same[3].any()
    assert not is_same[:, 3].any()


@torch.no_grad()
def test_vit_tables_are_stretched_linearly_to_the_grid():
    vit = make_vit(window_size=0)
    attn, tokens = vit.layers[0].attn, torch.randn(1, 6 * 3, 16, dtype=torch.float64)
    out = attn(tokens, grid=(6, 3))
    for name, side in (('rel_pos_h', 6), ('rel_pos_w', 3)):
        table, num_rows = getattr(attn, name).numpy(), 2 * side - 1
        places = (np.arange(num_rows) + 0.5) * len(table) / num_rows - 0.5
        columns = [np.interp(places, np.arange(len(table)), column) for column in table.T]
        setattr(attn, name, torch.nn.Parameter(torch.tensor(np.stack(columns, 1))))
    expected = attend(attn, tokens[0].view(6, 3, 16)).flatten(0, 1)
    # Tables are interpolated in single precision.
    torch.testing.assert_close(out[0], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_vit_class_token_has_no_relative_position():
    vit = make_vit(window_size=0)
    attn, tokens = vit.layers[0].attn, torch.randn(2, 17, 16, dtype=torch.float64)
    q, _, _ = attn.qkv(tokens).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)
    place = torch.arange(16)
    down = attn.rel_pos_h[(place[:, None] // 4 - place // 4) + 3]
    right = attn.rel_pos_w[(place[:, None] % 4 - place % 4) + 3]
    bias = torch.zeros(2, 2, 17, 17, dtype=torch.float64)
    bias[:, :, 1:, 1:] = torch.einsum('bnqc,qkc->bnqk', q[:, :, 1:], down + right)
    plain = Attention(16, 2).double()
    plain.load_state_dict(attn.state_dict(), strict=False)
    expected = plain(tokens, bias)
    torch.testing.assert_close(attn(tokens, grid=(4, 4)), expected, rtol=0, atol=1e-10)
    first = attn(tokens, wanted=slice(0, 1), grid=(4, 4))
    torch.testing.assert_close(first, expected[:, :1], rtol=0, atol=1e-10)


def test_axis_tables_keep_nothing_of_all_pairs_for_the_backward_pass():
    attn, kept = Attention(16, 2, bias=AxisTables((16, 16))), []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: kept.append(x.numel()) or x, lambda x: x
    ):
        attn(torch.randn(1, 256, 16), grid=(16, 16))
    assert max(kept) < 256 * 256


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_axis_tables_gradients_in_half_precision_are_those_of_single(dtype):
    torch.manual_seed(0)
    block = TransformerBlock(64, 2, bias=AxisTables((5, 5)))
    for table in (block.attn.rel_pos_h, block.attn.rel_pos_w):
        torch.nn.init.normal_(table, std=0.2)
    tokens, weight, gradients = torch.randn(4, 25, 64), torch.randn(4, 25, 64), []
    for enabled in (False, True):
        block.zero_grad()
        with torch.autocast('cpu', dtype=dtype, enabled=enabled):
            out = block(tokens, None, None, (5, 5))
        (2.0**8 * (out.float() * weight).sum()).backward()
        gradients.append({name: p.grad / 2.0**8 for name, p in block.named_parameters()})
    for name, expected in gradients[0].items():
        error = (gradients[1][name] - expected).norm() / expected.norm()
        assert error < 0.02, f'{name}: {error:.4f}'


def test_vit_tables_have_the_sizes_of_windows_and_of_the_map():
    vit = ViT(ARCH, img_size=224, bias_img_size=(1024, 512), **VITDET)
    shapes = {n: tuple(p.shape) for n, p in vit.named_parameters() if 'rel_pos' in n}
    assert shapes == {
        'layers.0.attn.rel_pos_h': (5, 8),
        'layers.0.attn.rel_pos_w': (5, 8),
        'layers.1.attn.rel_pos_h': (127, 8),
        'layers.1.attn.rel_pos_w': (63, 8),
    }
    assert vit.pos_embed.shape == (1, 14 * 14, 16)
    assert not any(p.any() for n, p in vit.named_parameters() if 'rel_pos' in n)
    assert vit.get_layer_depth('backbone.layers.1.attn.rel_pos_h', 'backbone.') == (2, 4)


def test_vit_loading_a_plain_file_adds_tables_of_zeros():
    plain = redrawn(ViT(ARCH, img_size=64))
    vit = make_vit(bias_img_size=96)
    for name, parameter in vit.named_parameters():
        if 'rel_pos' in name:
            parameter.data.zero_()
    missing, _ = vit.load_state_dict(plain.state_dict(), strict=False)
    assert missing == []
    tables = {f'layers.{i}.attn.rel_pos_{axis}' for i in range(2) for axis in 'hw'}
    assert set(vit.resized_keys) == tables | {'pos_embed'}  # the class token's row is left out


def test_vit_loading_stretches_tables_to_the_own_sizes():
    source, target = make_vit(), make_vit(bias_img_size=96, window_size=5)
    target.load_state_dict(source.state_dict())
    assert set(target.resized_keys) == {
        f'layers.{i}.attn.rel_pos_{a}' for i in (0, 1) for a in 'hw'
    }
    table = source.layers[1].attn.rel_pos_h.detach().numpy()
    places = (np.arange(11) + 0.5) * 7 / 11 - 0.5
    expected = [np.interp(places, np.arange(7), column) for column in table.T]
    found = target.layers[1].attn.rel_pos_h.detach()
    np.testing.assert_allclose(found, np.stack(expected, 1), atol=1e-6)


@pytest.mark.parametrize('kind', ['none', 'per_block', 'shared'])
def test_vit_loading_tables_of_another_kind_raises(kind):
    other = dict(rel_pos_bias=kind, with_cls_token=False)
    with pytest.raises(CheckpointError, match="rel_pos_bias='decomposed'"):
        make_vit(**other).load_state_dict(make_vit().state_dict(), strict=False)
    if kind != 'none':
        with pytest.raises(CheckpointError, match=f'rel_pos_bias={kind!r}'):
            make_vit().load_state_dict(make_vit(**other).state_dict(), strict=False)


def test_vit_decomposed_in_windows_without_padding_raises():
    with pytest.raises(ConfigError, match='pad_windows=True'):
        make_vit(pad_windows=False)
