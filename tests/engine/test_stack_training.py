"""Two iterations of each stage of the demo, by the command, on either OpenMMLab distribution."""

import math

import pytest

from mim_bench.cli.main import main
from mim_bench.results.store import read_record
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.demo_runs import data_root, read_losses, write_child

pytestmark = pytest.mark.stack

NUM_ITERS = 2
EPOCH = ('train_cfg.max_epochs=1', 'param_scheduler.warmup_epochs=0')
# By stage: config of the demo, what makes it short on 40 digits or 8 scenes, a metric.
STAGES = {
    'pretrain': ('ummae_swin-toy_', [*EPOCH, 'train_dataloader.batch_size=20'], 'loss'),
    'classify': (
        'finetune_ummae-swin-toy_',
        [*EPOCH, 'train_cfg.val_interval=1', 'train_dataloader.batch_size=20'],
        'top1',
    ),
    'segment': (
        'upernet_ummae-swin-toy_',
        ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'train_dataloader.batch_size=2'],
        'mIoU',
    ),
    'detect': (
        'mask-rcnn_ummae-swin-toy_',
        ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'train_dataloader.batch_size=4'],
        'segm_mAP',
    ),
}


@pytest.fixture
def train(toy_root, tmp_path):
    """Trains a stage; gives its work directory and its record."""

    def start(stage, *words):
        prefix, options, _ = STAGES[stage]
        base = find_config(configs_folder(), f'{prefix}*')
        config = write_child(tmp_path / f'{stage}.py', base, "log_level = 'ERROR'")
        folders = ['--work-dir', tmp_path / stage, '--data-root', data_root(base, toy_root)]
        record = ['--results-dir', tmp_path / 'results', '--run-id', stage]
        words = ['train', config, *folders, *record, *words]
        batch = next(o.partition('=')[2] for o in options if 'batch_size' in o)
        words += ['--cfg-options', *options, f'effective_batch_size={batch}']
        assert main([str(word) for word in words]) == 0
        return tmp_path / stage, read_record(tmp_path / 'results' / stage / 'record.json')

    return start


@pytest.mark.slow
@pytest.mark.parametrize('stage', STAGES)
def test_stage_trains_and_leaves_checkpoint_and_record(stage, train):
    work_dir, record = train(stage)
    losses = read_losses(work_dir)
    assert len(losses) == NUM_ITERS
    assert all(math.isfinite(loss) for loss in losses)
    assert record.status == 'done'
    assert math.isfinite(record.metrics[STAGES[stage][2]].value)


def test_pretraining_fills_the_fine_tuned_backbone(train, tmp_path):
    work_dir, _ = train('pretrain')
    backbone = tmp_path / 'backbone.pth'
    assert main(['convert', str(work_dir), str(backbone)]) == 0
    _, record = train('classify', '--checkpoint', backbone)
    assert record.checkpoint.method == 'ummae'
    assert record.load.share == 1.0
