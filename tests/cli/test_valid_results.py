"""A run that evaluated nothing is recorded as failed, with the reason, by whatever command."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mim_bench.cli.main import main
from mim_bench.recipe.building import build_model
from mim_bench.recipe.config import load_config
from mim_bench.results.collection import collect
from mim_bench.testing.config_names import demo

# Of upernet and mask-rcnn, two iterations or one epoch.
ITERATIONS = ('train_cfg.max_iters=2', 'train_cfg.val_interval=2')


def run(command, name, data_root, tmp_path, *options, model=()):
    """The exit status of a command on a demo config, and the records that it left by task."""
    words = [command, demo(name), *model, '--data-root', str(data_root), '--seed', '0']
    words += ['--work-dir', str(tmp_path / 'run'), '--results-dir', str(tmp_path / 'results')]
    status = main([*words, *(('--cfg-options', *options) if options else ())])
    (tmp_path / 'results').mkdir(exist_ok=True)
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
    """The embedded ADE20K with nothing labelled in its validation images."""
    root = shutil.copytree(toy_root / 'ade' / 'ADEChallengeData2016', tmp_path / 'ade')
    for path in (root / 'annotations' / 'validation').iterdir():
        Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    return root


@pytest.mark.parametrize(
    'score_threshold',
    [
        pytest.param(0.0, id='detections'),
        pytest.param(1.0, id='nothing detected', marks=pytest.mark.slow),
    ],
)
def test_detector_without_objects_to_find_is_failed(coco, tmp_path, capsys, score_threshold):
    threshold = f'model.test_cfg.rcnn.score_thr={score_threshold}'
    model = build_model(load_config(demo('mask-rcnn_swin-toy')))
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'model.pth')
    words = [str(tmp_path / 'model.pth')]
    status, records = run('test', 'mask-rcnn_swin-toy', coco, tmp_path, threshold, model=words)
    assert status == 1
    assert_failed(records['coco-mask-rcnn'], 'annotations: the list is empty')
    assert 'mim-bench data check coco' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['finetune_vit-toy', 'upernet_vit-toy', 'mask-rcnn_vit-toy'])
def test_test_of_a_model_that_nothing_trained_is_refused(name, toy_root, tmp_path, capsys):
    status, records = run('test', name, toy_root, tmp_path)
    assert (status, records) == (1, {})
    assert 'Name the trained checkpoint' in capsys.readouterr().err


def test_segmentation_without_labels_is_failed_also_where_it_is_collected(
    unlabelled, tmp_path, capsys
):
    status, records = run('train', 'upernet_swin-toy', unlabelled, tmp_path, *ITERATIONS)
    assert status == 1
    assert_failed(records['ade20k-upernet'], 'not finite: mIoU, aAcc, mAcc')
    assert 'mIoU = nan' in records['ade20k-upernet'].error
    assert 'mim-bench data check' in capsys.readouterr().err
    collected = tmp_path / 'collected'
    assert main(['collect', str(tmp_path / 'run'), '--results-dir', str(collected)]) == 0
    (record,) = collect(collected).records
    assert record.origin == 'collected'
    assert_failed(record, 'not finite: mIoU')
