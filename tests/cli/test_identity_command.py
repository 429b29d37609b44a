"""One file is one row, whatever the path into a run; and a row says which labels it has seen."""

from pathlib import Path

import pytest

from mim_bench.cli.main import main
from mim_bench.conversion.files import read_checkpoint
from mim_bench.files.hashing import file_sha256
from mim_bench.results.collection import collect
from mim_bench.testing.config_names import demo

SHORT = (
    'param_scheduler.warmup_epochs=0',
    'train_cfg.max_epochs=1',
    'train_dataloader.batch_size=32',
    'effective_batch_size=32',
)


@pytest.fixture(scope='module')
def of_suite(suite):
    """The record of k-NN that ``run`` made of the file."""
    assert suite.process.returncode == 0, suite.process.stderr
    return record_of(suite.out / 'results', 'in1k-knn')


def record_of(results, task):
    (record,) = [r for r in collect(results).records if r.task == task]
    return record


def launch(command, name, inputs, folder, *words):
    """A run outside of any suite; its records lie in ``<folder>/results``."""
    base = [command, demo(name), '--data-root', str(inputs[0] / 'imagenet'), '--seed', '0']
    base += ['--work-dir', str(folder / 'run'), '--results-dir', str(folder / 'results')]
    assert main([*base, '--fit-backbone', *words]) == 0
    return folder / 'results'


def test_run_of_a_file_and_test_of_its_conversion_are_one_row(suite, of_suite, inputs, tmp_path):
    converted = str(suite.out / 'checkpoints' / 'tiny.pth')
    results = launch('test', 'probe_swin-toy', inputs, tmp_path, '--checkpoint', converted)
    record = record_of(results, 'in1k-knn')
    assert of_suite.checkpoint.sha256 == record.checkpoint.sha256 == file_sha256(inputs[1])
    assert (record.checkpoint.id, record.checkpoint.backbone) == ('tiny', 'Swin')
    for field in ('method', 'labels', 'pretrain_data', 'params', 'known_from', 'source'):
        assert getattr(record.checkpoint, field) == getattr(of_suite.checkpoint, field)


def test_run_records_what_the_user_stated(of_suite):
    checkpoint = of_suite.checkpoint
    assert (checkpoint.method, checkpoint.pretrain_data, checkpoint.labels) == ('mae', 'in1k', [])
    assert checkpoint.known_from['labels'] == 'stated'
    assert checkpoint.known_from['params'] == 'weights'
    assert checkpoint.licence is checkpoint.img_size is checkpoint.pretrain_epochs is None


@pytest.fixture(scope='module')
def finetuned(suite, inputs, tmp_path_factory):
    """A fine-tuning of the file by ``train``, its record, and its backbone taken out."""
    folder = tmp_path_factory.mktemp('finetuned')
    words = ['--checkpoint', str(suite.out / 'checkpoints' / 'tiny.pth'), '--cfg-options', *SHORT]
    results = launch('train', 'finetune_swin-toy', inputs, folder, *words)
    assert main(['convert', str(folder / 'run'), str(folder / 'backbone.pth')]) == 0
    return record_of(results, 'in1k-ft'), folder / 'backbone.pth'


def test_train_of_the_conversion_is_the_same_row_too(of_suite, finetuned):
    assert finetuned[0].checkpoint.sha256 == of_suite.checkpoint.sha256
    assert finetuned[0].checkpoint.labels == []


def test_backbone_of_a_labelled_run_has_seen_its_labels_and_says_by_what(finetuned, inputs, capsys):
    _, path = finetuned
    meta = read_checkpoint(path)['meta']
    assert (meta['method'], meta['pretrain_data'], meta['labels']) == ('mae', 'in1k', ['in1k'])
    trained_by = meta['trained_by']
    assert (trained_by['task'], trained_by['protocol']) == ('in1k-ft', 'toy-ft')
    assert trained_by['version'] == '2'
    assert main(['inspect', str(path)]) == 0
    assert "['in1k']" in capsys.readouterr().out


def test_probe_of_a_fine_tuned_backbone_is_marked_on_the_board(finetuned, inputs, tmp_path, capsys):
    words = ['--checkpoint', str(finetuned[1])]
    results = launch('test', 'probe_swin-toy', inputs, tmp_path, *words)
    assert record_of(results, 'in1k-knn').checkpoint.saw_labels_of('in1k-knn')
    assert main(['report', str(results), '--out', str(tmp_path / 'board')]) == 0
    shown = capsys.readouterr().out
    for text in (shown, *(Path(tmp_path / 'board' / f).read_text() for f in ('leaderboard.md',))):
        assert '‡' in text
        assert 'saw labels' in text


def test_random_weights_have_seen_no_labels(inputs, tmp_path):
    base = ['test', demo('probe_swin-toy'), '--data-root', str(inputs[0] / 'imagenet')]
    base += ['--work-dir', str(tmp_path / 'run'), '--results-dir', str(tmp_path / 'results')]
    assert main(base) == 0
    checkpoint = record_of(tmp_path / 'results', 'in1k-knn').checkpoint
    assert (checkpoint.method, checkpoint.labels, checkpoint.pretrain_data) == ('random', [], None)
    assert checkpoint.params > 1000
