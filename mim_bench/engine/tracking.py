"""Experiment trackers that follow a run, by mmengine's visualization backends."""

import os
import uuid
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import WandbVisBackend as MMEngineWandbVisBackend

from mim_bench.errors import ConfigError, did_you_mean
from mim_bench.registry import VISBACKENDS

# Each has the name of its package.
TRACKERS = ('tensorboard', 'wandb', 'mlflow')
PROJECT = 'mim-bench'
WANDB_ID_FILE = 'wandb_id.txt'


@VISBACKENDS.register_module()
class WandbVisBackend(MMEngineWandbVisBackend):
    """mmengine's, which does not upload every Python file below the current folder."""

    def add_config(self, config: Config, **kwargs: Any) -> None:
        """Record the config."""
        self.experiment.config.update(config.to_dict(), allow_val_change=True)


class TrackHook(Hook):
    """Send the metrics of a test to trackers; those of validations arrive anyway.

    Args:
        names: Names of the visualizer's backends.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Send the metrics of the test."""
        if is_main_process():
            found = {k: float(v) for k, v in (metrics or {}).items() if isinstance(v, int | float)}
            for name in self._names:
                runner.visualizer.get_backend(name).add_scalars(found)


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that a run could not write to.

    Raises:
        ConfigError: A name is unknown, or its package is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(
                f'--track {name}: there is no such tracker.{did_you_mean(name, TRACKERS)} '
                f'Known: {", ".join(TRACKERS)}.'
            )
        if find_spec(name) is None:
            raise ConfigError(
                f'--track {name}: the package {name} is not installed. '
                f'Run `pip install {name}`, or leave the tracker out.'
            )


def tracking_settings(names: Sequence[str], run: str, task: str | None) -> dict[str, Any]:
    """The key ``track`` of a config.

    Args:
        names: Names of trackers.
        run: Name of the run.
        task: Groups runs in W&B, and is a tag in MLflow.

    Raises:
        ConfigError: See :func:`check_trackers`.
    """
    check_trackers(names)
    return dict(names=list(dict.fromkeys(names)), run=run, task=task)


def tracked_visualizer(
    visualizer: dict[str, Any] | None, track: dict[str, Any], work_dir: Path, *, resumes: bool
) -> dict[str, Any]:
    """The config of a visualizer with the backends of the trackers, each under its name.

    In W&B, a run that resumes goes on in the run that it was. MLflow writes where
    ``MLFLOW_TRACKING_URI`` says, as in all its programs, else into the work directory.

    Args:
        visualizer: The config's own; None: mmengine's default.
        track: Result of :func:`tracking_settings`.
        work_dir: Work directory of the run.
        resumes: Whether the run goes on from a checkpoint.
    """
    local = {'type': 'Visualizer', 'vis_backends': [{'type': 'LocalVisBackend'}]}
    settings = dict(visualizer or local)
    backends = settings.get('vis_backends') or []
    own = [backends] if isinstance(backends, dict) else list(backends)
    added = [_backend(name, track, work_dir.resolve(), resumes) for name in track['names']]
    return {**settings, 'vis_backends': [*own, *added]}


def _backend(name: str, track: dict[str, Any], work_dir: Path, resumes: bool) -> dict[str, Any]:
    if name == 'tensorboard':
        return dict(type='TensorboardVisBackend', name=name)
    if name == 'wandb':
        run_id = _wandb_id(work_dir / WANDB_ID_FILE, resumes)
        init = dict(project=PROJECT, name=track['run'], group=track['task'], id=run_id)
        init.update(resume='allow', dir=str(work_dir), allow_val_change=True)
        return dict(type='mim_bench.WandbVisBackend', name=name, init_kwargs=init)
    server = os.environ.get('MLFLOW_TRACKING_URI')
    return dict(
        type='MLflowVisBackend',
        name=name,
        exp_name=PROJECT,
        run_name=track['run'],
        tags={'task': track['task'] or ''},
        # MLflow 3 refuses the folders that mmengine would have it write.
        tracking_uri=server or f'sqlite:///{work_dir / "mlflow.db"}',
        artifact_location=None if server else (work_dir / 'mlflow').as_uri(),
        tracked_config_keys=(),  # the config is a file of the run
    )


def _wandb_id(path: Path, resumes: bool) -> str:
    """The id of the run that is resumed, else a new one, kept for the next start."""
    if resumes and path.is_file():
        return path.read_text('utf-8').strip()
    new = uuid.uuid4().hex[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(new, 'utf-8')
    return new
