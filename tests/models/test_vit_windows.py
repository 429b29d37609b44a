import pytest
import torch
from torch import nn

from mim_bench.conversion.resizing.relative_bias import relative_position_index
from mim_bench.models.backbones.vit import ViT
from mim_bench.models.layers import relative_bias
from mim_bench.models.layers.relative_bias import BiasTable
from mim_bench.models.layers.transformer import Attention, TransformerBlock

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
MODES = [
    dict(),
    dict(abs_pos='fixed', rel_pos_bias='per_block', qkv_bias='qv', layer_scale=1e-5),
    dict(abs_pos='none', rel_pos_bias='shared', qkv_bias='none'),
    dict(rel_pos_bias='decomposed', pad_windows=True),
]


def make_vit(**settings):
    vit = ViT(ARCH, **{'img_size': 64, 'out_indices': (0, 1, 2), **settings})
    generator = torch.Generator().manual_seed(0)
    for parameter in vit.parameters():
        parameter.data.normal_(std=0.2, generator=generator)
    return vit.eval()


@pytest.mark.parametrize('settings', MODES)
@pytest.mark.parametrize('with_cls_token', [False, True])
def test_vit_every_block_global_equals_the_plain_backbone(settings, with_cls_token):
    plain = make_vit(**settings, with_cls_token=with_cls_token)
    dense = make_vit(
        **settings, with_cls_token=with_cls_token, window_size=2, global_blocks=range(3)
    )
    dense.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(dense(images), plain(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize('with_table', [False, True])
def test_vit_windows_equal_attention_of_all_tokens_that_a_mask_parts(with_table):
    grid, size = (5, 7), 3
    vit = make_vit(window_size=size, rel_pos_bias='per_block' if with_table else 'none')
    block, tokens = vit.layers[0], torch.randn(2, 35, 16)
    rows, cols = torch.arange(5).repeat_interleave(7), torch.arange(7).repeat(5)
    apart = (rows[:, None] // size != rows // size) | (cols[:, None] // size != cols // size)
    bias = torch.zeros(1, 2, 35, 35)
    if with_table:
        down, right = rows[:, None] - rows, cols[:, None] - cols
        index = ((down + 2) * 5 + right + 2).clamp(0, 24)
        bias = block.attn.relative_position_bias_table[index].permute(2, 0, 1)[None]
    plain = TransformerBlock(16, 2, 32)
    plain.load_state_dict(block.state_dict(), strict=False)
    expected = plain(tokens, bias.masked_fill(apart, float('-inf')))
    assert block.shapes(grid) == ((3, 3), (3, 1), (2, 3), (2, 1))
    torch.testing.assert_close(block(tokens, grid), expected, rtol=1e-5, atol=1e-5)


def test_vit_class_token_passes_through_windows_unchanged():
    vit = make_vit(window_size=2, global_blocks=(1,), with_cls_token=True, out_type='raw')
    with torch.no_grad():
        first, second, third = vit(torch.randn(1, 3, 64, 64))
    assert torch.equal(first[:, 0], (vit.cls_token + vit.pos_embed[:, :1])[:, 0])
    assert not torch.equal(first[:, 0], second[:, 0])
    assert torch.equal(third[:, 0], vit.ln1(second[:, 0]))


def test_vit_windows_do_not_see_each_other():
    vit = make_vit(window_size=2, rel_pos_bias='per_block')
    images = torch.randn(1, 3, 64, 80)
    changed = images.clone()
    changed[..., :32, :32] += 1
    with torch.no_grad():
        is_same = (vit(images)[-1] == vit(changed)[-1]).all(1)[0]
    assert not is_same[:2, :2].any()
    assert is_same[2:].all()
    assert is_same[:, 2:].all()


@pytest.mark.parametrize('grid', [(4, 4), (3, 5), (1, 2)])
@pytest.mark.parametrize('class_rows', [False, True])
@pytest.mark.parametrize('at_once', [1, 2**22])
def test_bias_of_all_pairs_is_the_entry_of_the_index(grid, class_rows, at_once, monkeypatch):
    monkeypatch.setattr(relative_bias, '_ENTRIES_AT_ONCE', at_once)
    num_rows = (2 * grid[0] - 1) * (2 * grid[1] - 1) + 3 * class_rows
    table = torch.randn(num_rows, 2, dtype=torch.float64, requires_grad=True)
    (bias,) = BiasTable(grid, class_rows, 'geometric').expand(table, [grid])[0]
    index = relative_position_index(grid, class_token=class_rows)
    expected = table[index].permute(2, 0, 1)
    assert torch.equal(bias, expected)
    assert bias.stride(1) % 8 == 0
    weight = torch.randn_like(bias)
    gradients = [torch.autograd.grad(out, table, weight)[0] for out in (bias, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize('class_rows', [False, True])
def test_attention_in_parts_of_the_queries_has_the_same_numbers(class_rows, monkeypatch):
    torch.manual_seed(0)
    attention = Attention(16, 2, bias=BiasTable((3, 3), class_rows, 'geometric')).double()
    nn.init.normal_(attention.relative_position_bias_table)
    x = torch.randn(2, 4 * 5 + class_rows, 16, dtype=torch.float64)
    found = []
    for at_once in (2**22, 1):  # all queries, and a row of the grid
        monkeypatch.setattr(relative_bias, '_ENTRIES_AT_ONCE', at_once)
        out = attention(x, grid=(4, 5))
        gradients = torch.autograd.grad(out.square().sum(), list(attention.parameters()))
        found.append((out, *gradients))
    torch.testing.assert_close(*found)


def test_bias_of_all_pairs_in_half_precision_sums_gradients_in_single():
    table = torch.zeros(31 * 31, 1, requires_grad=True)
    layout = BiasTable((16, 16), False, 'geometric')
    with torch.autocast('cpu', torch.bfloat16):
        (bias,) = layout.expand(table, [layout.grid])
    assert bias.dtype == torch.bfloat16
    bias.sum().backward()
    # The offset 0 occurs once for each of the 256 tokens.
    assert table.grad[31 * 31 // 2].item() == 256


def test_bias_of_all_pairs_class_rows_are_those_of_beit():
    table = torch.arange(12.0)[:, None]  # nine offsets of a 2x2 grid, then three rows
    bias = BiasTable((2, 2), True, 'geometric').expand(table, [(2, 2)])[0][0, 0]
    assert bias[0].tolist() == [11, 9, 9, 9, 9]
    assert bias[:, 0].tolist() == [11, 10, 10, 10, 10]
    assert bias[1, 1:].tolist() == [4, 3, 1, 0]
