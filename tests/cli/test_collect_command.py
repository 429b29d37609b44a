import json

import pytest

from mim_bench.cli.main import main
from mim_bench.results.collection import collect
from mim_bench.results.store import read_record

LOG = """2026/01/02 03:04:05 - mmengine - INFO -
------------------------------------------------------------
System environment:
    sys.platform: linux
    Python: 3.10.4 (main, Jan  1 2026) [GCC 12.2.0]
    CUDA available: True
    numpy_random_seed: 12
    GPU 0,1: NVIDIA A100-SXM4-80GB
    PyTorch: 2.4.0
    TorchVision: 0.19.0
    MMEngine: 0.10.7

Runtime environment:
    seed: 12
    Distributed launcher: pytorch
    Distributed training: True
    GPU number: 2
------------------------------------------------------------
"""
CONFIGS = {
    'mmpretrain': """
default_scope = 'mmpretrain'
train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=1)
model = dict(type='ImageClassifier', backbone=dict(type='VisionTransformer'))
""",
    'mmdet': """
default_scope = 'mmdet'
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
model = dict(type='MaskRCNN', backbone=dict(type='SwinTransformer'))
custom_imports = dict(imports=['package_that_is_not_here'], allow_failed_imports=False)
""",
    'mmseg': """
default_scope = 'mmseg'
train_cfg = dict(type='IterBasedTrainLoop', max_iters=100, val_interval=100)
model = dict(type='EncoderDecoder', backbone=dict(type='mmpretrain.SwinTransformer'))
""",
}
LINES = {
    'mmpretrain': [
        {'lr': 0.1, 'data_time': 0.1, 'loss': 2.0, 'time': 0.5, 'epoch': 1, 'iter': 50, 'step': 50},
        {'accuracy/top1': 70.5, 'accuracy/top5': 90.0, 'time': 0.1, 'step': 1},
        {'lr': 0.1, 'data_time': 0.1, 'loss': 1.0, 'time': 0.5, 'epoch': 2, 'iter': 99, 'step': 99},
        {'accuracy/top1': 71.25, 'accuracy/top5': 91.0, 'time': 0.1, 'step': 2},
    ],
    'mmdet': [
        {'lr': 0.1, 'loss': 2.0, 'time': 0.5, 'epoch': 1, 'iter': 50, 'step': 50},
        {'coco/bbox_mAP': 0.401, 'coco/segm_mAP': 0.352, 'coco/bbox_mAP_s': -1.0, 'step': 2},
    ],
    'mmseg': [
        {'lr': 0.1, 'loss': 2.0, 'time': 0.5, 'iter': 100, 'step': 100},
        {'aAcc': 81.0, 'mIoU': 40.5, 'mAcc': 55.0, 'time': 0.1, 'step': 100},
    ],
}


def make_work_dir(folder, library):
    """What the tools of a library leave, as files; without checkpoints."""
    start = folder / library / '20260102_030405'
    (start / 'vis_data').mkdir(parents=True)
    text = CONFIGS[library] + 'train_dataloader = dict(batch_size=16)\n'
    (folder / library / f'a_{library}_config.py').write_text(text)
    (start / 'vis_data' / 'config.py').write_text(text)
    (start / 'vis_data' / 'scalars.json').write_text('\n'.join(map(json.dumps, LINES[library])))
    (start / '20260102_030405.log').write_text(LOG)
    return folder / library


