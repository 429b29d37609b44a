import pytest

from mim_bench.report.charts import Series, scatter_chart
from mim_bench.report.pareto import pareto_front, staircase

# Hours and accuracy. b costs more than a and is better; c costs more than b and is worse; d is the
# dearest and the best; e costs what b does and is worse.
COSTS = [10, 20, 30, 40, 20]
VALUES = [70, 75, 74, 80, 71]


def test_pareto_front_by_hand():
    assert pareto_front(COSTS, VALUES) == [0, 1, 3]


def test_pareto_front_lower_is_better_by_hand():
    # Now a is the best of all and the cheapest.
    assert pareto_front(COSTS, VALUES, higher_is_better=False) == [0]
    assert pareto_front(COSTS, [-v for v in VALUES], higher_is_better=False) == [0, 1, 3]


@pytest.mark.parametrize(
    ('costs', 'values', 'front'),
    [
        ([], [], []),
        ([5], [1], [0]),
        ([5, 5], [1, 1], [0, 1]),  # equal points are both on it
        ([5, 6], [1, 1], [0]),  # as good for more
        ([5, 5], [1, 2], [1]),  # better for the same
    ],
)
def test_pareto_front_of_ties(costs, values, front):
    assert pareto_front(costs, values) == front


def test_staircase_holds_each_value_until_the_next_cost():
    line = staircase([(10, 70), (20, 75)], end=50)
    assert line == [(10, 70), (20, 70), (20, 75), (50, 75)]


def test_scatter_chart_draws_the_front_and_names_its_dots():
    dots = [
        Series(name, 'c', [point])
        for name, point in zip('abcde', zip(COSTS, VALUES, strict=True), strict=True)
    ]
    chart = scatter_chart('t', 'h', 'top-1', dots)
    (front,) = [line for line in chart.lines if line.style == 'front']
    steps = [(10, 70), (20, 70), (20, 75), (40, 75), (40, 80)]
    places = [f'{chart.x.place(x):g},{chart.y.place(y):g}' for x, y in steps]
    assert front.points.split(' ')[:5] == places
    marked = {mark.tip[0] for mark in chart.marks if 'on the Pareto front' in mark.tip}
    assert marked == {'a', 'b', 'd'}
    assert {mark.label for mark in chart.marks} >= {'a', 'b', 'd'}


def test_scatter_chart_of_one_dot_has_no_front():
    chart = scatter_chart('t', 'h', 'AP', [Series('a', 'c', [(2.0, 30.0)])])
    assert [line.style for line in chart.lines] == []


def test_scatter_chart_crowded_dots_are_named_only_where_there_is_room():
    dots = [Series(f'checkpoint {i}', 'c', [(1 + i / 1000, 50.0 - i / 1000)]) for i in range(60)]
    dots.append(Series('far', 'c', [(2.0, 51.0)]))
    chart = scatter_chart('t', 'h', 'AP', dots)
    labels = [mark.label for mark in chart.marks if mark.label]
    assert 'far' in labels
    assert len(labels) < 10
    assert len(chart.marks) == 61
