"""The configs in ``configs/demo``: which there are, short children of them, what they leave."""

import ast
import itertools
import json
import os
import pickle
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mmengine.config import Config
from mmengine.runner import runner

from mim_bench.conversion.files import read_checkpoint
from mim_bench.conversion.weight_files import latest_checkpoint
from mim_bench.engine.config_layout import import_layout
from mim_bench.suite.config_index import read_settings
from mim_bench.suite.locations import DATA_ROOTS, configs_folder

COUNTER = itertools.count()


def pretraining_configs() -> list[Path]:
    """Every demo config that pre-trains: those with the key ``pretraining``."""
    paths = sorted((configs_folder() / 'demo').glob('*.py'))
    return [path for path in paths if 'pretraining' in read_settings(path)]


def short_name(config: Path) -> str:
    """Method and backbone of a config, for example ``ummae_swin-toy``."""
    return config.stem.partition('_1xb')[0]


def data_root(config: Path, toy_root: Path) -> Path:
    """The folder that a demo config reads.

    Args:
        config: Its name says the data set.
        toy_root: What ``mim-bench data make-toy`` wrote.
    """
    (folder,) = (folder for name, folder in DATA_ROOTS.items() if f'_toy-{name}-' in config.name)
    return toy_root / folder


def write_child(path: Path, base: Path, text: str = '', hook: str = '') -> Path:
    """Write a config that inherits from a demo config.

    Args:
        path: Where to.
        base: The demo config.
        text: What differs.
        hook: A hook of :mod:`mim_bench.testing.hooks` in addition, as the text of a dictionary.
    """
    lines = [
        f'_base_ = {str(base)!r}',
        "custom_imports = dict(imports=['mim_bench.testing.hooks'])",
        f'custom_hooks = [*_base_.custom_hooks, {hook}]',
        # mmengine's default has a resolution of one second, too coarse for runs in one process.
        f"experiment_name = '{path.stem}-{next(COUNTER)}'",
        text,
    ]
    path.write_text('\n'.join(lines) + '\n')
    return path


def read_losses(work_dir: Path) -> list[float]:
    """The loss of every iteration up to the newest checkpoint, as the main process saw it."""
    content = read_checkpoint(latest_checkpoint(work_dir))
    return content['message_hub']['log_scalars']['train/loss'].data[0].tolist()


def read_rank_losses(work_dir: Path, num_processes: int) -> list[list[float]]:
    """What ``LossHook`` wrote: the losses of each process by iteration."""
    files = [work_dir / f'losses-{rank}.json' for rank in range(num_processes)]
    return [json.loads(path.read_text()) for path in files]


def plain_config_text() -> AbstractContextManager:
    """Do not lay out configs: doing so six times a run takes as long as a short training."""
    import_layout()

    def unchanged(text: str, **_: object) -> tuple[str, bool]:
        ast.parse(text)  # yapf refuses what is no Python
        return text, False

    return patch('yapf.yapflib.yapf_api.FormatCode', unchanged)


def environment_read_once() -> AbstractContextManager:
    """Ask for the versions of compilers and libraries once: every run logs them."""
    known = runner.collect_env()
    return patch.object(runner, 'collect_env', lambda: known)


def configs_read_once() -> AbstractContextManager:
    """Parse each file of ``configs/`` once: each has some eight bases, and many tests read it."""
    read, known = Config._file2dict, {}
    folder = f'{configs_folder()}{os.sep}'

    def read_once(filename: str, *args: Any, **options: Any) -> tuple[dict, str, dict]:
        if not filename.startswith(folder):
            return read(filename, *args, **options)
        key = filename, os.stat(filename).st_mtime_ns, args, tuple(options.items())
        if key not in known:
            known[key] = pickle.dumps(read(filename, *args, **options))
        return pickle.loads(known[key])  # noqa: S301  of this process

    return patch.object(Config, '_file2dict', read_once)