@pytest.mark.parametrize(
    ('library', 'metrics', 'backbone'),
    [
        ('mmpretrain', {'top1': 71.25, 'top5': 91.0}, 'VisionTransformer'),
        ('mmdet', {'bbox_mAP': 40.1, 'segm_mAP': 35.2}, 'SwinTransformer'),
        ('mmseg', {'mIoU': 40.5, 'aAcc': 81.0, 'mAcc': 55.0}, 'SwinTransformer'),
    ],
)
def test_collect_work_dir_of_each_library(tmp_path, capsys, library, metrics, backbone):
    run, results = make_work_dir(tmp_path, library), tmp_path / 'results'
    words = ['collect', str(run), '--results-dir', str(results), '--task', 'my-task']
    words += ['--record-checkpoint', 'id=mine', 'method=mae', 'pretrain_epochs=400']
    assert main(words) == 0
    path = results / 'my-task-mine-s12' / 'record.json'
    assert str(path) in capsys.readouterr().out
    record = read_record(path)
    assert {n: round(m.value, 6) for n, m in record.metrics.items()} == metrics
    assert (record.checkpoint.backbone, record.checkpoint.pretrain_epochs) == (backbone, 400)
    assert record.protocol.name == f'a_{library}_config'
    assert record.config.path == f'a_{library}_config.py'
    assert (record.env['library'], record.env['torch']) == (library, '2.4.0')
    assert (record.cost.device, record.cost.num_devices) == ('NVIDIA A100-SXM4-80GB', 2)
    assert record.cost.img_per_s == 64.0
    waited = {'mmpretrain': 0.2}.get(library)
    assert record.cost.data_wait_share == pytest.approx(waited)
    seconds = {'mmpretrain': 49.5, 'mmdet': 25.0, 'mmseg': 50.0}[library]
    assert record.cost.wall_s == pytest.approx(seconds)
    assert record.cost.gpu_hours == pytest.approx(2 * seconds / 3600)


def test_collect_names_what_is_left_out_and_collects_the_rest(tmp_path, capsys):
    for library in CONFIGS:
        make_work_dir(tmp_path / 'work_dirs', library)
    (scalars,) = (tmp_path / 'work_dirs' / 'mmdet').glob('*/vis_data/scalars.json')
    scalars.write_text(json.dumps(LINES['mmdet'][0]))
    words = ['collect', str(tmp_path / 'work_dirs'), '--results-dir', str(tmp_path / 'results')]
    assert main([*words, '--task', 'my-task']) == 1
    printed = capsys.readouterr().out
    assert 'mmdet: unfinished: it reached epoch 0 of 2' in printed
    ids = [record.checkpoint.id for record in collect(tmp_path / 'results').records]
    assert ids == ['mmpretrain', 'mmseg']


def test_collected_records_are_on_the_board_and_say_so(tmp_path, capsys):
    run, results = make_work_dir(tmp_path, 'mmseg'), tmp_path / 'results'
    words = ['collect', str(run), '--results-dir', str(results), '--task', 'ade20k-upernet']
    assert main(words) == 0
    assert main(['report', str(results), '--out', str(tmp_path / 'out')]) == 0
    assert '40.5' in capsys.readouterr().out
    assert 'collected' in (tmp_path / 'out' / 'leaderboard.html').read_text('utf-8')


def test_collect_facts_of_a_file_that_does_not_exist_are_refused(tmp_path, capsys):
    run = make_work_dir(tmp_path, 'mmseg')
    words = ['collect', str(run), '--results-dir', str(tmp_path / 'results'), '--task', 'my-task']
    assert main([*words, '--record-checkpoint', 'file=absent.pth']) == 1
    assert 'file=absent.pth: there is no such file' in capsys.readouterr().err
    assert not (tmp_path / 'results').exists()


def test_collect_folder_without_a_run_is_named(tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    words = ['collect', str(tmp_path / 'empty'), '--results-dir', str(tmp_path / 'results')]
    assert main(words) == 1
    assert 'empty: no run of mmengine in it' in capsys.readouterr().out


def test_collect_run_id_for_several_runs_is_refused(tmp_path, capsys):
    for library in CONFIGS:
        make_work_dir(tmp_path, library)
    words = ['collect', str(tmp_path), '--results-dir', str(tmp_path / 'r'), '--run-id', 'a']
    assert main(words) == 1
    assert '--run-id names one record, but there are 3 runs' in capsys.readouterr().err
