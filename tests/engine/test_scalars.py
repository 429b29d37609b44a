import json

import pytest

from mim_bench.engine.scalars import collect_curves


@pytest.fixture
def work_dir(tmp_path):
    def write(stamp, lines, tail=''):
        folder = tmp_path / stamp / 'vis_data'
        folder.mkdir(parents=True)
        text = ''.join(json.dumps(line) + '\n' for line in lines)
        (folder / 'scalars.json').write_text(text + tail)
        return tmp_path

    return write


def losses(start, stop, value=1.0):
    return [{'loss': value, 'lr': 0.1, 'step': step} for step in range(start, stop)]


def test_collect_curves_reads_loss_and_knn(work_dir):
    knn = [{'knn/top1': 40.0, 'epoch': 1, 'iter': 2, 'step': 1}]
    curves = collect_curves(work_dir('20260101_000000', losses(1, 3) + knn))
    assert [(c.series, c.step_unit, c.points) for c in curves] == [
        ('loss', 'iter', [[1, 1.0], [2, 1.0]]),
        ('knn_top1', 'epoch', [[1, 40.0]]),
    ]


def test_collect_curves_resumed_run_replaces_lost_iterations(work_dir):
    work_dir('20260101_000000', losses(1, 8, value=1.0))
    (curve,) = collect_curves(work_dir('20260101_000500', losses(5, 7, value=2.0)))
    assert curve.points == [[1, 1.0], [2, 1.0], [3, 1.0], [4, 1.0], [5, 2.0], [6, 2.0]]


def test_collect_curves_half_a_line_and_nan_are_left_out(work_dir):
    folder = work_dir('20260101_000000', losses(1, 2), tail='{"loss": NaN, "step": 2}\n{"loss": 0.')
    (curve,) = collect_curves(folder)
    assert curve.points == [[1, 1.0]]


def test_collect_curves_long_curve_is_thinned_to_means(work_dir):
    lines = [{'loss': float(step), 'step': step} for step in range(1, 1202)]
    (curve,) = collect_curves(work_dir('20260101_000000', lines))
    assert len(curve.points) == 401  # groups of 3, the last of 2
    assert curve.points[0] == [3, 2.0]
    assert curve.points[-1] == [1201, 1201.0]


def test_collect_curves_without_any_is_empty(tmp_path):
    assert collect_curves(tmp_path) == []
