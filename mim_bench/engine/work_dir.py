"""Reads what a plain mmengine run left in its work directory: nothing is run, nothing guessed.

The layout is that of ``mmengine.runner.Runner``: a folder for each start, named by its time, with
a log, ``vis_data/config.py``, ``vis_data/scalars.json`` and, after a test, a JSON file of its
metrics. mmpretrain, mmdet and mmseg share it.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mim_bench.engine.scalars import read_entries
from mim_bench.errors import RecordError
from mim_bench.evaluation.metric_names import METRICS
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.results.protocol_file import setting_differences

_START = re.compile(r'^\d{8}_\d{6}$')
_CHECKPOINTS = {
    'epoch': re.compile(r'epoch_(\d+)\.pth$'),
    'iteration': re.compile(r'iter_(\d+)\.pth$'),
}
_SAVED = {
    unit: re.compile(rf'Saving checkpoint at (\d+) {unit}s') for unit in ('epoch', 'iteration')
}
# What a training logs itself is no evaluation.
_EVALUATED = {key for key, spec in METRICS.items() if spec.split != 'train'}
# Lines of the block that every runner logs first.
_FACTS = {
    'python': re.compile(r'^\s*Python: (\S+)', re.M),
    'torch': re.compile(r'^\s*PyTorch: (\S+)', re.M),
    'torchvision': re.compile(r'^\s*TorchVision: (\S+)', re.M),
    'mmengine': re.compile(r'^\s*MMEngine: (\S+)', re.M),
    'seed': re.compile(r'^\s*seed: (\d+)\s*$', re.M),
    'num_devices': re.compile(r'^\s*GPU number: (\d+)\s*$', re.M),
    'has_gpu': re.compile(r'^\s*CUDA available: (\w+)', re.M),
    'gpu': re.compile(r'^\s*GPU [\d,]+: (.+?)\s*$', re.M),
}
_HEAD_CHARACTERS = 200_000


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one validation or test, by the library's names.

    ``step`` is the epoch or iteration that it was logged at; None for a test.
    """

    metrics: dict[str, float]
    step: float | None = None


@dataclass(frozen=True)
class WorkDir:
    """What is known about a run.

    Attributes:
        path: The folder.
        cfg: The config that the newest start dumped.
        started_at: Time of the first start, in UTC; its folder is named by the local time.
        evaluations: In the order in which they were made.
        iterations: Logged training iterations by step, ascending; what a restart did again
            stands once.
        is_anew: Whether the training began anew after another one in the same folder.
        logs: Log files of the starts that count.
        facts: Versions, ``seed``, ``num_devices``, ``has_gpu``, ``gpu`` as the log states them.
    """

    path: Path
    cfg: Config
    started_at: str
    evaluations: list[Evaluation] = field(default_factory=list)
    iterations: dict[float, dict[str, Any]] = field(default_factory=dict)
    is_anew: bool = False
    logs: list[Path] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)


