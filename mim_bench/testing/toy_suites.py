"""Suites of toy runs, each in a process of its own, as a user starts them."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope

from mim_bench.data.toy import make_toy
from mim_bench.data.toy.spec import SplitCount, ToySize
from mim_bench.registry import MODELS
from mim_bench.results.collection import collect

# As few images as the configs of the smoke suite train on.
SIZE = ToySize(imagenet=SplitCount(128, 20), ade=SplitCount(8, 4), coco=SplitCount(8, 4))
TINY_SWIN = dict(
    type='mim_bench.Swin',
    arch=dict(embed_dims=16, depths=(1, 1, 1), num_heads=(1, 2, 4)),
    window_size=4,
)


def write_inputs(folder: Path) -> tuple[Path, Path]:
    """Write a data set and a checkpoint of a small backbone with random weights.

    Returns:
        The folder of the data and the checkpoint.
    """
    make_toy(folder / 'data', size=SIZE)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(dict(TINY_SWIN))
    state = {f'backbone.{name}': value for name, value in network.state_dict().items()}
    torch.save({'state_dict': state}, folder / 'tiny.pth')
    return folder / 'data', folder / 'tiny.pth'


def suite_command(out: Path, inputs: tuple[Path, Path], tasks: str, *more: str) -> list[str]:
    """The command that takes the checkpoint through tasks of the smoke suite."""
    words = ['run', '--suite', 'smoke', '--checkpoint', str(inputs[1]), '--tasks', tasks]
    words += ['--data-root', str(inputs[0]), '--out', str(out), *more]
    return [sys.executable, '-m', 'mim_bench.cli.main', *words]


def run_suite(command: Sequence[str]) -> subprocess.CompletedProcess:
    """Run it to its end."""
    return subprocess.run(command, capture_output=True, text=True)


def measured(out: Path) -> dict[str, Any]:
    """What the records of a suite hold, but for time and cost; none may be damaged.

    Raises:
        AssertionError: A record is damaged.
    """
    results = out / 'results'
    if not results.is_dir():
        return {}
    collection = collect(results)
    if collection.damaged:
        raise AssertionError(f'damaged: {collection.damaged}')
    return {
        record.run_id: (
            *(record.status, record.task, record.protocol, record.checkpoint, record.seed),
            *(record.metrics, record.config),
        )
        for record in collection.records
    }
