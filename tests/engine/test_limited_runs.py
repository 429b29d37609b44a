"""Runs on a few images of the embedded data, from the launch to the record."""

import numpy as np
import pytest

from mim_bench.engine import launch as run
from mim_bench.engine.launch import Launch
from mim_bench.results.store import read_record
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.demo_runs import data_root

SHORT = {
    'finetune_swin-toy_*': {
        'train_cfg.max_epochs': 1,
        'train_dataloader.batch_size': 4,
        'effective_batch_size': 4,
        'param_scheduler.warmup_epochs': 0,
    },
    'upernet_swin-toy_*': {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2},
    'mask-rcnn_swin-toy_*': {'train_cfg.max_epochs': 1},
}


def limited(pattern, toy_root, tmp_path, **changes):
    config = find_config(configs_folder(), pattern)
    return Launch(
        str(config),
        work_dir=str(tmp_path / 'run'),
        data_root=str(data_root(config, toy_root)),
        results_dir=str(tmp_path / 'results'),
        run_id='limited',
        **changes,
    )


@pytest.mark.slow
@pytest.mark.parametrize('pattern', SHORT)
def test_limited_training_evaluates_what_it_saw_and_says_so(pattern, toy_root, tmp_path):
    options = SHORT[pattern]
    runner = run.train(limited(pattern, toy_root, tmp_path, limit='4', options=options))
    assert len(runner.train_dataloader.dataset) == len(runner.val_dataloader.dataset) == 4
    record = read_record(tmp_path / 'results' / 'limited' / 'record.json')
    assert (record.status, record.limit) == ('done', '4')
    assert record.protocol.name.endswith('-limit4')
    assert (record.protocol.tier, record.config.changed) == ('smoke', True)


@pytest.mark.slow
def test_limited_probe_is_no_row_beside_a_whole_one(toy_root, tmp_path):
    options = {'test_cfg.probes.knn.k': 5}
    launch = limited('probe_swin-toy_*', toy_root, tmp_path, limit='20:0', options=options)
    run.test(launch)
    record = read_record(tmp_path / 'results' / 'limited-in1k-knn' / 'record.json')
    assert (record.limit, record.protocol.name) == ('20:0', 'toy-probe-limit20s0')


@pytest.mark.slow
def test_limited_probe_that_sees_five_classes_scores_all_ten(toy_root, tmp_path):
    """The first images of a folder are of its first classes."""
    options = {'test_cfg.probes.knn.k': 5}
    launch = limited('probe_vit-toy_*', toy_root, tmp_path, limit='20', options=options)
    run.test(launch)
    labels = [np.load(file) for file in tmp_path.glob('run/features/*/y.npy')]
    assert min(found.max() for found in labels) < 5
    for task in ('in1k-knn', 'in1k-linear'):
        record = read_record(tmp_path / 'results' / f'limited-{task}' / 'record.json')
        assert record.status == 'done'
        assert any(name.endswith('top5') for name in record.metrics)
