"""A run that evaluated nothing is recorded as failed, with the reason, by whatever command."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mim_bench.cli.main import main
from mim_bench.results.store import collect
from mim_bench.suite.locations import configs_folder

# Of upernet and mask-rcnn, two iterations or one epoch.
ITERATIONS = ('train_cfg.max_iters=2', 'train_cfg.val_interval=2')


def config(prefix):
    (path,) = (configs_folder() / 'demo').glob(f'{prefix}_*.py')
    return str(path)


def run(command, name, data_root, tmp_path, *options):
    """The exit status of a command on a demo config, and the records that it left by task."""
    words = [command, config(name), '--data-root', str(data_root), '--seed', '0']
    words += ['--work-dir', str(tmp_path / 'run'), '--results-dir', str(tmp_path / 'results')]
    status = main([*words, *(('--cfg-options', *options) if options else ())])
    collection = collect(tmp_path / 'results')
    assert not collection.damaged
    return status, {record.task: record for record in collection.records}


def assert_failed(record, reason):
    assert (record.status, record.metrics, record.primary_metric) == ('failed', {}, None)
    assert reason in record.error


@pytest.fixture
def coco(toy_root, tmp_path):
    """The embedded COCO without a single object in its validation images."""
    root = shutil.copytree(toy_root / 'coco', tmp_path / 'coco')
    path = root / 'annotations' / 'instances_val2017.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), 'annotations': []}))
    return root


@pytest.fixture
def unlabelled(toy_root, tmp_path):
    """Factory of the embedded ADE20K with nothing labelled in one of its splits."""

    def make(split):
        root = shutil.copytree(toy_root / 'ade' / 'ADEChallengeData2016', tmp_path / 'ade')
        for path in (root / 'annotations' / split).iterdir():
            Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
        return root

    return make


@pytest.mark.parametrize('score_threshold', [0.0, 1.0], ids=['detections', 'nothing detected'])
def test_detector_without_objects_to_find_is_failed(coco, tmp_path, capsys, score_threshold):
    threshold = f'model.test_cfg.rcnn.score_thr={score_threshold}'
    status, records = run('test', 'mask-rcnn_swin-toy', coco, tmp_path, threshold)
    assert status == 1
    assert_failed(records['coco-mask-rcnn'], 'not measured: bbox_mAP or segm_mAP')
    assert 'bbox_mAP = -1' in ' '.join(capsys.readouterr().err.split())


def test_segmentation_without_labels_is_failed(unlabelled, tmp_path, capsys):
    root = unlabelled('validation')
    status, records = run('train', 'upernet_swin-toy', root, tmp_path, *ITERATIONS)
    assert status == 1
    assert_failed(records['ade20k-upernet'], 'not finite: mIoU, aAcc, mAcc')
    assert 'mIoU = nan' in records['ade20k-upernet'].error
    assert 'mim-bench data check' in capsys.readouterr().err


def test_classifier_without_top1_is_failed(toy_root, tmp_path):
    options = ('test_evaluator.topk=(5,)',)
    status, records = run('test', 'finetune_swin-toy', toy_root / 'imagenet', tmp_path, *options)
    assert status == 1
    assert_failed(records['in1k-ft'], 'not measured: top1')


def test_probe_without_one_of_its_probes_is_failed_and_the_other_is_done(toy_root, tmp_path):
    path = tmp_path / 'probe.py'
    path.write_text(
        f"_base_ = '{config('probe_swin-toy')}'\n"
        'test_cfg = dict(probes=dict(_delete_=True, knn=dict(k=5)))\n'
    )
    words = ['test', str(path), '--data-root', str(toy_root / 'imagenet'), '--seed', '0']
    words += ['--work-dir', str(tmp_path / 'run'), '--results-dir', str(tmp_path / 'results')]
    assert main(words) == 1
    records = {record.task: record for record in collect(tmp_path / 'results').records}
    assert records['in1k-knn'].primary_metric == 'knn_top1'
    assert_failed(records['in1k-linear'], 'not measured: linear_top1 or top1')


def test_collect_of_a_run_without_a_result_is_failed(unlabelled, tmp_path):
    root = unlabelled('validation')
    words = ['train', config('upernet_swin-toy'), '--data-root', str(root), '--seed', '0']
    words += ['--work-dir', str(tmp_path / 'run'), '--cfg-options', *ITERATIONS]
    assert main(words) == 0  # nobody asked for a record
    assert main(['collect', str(tmp_path / 'run'), '--results-dir', str(tmp_path / 'results')]) == 0
    (record,) = collect(tmp_path / 'results').records
    assert record.origin == 'collected'
    assert_failed(record, 'not finite: mIoU')


def test_training_without_annotations_stops(unlabelled, tmp_path, capsys):
    root = unlabelled('training')
    status, records = run('train', 'upernet_swin-toy', root, tmp_path, 'train_cfg.max_iters=30')
    assert status == 1
    assert_failed(records['ade20k-upernet'], 'Every loss is exactly 0 from the first iteration')
    assert '(10 iterations)' in capsys.readouterr().err
