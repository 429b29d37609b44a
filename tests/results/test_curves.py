import pytest

from mim_bench.errors import RecordError
from mim_bench.results.record import Curve
from mim_bench.results.store import read_curves, write_curves


def test_write_curves_then_read_gives_the_same(tmp_path):
    curves = [Curve('loss', 'iter', [[1, 0.5], [2, 0.25]]), Curve('knn_top1', 'epoch', [])]
    assert read_curves(write_curves(curves, tmp_path)) == curves


def test_write_curves_not_finite_raises(tmp_path):
    with pytest.raises(RecordError, match=r'0.points.0.1: .*finite number, not nan'):
        write_curves([Curve('loss', 'iter', [(1, float('nan'))])], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('[{"series": "loss"', 'not valid JSON'),
        ('[{"series": "loss", "step_unit": "hour", "points": []}]', 'step_unit'),
        ('[{"series": "loss", "step_unit": "iter", "points": [[1]]}]', '0.points.0'),
        ('[{"series": "loss", "step_unit": "iter", "points": [[1, null]]}]', 'number'),
        ('{}', 'should be a valid array'),
    ],
)
def test_read_curves_damaged_file_raises(tmp_path, text, reason):
    path = tmp_path / 'curves.json'
    path.write_text(text)
    with pytest.raises(RecordError, match=rf'curves.json: .*{reason}'):
        read_curves(path)


def test_read_curves_missing_file_raises(tmp_path):
    with pytest.raises(RecordError, match='cannot be read'):
        read_curves(tmp_path / 'curves.json')
