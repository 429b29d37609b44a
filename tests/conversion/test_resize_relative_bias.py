import pytest
import torch
from scipy.interpolate import RectBivariateSpline
from torch.nn import functional as F

from mim_bench.conversion.resizing.relative_bias import (
    BLOCK_TABLE,
    SHARED_TABLE,
    axis_weights,
    expand_shared_table,
    fit_relative_bias,
    geometric_ratio,
    num_table_rows,
    resize_relative_bias,
    table_grid,
)
from mim_bench.errors import ConfigError, ConversionError


def geometric_places(source, target):
    """Offsets of the source on the axis of the target, by BEiT's definition."""
    ratio, places, place = geometric_ratio(source, target), [], 1.0
    for i in range(source // 2):
        places.append(place)
        place += ratio ** (i + 1)
    return [-p for p in reversed(places)] + [0] + places


def splined(z, target):
    """One head (rows, cols) on a target (rows, cols), by scipy's spline over both axes."""
    axes = [geometric_places(s, t) for s, t in zip(z.shape, target, strict=True)]
    wanted = [torch.arange(t).numpy() - t // 2 for t in target]
    return torch.from_numpy(RectBivariateSpline(*axes, z.double().numpy())(*wanted)).float()


@pytest.mark.parametrize(
    ('target', 'ratio'),
    [(47, 1.09031), (63, 1.13492), (79, 1.16850), (127, 1.23751), (31, 1.02349)],
)
def test_geometric_ratio_of_27_offsets_is_the_official_one(target, ratio):
    assert geometric_ratio(27, target) == pytest.approx(ratio, abs=1e-5)


@pytest.mark.parametrize(('pixels', 'rows'), [(224, 732), (384, 2212), (512, 3972), (640, 6244)])
def test_num_table_rows_with_class_token_is_that_of_beit(pixels, rows):
    grid = (pixels // 16,) * 2
    assert num_table_rows(grid, class_rows=True) == rows
    assert table_grid(rows) == (grid, True)
    assert table_grid(rows - 3) == (grid, False)


@pytest.mark.parametrize('rows', [5, 16, 100, 735])
def test_table_grid_of_no_square_grid_raises(rows):
    with pytest.raises(ConversionError, match=f'table of {rows} relative positions'):
        table_grid(rows)


@pytest.mark.parametrize('grid', [(24, 24), (20, 30)])
def test_resize_relative_bias_geometric_equals_scipys_spline(grid):
    table = torch.randn(732, 2)
    resized = resize_relative_bias(table, grid)
    target = tuple(2 * side - 1 for side in grid)
    expected = [splined(table[:-3, head].reshape(27, 27), target) for head in range(2)]
    torch.testing.assert_close(
        resized[:-3].t(), torch.stack(expected).flatten(1), rtol=0, atol=1e-5
    )
    assert torch.equal(resized[-3:], table[-3:])


def test_resize_relative_bias_geometric_keeps_the_nearest_offsets():
    table = torch.randn(732, 1)
    near = resize_relative_bias(table, (32, 32))[:-3].reshape(63, 63)[30:33, 30:33]
    expected = table[:-3].reshape(27, 27)[12:15, 12:15]
    torch.testing.assert_close(near, expected, rtol=0, atol=1e-5)


def test_resize_relative_bias_geometric_shrinking_axis_is_bicubic():
    table = torch.randn(num_table_rows((6, 6), class_rows=False), 2)
    maps = table.t().reshape(1, 2, 11, 11)
    expected = F.interpolate(maps, (5, 5), mode='bicubic', align_corners=False)
    resized = resize_relative_bias(table, (3, 3))
    torch.testing.assert_close(resized, expected[0].flatten(1).t(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ('source', 'target'), [((3, 3), (5, 5)), ((5, 5), (3, 4)), ((2, 5), (4, 4))]
)
def test_resize_relative_bias_bicubic_equals_torchs(source, target):
    table = torch.randn(num_table_rows(source, class_rows=False), 3)
    sides = [[2 * side - 1 for side in grid] for grid in (source, target)]
    maps = table.t().reshape(1, 3, *sides[0])
    expected = F.interpolate(maps, sides[1], mode='bicubic', align_corners=False)
    resized = resize_relative_bias(table, target, source_grid=source, interpolation='bicubic')
    assert torch.equal(resized, expected[0].flatten(1).t())


def test_resize_relative_bias_same_grid_returns_the_same_tensor():
    table = torch.randn(732, 2)
    assert resize_relative_bias(table, (14, 14)) is table


def test_resize_relative_bias_class_rows_are_dropped_and_added():
    table = torch.randn(12, 2)  # a grid of 2x2
    without = resize_relative_bias(table, (2, 2), class_rows=False)
    torch.testing.assert_close(without, table[:-3], rtol=0, atol=1e-6)
    again = resize_relative_bias(without, (2, 2), class_rows=True)
    assert again.shape == (12, 2)
    assert not again[-3:].any()


def test_resize_relative_bias_half_precision_keeps_its_type():
    assert resize_relative_bias(torch.randn(732, 2).half(), (16, 16)).dtype == torch.float16


def test_resize_relative_bias_unknown_interpolation_raises():
    with pytest.raises(ConfigError, match="Unknown interpolation 'linear'"):
        resize_relative_bias(torch.zeros(12, 1), (3, 3), interpolation='linear')


def test_resize_relative_bias_grid_of_another_length_raises():
    with pytest.raises(ConversionError, match='not one of a grid of'):
        resize_relative_bias(torch.zeros(12, 1), (3, 3), source_grid=(2, 3))


@pytest.mark.parametrize('source', [1, 3, 5])
def test_axis_weights_of_a_constant_stay_constant(source):
    weights = axis_weights(source, 9)
    torch.testing.assert_close(weights.sum(1), torch.ones(9, dtype=torch.float64))


def test_fit_relative_bias_smaller_grid_keeps_the_bias_of_every_offset():
    table = torch.arange(25.0)[:, None]  # a grid of 3x3: offsets of up to 2
    fitted = fit_relative_bias(table, (3, 3), (2, 3), 'geometric')
    assert torch.equal(fitted, table[5:20])


def test_fit_relative_bias_larger_grid_equals_resizing_and_has_gradients():
    table = torch.randn(28, 2, requires_grad=True)
    fitted = fit_relative_bias(table, (3, 3), (5, 4), 'geometric')
    torch.testing.assert_close(fitted, resize_relative_bias(table, (5, 4)))
    fitted.sum().backward()
    assert table.grad.abs().sum(1).gt(0).any()


def test_expand_shared_table_copies_it_to_each_block():
    table = torch.randn(12, 2)
    index = SHARED_TABLE.replace('bias_table', 'index')
    state = {f'backbone.{SHARED_TABLE}': table, f'backbone.{index}': torch.zeros(5, 5), 'x': table}
    expanded = expand_shared_table(state, 2, 'backbone.')
    blocks = [expanded.pop(f'backbone.{BLOCK_TABLE.format(i)}') for i in range(2)]
    assert set(expanded) == {'x'}
    assert all(torch.equal(block, table) for block in blocks)
    assert len({block.data_ptr() for block in (*blocks, table)}) == 3


@pytest.mark.parametrize('grid', [(6, 5), (3, 8), (2, 2)])
def test_bilinear_tables_are_stretched_and_shrunk_as_transformers_does(grid):
    table = torch.randn(num_table_rows((4, 4), class_rows=True), 2)
    maps = table[:-3].t().reshape(1, 2, 7, 7)
    target = tuple(2 * side - 1 for side in grid)
    stretched = F.interpolate(maps, target, mode='bilinear')[0].flatten(1).t()
    expected = torch.cat((stretched, table[-3:]))
    torch.testing.assert_close(fit_relative_bias(table, (4, 4), grid, 'bilinear'), expected)
    resized = resize_relative_bias(table, grid, interpolation='bilinear')
    torch.testing.assert_close(resized, expected)


def test_axis_weights_compile_for_two_axes_whose_lengths_vary():
    def resized(maps):
        rows, cols = (axis_weights(5, side + 2) for side in maps.shape)
        return rows.sum(0), cols.sum(0)

    torch._dynamo.reset()
    compiled = torch.compile(resized, backend='eager', fullgraph=True)
    for shape in ((5, 7), (9, 11)):
        torch.testing.assert_close(compiled(torch.ones(shape)), resized(torch.ones(shape)))
