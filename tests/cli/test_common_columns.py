"""The common protocols put every family of backbones into one column of the board."""

from pathlib import Path

import pytest
from rich.console import Console

from mim_bench.architectures import FAMILIES
from mim_bench.cli._board_view import print_leaderboard
from mim_bench.cli.main import main
from mim_bench.report.build import build_leaderboard
from mim_bench.results.collection import collect

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
FINETUNE = [
    'train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'param_scheduler.warmup_epochs=0',
    'train_dataloader.batch_size=20', 'effective_batch_size=20',
]  # fmt: skip
UPERNET = [
    'train_cfg.max_iters=4', 'train_cfg.val_interval=4', 'param_scheduler.1.end=4',
    'param_scheduler.0.end=2', 'param_scheduler.1.begin=2',
    'train_dataloader.batch_size=2', 'effective_batch_size=2',
]  # fmt: skip
MASK_RCNN = [
    'train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'param_scheduler.1.end=1',
    'param_scheduler.1.T_max=1', 'param_scheduler.0.end=1',
]  # fmt: skip
HTC_PLUS = [
    'train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'param_scheduler.0.end=1',
    'param_scheduler.1.end=2', 'param_scheduler.1.T_max=2',
]  # fmt: skip
TASKS = {
    'in1k-ft': ('finetune', 'imagenet', FINETUNE),
    'ade20k-upernet': ('upernet', 'ade/ADEChallengeData2016', UPERNET),
    'coco-mask-rcnn': ('mask-rcnn', 'coco', MASK_RCNN),
    'coco-htc-plus': ('htc-plus', 'coco', HTC_PLUS),
}


@pytest.mark.slow
@pytest.mark.parametrize('task', TASKS)
def test_every_family_ranks_in_one_column(task, toy_root, tmp_path):
    head, folder, options = TASKS[task]
    for family in FAMILIES:
        (config,) = DEMO.glob(f'{head}_{family}-toy_*.py')
        words = ['train', str(config), '--no-amp', '--data-root', str(toy_root / folder)]
        words += ['--work-dir', str(tmp_path / family), '--results-dir', str(tmp_path / 'results')]
        words += ['--record-checkpoint', f'id={family}', 'method=random']
        assert main([*words, '--cfg-options', *options]) == 0
    collection = collect(tmp_path / 'results')
    assert [record.status for record in collection.records] == ['done'] * len(FAMILIES)
    board = build_leaderboard(collection)
    place = next(place for place in board.contests if board.columns[place].task == task)
    states = board.cells['state'][board.cells['column'] == place]
    assert list(states) == ['value'] * len(FAMILIES)
    print_leaderboard(board, Console(width=150))
