"""The Python of docs/python.md, run from top to bottom on a small embedded data set."""

from functools import partial

import pytest
from PIL import Image

from mim_bench import api
from mim_bench.results.collection import collect
from mim_bench.suite import plan
from mim_bench.testing.pages import ROOT, blocks


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / 'docs').mkdir()
    Image.new('RGB', (80, 60), (250, 120, 0)).save(tmp_path / 'docs' / 'leaderboard.png')
    monkeypatch.setattr(api, 'make_data', partial(plan.make_data, size='tiny'))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_python_of_the_page_runs(folder, capsys):
    names = {'__name__': 'page'}
    for text in blocks(ROOT / 'docs' / 'python.md', 'python'):
        exec(text, names)  # noqa: S102  the page is what is tested
    records = collect(folder / 'bench-net' / 'results').records
    (record,) = [found for found in records if found.task == 'in1k-knn']
    assert record.checkpoint.id == 'Net'
    assert f"'in1k-knn': {record.metrics['knn_top1'].value}" in capsys.readouterr().out
    assert names['maps'][0].shape[:2] == (2, 64)
    assert names['found'].features.shape == (1, 64)
