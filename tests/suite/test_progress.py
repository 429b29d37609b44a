import pytest

from mim_bench.suite.progress import describe_progress

PREFIX = '11/21 06:14:03 - mmengine - INFO - '
CASES = {
    'Epoch(train) [3][20/46]  base_lr: 1e-3 lr: 1e-3  eta: 0:01:10  time: 0.1': (
        'train [3][20/46], 0:01:10 left'
    ),
    'Iter(train) [ 50/300]  lr: 1e-3  eta: 2 days, 3:04:05  time: 0.1': (
        'train [50/300], 2 days, 3:04:05 left'
    ),
    'Epoch(val) [12][10/10]    accuracy/top1: 50.8': 'val [12][10/10]',
    'Features of the training data [50/157]': 'features of training [50/157]',
    'Saving checkpoint at 12 epochs': '',
}


@pytest.mark.parametrize('line', CASES)
def test_describe_progress_of_a_line(tmp_path, line):
    (tmp_path / 'log.txt').write_text(f'some line\n{PREFIX}{line}\n')
    assert describe_progress(tmp_path / 'log.txt') == CASES[line]


def test_describe_progress_is_that_of_the_last_line_that_says_any(tmp_path):
    lines = [PREFIX + line for line in list(CASES)[:3]]
    (tmp_path / 'log.txt').write_text('x' * 100_000 + '\n'.join([*lines, 'unrelated']))
    assert describe_progress(tmp_path / 'log.txt') == 'val [12][10/10]'


def test_describe_progress_without_a_log_is_empty(tmp_path):
    assert describe_progress(tmp_path / 'log.txt') == ''
