import re

import pytest

from mim_bench.report.build import build_leaderboard
from mim_bench.report.charts import cost_charts, curve_charts, pareto_front, row_styles, thin
from mim_bench.results.collection import collect
from mim_bench.results.record import Artifacts, Cost, Curve
from mim_bench.results.store import write_curves, write_record
from mim_bench.testing.records import make_checkpoint, make_pretraining_record, make_record

# Hours and accuracy. b costs more than a and is better; c costs more than b and is worse; d is the
# dearest and the best; e costs what b does and is worse.
COSTS = [10, 20, 30, 40, 20]
VALUES = [70, 75, 74, 80, 71]


@pytest.mark.parametrize(
    ('costs', 'values', 'front'),
    [
        (COSTS, VALUES, [0, 1, 3]),
        (COSTS, [-v for v in VALUES], [0]),  # now a is the best of all and the cheapest
        ([], [], []),
        ([5], [1], [0]),
        ([5, 5], [1, 1], [0, 1]),  # equal points are both on it
        ([5, 6], [1, 1], [0]),  # as good for more
        ([5, 5], [1, 2], [1]),  # better for the same
    ],
)
def test_pareto_front_by_hand(costs, values, front):
    assert pareto_front(costs, values) == front


def test_thin_keeps_the_ends_of_a_long_line():
    points = [[step, 0.0] for step in range(1001)]
    picked = thin(points)
    assert (picked[0], picked[-1]) == (points[0], points[-1])
    assert len(picked) <= 202


def cost_chart(board_of, values):
    """The chart of rows a, b, c, ... with these (hours, accuracy), and the names on its front."""
    records = []
    for name, (hours, value) in zip('abcdefgh', values, strict=False):
        checkpoint = make_checkpoint(id=name, method=f'm-{name}', sha256=f'{ord(name):064x}')
        cost = Cost.measured(wall_s=3600 * hours, device='gpu', is_gpu=True)
        records.append(make_pretraining_record(checkpoint, run_id=f'p{name}', cost=cost))
        records.append(make_record('in1k-ft', {'top1': value}, checkpoint, run_id=f'r{name}'))
    board = board_of(*records)
    (chart,) = cost_charts(board, row_styles(board))
    titles = re.findall('<title>(.*?)</title>', chart.svg, re.DOTALL)
    return chart, {title[2] for title in titles if 'on the Pareto front' in title}


def test_cost_chart_has_a_dot_a_row_and_its_front(board_of):
    chart, front = cost_chart(board_of, zip(COSTS, VALUES, strict=True))
    assert front == {'a', 'b', 'd'}
    assert len(chart.rows) == 5
    assert chart.svg.count('class="front"') == 1


def test_cost_chart_of_one_dot_has_no_front(board_of):
    chart, front = cost_chart(board_of, [(2.0, 30.0)])
    assert 'class="front"' not in chart.svg
    assert front == set()


def test_charts_draw_names_as_text_and_no_style_sheet(tmp_path):
    name = '<b> $x_{y}$ & モデル'
    checkpoint = make_checkpoint(id=name, method=name, backbone='\\frac$')
    artifacts = Artifacts(curves='curves.json')
    record = make_pretraining_record(checkpoint, run_id='r', artifacts=artifacts)
    write_record(record, tmp_path)
    write_curves([Curve('loss', 'epoch', [[1, 0.9], [2, 0.51234]])], tmp_path / 'r')
    collection = collect(tmp_path)
    board = build_leaderboard(collection)
    (chart,), damaged = curve_charts(board, row_styles(board))
    assert damaged == []
    assert '&lt;b&gt; $x_{y}$ &amp; モデル' in chart.svg
    assert 'Epoch 2: 0.5123' in chart.svg
    # The policy of the page forbids both.
    assert '<style' not in chart.svg
    assert '<script' not in chart.svg
