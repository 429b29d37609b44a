import pytest
import torch
from mmpretrain.models.utils import build_2d_sincos_position_embedding, resize_pos_embed

from mim_bench.conversion.resizing.position_embedding import (
    resize_position_embedding,
    square_grid,
)
from mim_bench.conversion.resizing.sincos import sincos_order, sincos_position_embedding
from mim_bench.errors import ConversionError


def with_prefix(table):
    return torch.cat((torch.zeros(1, table.shape[1]), table))[None]


@pytest.mark.parametrize('num_prefix', [0, 1, 2])
def test_resize_position_embedding_same_grid_returns_the_same_tensor(num_prefix):
    table = torch.randn(1, num_prefix + 9, 8)
    assert resize_position_embedding(table, (3, 3), num_prefix=num_prefix) is table


@pytest.mark.parametrize('num_prefix', [0, 1, 2])
@pytest.mark.parametrize('source', [(4, 4), (2, 6)])
@pytest.mark.parametrize('grid', [(6, 5), (3, 3)])
def test_resize_position_embedding_equals_mmpretrain(num_prefix, source, grid):
    table = torch.randn(1, num_prefix + source[0] * source[1], 8)
    resized = resize_position_embedding(
        table, grid, num_prefix=num_prefix, source_grid=None if source == (4, 4) else source
    )
    expected = resize_pos_embed(table, source, grid, 'bicubic', num_prefix)
    torch.testing.assert_close(resized, expected, rtol=0, atol=1e-6)


def test_resize_position_embedding_half_precision_computes_in_float32():
    table = torch.randn(1, 9, 8, dtype=torch.float16)
    resized = resize_position_embedding(table, (5, 4))
    assert resized.dtype == torch.float16
    assert torch.equal(resized, resize_position_embedding(table.float(), (5, 4)).half())


@pytest.mark.parametrize('row_first', [False, True])
def test_resize_position_embedding_sincos_table_is_recomputed_on_request(row_first):
    table = with_prefix(sincos_position_embedding((4, 4), 16, row_first=row_first))
    expected = with_prefix(sincos_position_embedding((6, 3), 16, row_first=row_first))
    resized = resize_position_embedding(table, (6, 3), num_prefix=1, recompute_sincos=True)
    assert torch.equal(resized, expected)


def test_sincos_order_mmpretrain_table_is_the_transpose():
    table = build_2d_sincos_position_embedding((4, 4), 16)[0]
    assert sincos_order(table, (4, 4)) is True
    transposed = sincos_position_embedding((4, 4), 16).unflatten(0, (4, 4)).transpose(0, 1)
    torch.testing.assert_close(table, transposed.flatten(0, 1), rtol=0, atol=1e-5)


def test_sincos_order_changed_table_is_not_recognised():
    table = sincos_position_embedding((4, 4), 16)
    table[3, 2] += 1e-3
    assert sincos_order(table, (4, 4)) is None


def test_sincos_order_half_precision_table_is_recognised():
    assert sincos_order(sincos_position_embedding((4, 4), 16).half(), (4, 4)) is False


@pytest.mark.parametrize('num_patches', [-1, 0, 140, 224])
def test_square_grid_of_no_square_raises(num_patches):
    with pytest.raises(ConversionError, match=r'checkpoint_grid=\(rows, cols\)'):
        square_grid(num_patches)


def test_resize_position_embedding_grid_that_does_not_fit_raises():
    with pytest.raises(ConversionError, match='not one of 20 patches'):
        resize_position_embedding(torch.zeros(1, 10, 8), (3, 3), source_grid=(4, 5))
