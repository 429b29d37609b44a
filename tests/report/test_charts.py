import pytest

from mim_bench.report.charts import Series, line_chart, scatter_chart, thin
from mim_bench.report.scales import make_scale


@pytest.mark.parametrize(
    ('values', 'labels'),
    [
        ([0, 10], ['0', '2', '4', '6', '8', '10']),
        ([56.9, 67.3], ['55.0', '57.5', '60.0', '62.5', '65.0', '67.5']),
        ([0.012, 0.034], ['0.010', '0.015', '0.020', '0.025', '0.030', '0.035']),
        ([-1, 1], ['-1.0', '-0.5', '0', '0.5', '1.0']),
        ([0, 1500], ['0', '500', '1,000', '1,500']),
    ],
)
def test_make_scale_ticks_are_round_and_cover_the_data(values, labels):
    scale = make_scale(values, 0, 100)
    assert [label for _, label in scale.ticks] == labels
    assert scale.low <= min(values)
    assert scale.high >= max(values)


@pytest.mark.parametrize('value', [0.0, 5.0, -3.0, 1e-9, 1e12])
def test_make_scale_of_one_value_keeps_it_inside(value):
    scale = make_scale([value, value], 0, 100)
    assert 0 < scale.place(value) < 100


def test_make_scale_with_zero_begins_there():
    assert make_scale([40, 50], 0, 100, with_zero=True).low == 0


def test_make_scale_places_ends_on_ends():
    scale = make_scale([0, 10], 206, 14)
    assert (scale.place(0), scale.place(10), scale.place(5)) == (206, 14, 110)


def test_thin_keeps_the_last_point():
    points = [(step, 0) for step in range(1000)]
    thinned = thin(points)
    assert len(thinned) <= 201
    assert thinned[-1] == (999, 0)


def test_line_chart_marks_every_point_of_a_short_line_with_its_value():
    chart = line_chart('t', 'Epoch', 'Loss', [Series('a', 'c', [[1, 0.5], [2, 0.25]])])
    assert [mark.tip for mark in chart.marks] == ['a\nEpoch 1: 0.5', 'a\nEpoch 2: 0.25']


def test_scatter_chart_draws_random_weights_as_a_level():
    chart = scatter_chart(
        't', 'h', 'AP', [Series('a', 'c', [(2.0, 30.0)])], [Series('r', 'random', [(0.0, 20.0)])]
    )
    height = chart.y.place(20.0)
    assert chart.lines[0].points == f'{chart.left},{height:g} {chart.right},{height:g}'
    assert [mark.label for mark in chart.marks] == ['a']