def find_work_dirs(folder: Path) -> list[Path]:
    """The work directories at and below a folder, in the order of their names.

    Raises:
        RecordError: The folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordError(f'{folder}: no such folder. Give work directories of runs.')
    starts = (p for p in folder.rglob('*') if _START.match(p.name) and p.is_dir())
    return sorted({start.parent for start in starts})


def read_work_dir(path: Path) -> WorkDir:
    """Read a work directory.

    Raises:
        RecordError: It has no start or no config that can be read.
    """
    path = Path(path)
    starts = sorted(p for p in path.iterdir() if _START.match(p.name) and p.is_dir())
    if not starts:
        raise RecordError('no run of mmengine started here. Give the work directory of one.')
    # One that logged nothing, for example because it was refused, says nothing of the others.
    logged = {start: (_entries(start), _tests(start)) for start in starts}
    logged = {start: both for start, both in logged.items() if any(both)} or {starts[-1]: ([], [])}
    evaluations: dict[Path, list[Evaluation]] = {}
    trainings: dict[Path, dict[float, dict[str, Any]]] = {}
    for start, (entries, tests) in logged.items():
        found = [Evaluation(_metrics(e), e.get('step')) for e in entries if _metrics(e)]
        trained = {e['step']: e for e in entries if 'loss' in e and _is_number(e.get('step'))}
        if trained:
            first = min(trained)
            if trainings and min(map(min, trainings.values())) >= first:  # begun anew
                evaluations.clear()
            trainings = {
                earlier: kept
                for earlier, steps in trainings.items()
                if (kept := {step: e for step, e in steps.items() if step < first})
            } | {start: trained}
        evaluations[start] = found + tests
    _check_one_training(path, list(trainings))
    newest = list(logged)[-1]
    return WorkDir(
        path=path,
        cfg=_config(path, newest),
        started_at=_utc(next(iter(evaluations)).name),
        evaluations=[e for start in evaluations for e in evaluations[start]],
        iterations={s: trainings[t][s] for t in trainings for s in sorted(trainings[t])},
        is_anew=len(evaluations) < len(logged),
        logs=[log for start in evaluations for log in sorted(start.glob('*.log'))],
        facts=_facts(newest),
    )


def _check_one_training(path: Path, starts: list[Path]) -> None:
    """Refuse trainings with different settings: nothing says whose result the folder holds."""
    settings = [protocol_settings(_config(path, start)) for start in starts]
    for start, found in zip(starts[1:], settings[1:], strict=True):
        if different := list(setting_differences(settings[0], found)):
            raise RecordError(
                f'the trainings {starts[0].name} and {start.name} in it had different settings '
                f'({different[0].key} was {different[0].first}, then {different[0].second}). Give '
                'each training a work directory of its own.'
            )


def check_finished(run: WorkDir, *, is_pretraining: bool = False) -> None:
    """Refuse a training that did not reach its end.

    Raises:
        RecordError: Says how far it got.
    """
    if not run.iterations and not is_pretraining:
        return  # a test of what was trained elsewhere
    train = run.cfg.get('train_cfg') or {}
    unit = 'epoch' if train.get('max_epochs') is not None else 'iteration'
    end = train.get('max_epochs') or train.get('max_iters')
    if end is None:
        raise RecordError('its config says neither max_epochs nor max_iters. Run it again.')
    steps = [evaluation.step for evaluation in run.evaluations if evaluation.step is not None]
    if unit == 'iteration':
        steps += list(run.iterations)
    reached = max([0, *steps, _last_checkpoint(run, unit)])
    if reached < end:
        raise RecordError(
            f'unfinished: it reached {unit} {reached:g} of {end:g}. Resume it, then collect again.'
        )


def _last_checkpoint(run: WorkDir, unit: str) -> int:
    if run.is_anew:  # the file may name a checkpoint of the training before
        texts = (log.read_text('utf-8', errors='replace') for log in run.logs)
        return max((int(n) for text in texts for n in _SAVED[unit].findall(text)), default=0)
    try:
        name = (run.path / 'last_checkpoint').read_text('utf-8').strip()
    except (OSError, UnicodeDecodeError):
        return 0
    found = _CHECKPOINTS[unit].search(name)
    return int(found[1]) if found else 0


def _config(path: Path, start: Path) -> Config:
    """The config that the runner dumped: under its own name, and for the visualizer."""
    dumped, named = start / 'vis_data' / 'config.py', sorted(path.glob('*.py'))
    if dumped.is_file():  # later starts overwrite the named one
        content = dumped.read_bytes()
        found = next((file for file in named if file.read_bytes() == content), dumped)
    else:
        found = named[0] if len(named) == 1 else dumped
    if not found.is_file():
        raise RecordError('there is no config in it, so nothing says what was measured.')
    try:
        # Dumped text is plain values; what it would import need not be installed here.
        return Config.fromfile(str(found), import_custom_modules=False)
    except Exception as error:  # the file may raise anything
        raise RecordError(
            f'{found.relative_to(path)} cannot be read ({type(error).__name__}: {error}), so '
            'nothing says what was measured.'
        ) from error


def _entries(start: Path) -> list[dict[str, Any]]:
    path = start / 'vis_data' / 'scalars.json'
    return list(read_entries(path)) if path.is_file() else []


def _tests(start: Path) -> list[Evaluation]:
    """The metrics of a test, which have no line among the scalars."""
    try:
        data = json.loads((start / f'{start.name}.json').read_text('utf-8'))
    except (OSError, ValueError):
        return []
    metrics = _metrics(data) if isinstance(data, dict) else {}
    return [Evaluation(metrics)] if metrics else []


def _metrics(entry: dict[str, Any]) -> dict[str, float]:
    return {key: entry[key] for key in _EVALUATED & set(entry) if _is_number(entry[key])}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _facts(start: Path) -> dict[str, str]:
    """Facts from the newest log of a start."""
    logs = sorted(start.glob('*.log'))
    if not logs:
        return {}
    with logs[-1].open(encoding='utf-8', errors='replace') as file:
        head = file.read(_HEAD_CHARACTERS)
    found = {name: pattern.search(head) for name, pattern in _FACTS.items()}
    return {name: match[1] for name, match in found.items() if match}


def _utc(name: str) -> str:
    moment = datetime.strptime(name, '%Y%m%d_%H%M%S').astimezone()
    return moment.astimezone(timezone.utc).isoformat(timespec='seconds')
