import pytest

from mim_bench.data.checks import CheckOptions
from mim_bench.data.checks.files import inspect_all
from mim_bench.data.checks.options import parse_expect
from mim_bench.errors import ConfigError


def test_parse_expect_reads_one_or_both_splits():
    assert parse_expect('train=100,val=20') == {'train': 100, 'val': 20}
    assert parse_expect('val=7') == {'val': 7}


@pytest.mark.parametrize('text', ['100,20', 'train=-1', 'test=5', 'train=', 'train=5,'])
def test_parse_expect_anything_else_raises(text):
    with pytest.raises(ConfigError, match='Write --expect train=100,val=20'):
        parse_expect(text)


def _doubled(number):
    return 2 * number


@pytest.mark.parametrize('workers', [1, 2])
def test_inspect_all_keeps_order_and_reports_progress(workers, forked):
    calls = []
    options = CheckOptions(workers=workers, progress=lambda *call: calls.append(call))

    assert list(inspect_all(_doubled, range(5), options)) == [0, 2, 4, 6, 8]
    assert calls == [(done, 5) for done in range(1, 6)]
