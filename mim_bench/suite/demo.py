"""The demo: the whole main job on the embedded data, as a plan of steps. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mim_bench
from mim_bench.errors import ConfigError
from mim_bench.suite.steps import Step, folder_hash

DATA_ROOTS = {
    'in1k': 'imagenet',
    'ade20k': 'ade/ADEChallengeData2016',
    'coco': 'coco',
}


@dataclass(frozen=True)
class Row:
    """A row of the demo's leaderboard.

    Attributes:
        method: Pre-training method, or 'random'.
        backbone: As the config names spell it.
        given: Canonical checkpoint of the user, in place of a pre-training.
        sha256: Of that file.
    """

    method: str
    backbone: str
    given: Path | None = None
    sha256: str = ''

    @property
    def checkpoint_id(self) -> str:
        """Names the row."""
        return self.given.stem if self.given else f'{self.method}_{self.backbone}'


ROWS = (
    Row('ummae', 'ummae-swin-toy'),
    Row('simmim', 'swin-toy'),
    Row('random', 'ummae-swin-toy'),
    Row('random', 'swin-toy'),
)


@dataclass(frozen=True)
class Task:
    """A downstream task.

    Attributes:
        command: 'train' or 'test'.
        head: Name of the config up to the backbone.
        dataset: Key of ``DATA_ROOTS``.
        records: Tasks that it records.
        from_finetuned: Starts from the fine-tuned backbone, as UM-MAE's published
            segmentation and detection do, instead of the pre-trained one.
    """

    command: str
    head: str
    dataset: str
    records: tuple[str, ...]
    from_finetuned: bool = False


PROBE = Task('test', 'probe', 'in1k', ('in1k-knn', 'in1k-linear'))
FINETUNE = Task('train', 'finetune', 'in1k', ('in1k-ft',))
DENSE = (
    Task('train', 'upernet', 'ade20k', ('ade20k-upernet',), from_finetuned=True),
    Task('train', 'mask-rcnn', 'coco', ('coco-mask-rcnn',), from_finetuned=True),
)


def configs_folder() -> Path:
    """The folder ``configs/`` beside the package.

    Raises:
        ConfigError: It is not there.
    """
    folder = Path(mim_bench.__file__).resolve().parents[1] / 'configs'
    if not folder.is_dir():
        raise ConfigError(
            f'{folder}: the configs are not beside the package. Install mim_bench from a clone: '
            "pip install -e '.[onedl]'"
        )
    return folder


def plan_demo(out: Path, seed: int, given: Sequence[Row] = ()) -> list[Step]:
    """The steps of the demo.

    Args:
        out: Folder of data, runs, checkpoints and results.
        seed: Of the data and of every run.
        given: Rows of the user's own checkpoints.
    """
    configs = configs_folder()
    inputs = f'{mim_bench.__version__} {folder_hash(configs)}'
    data = out / 'data'
    make_data = Step(
        name='data',
        words=('data', 'make-toy', str(data), '--seed', str(seed), '--workers', '2'),
        files=(data / 'toy.json',),
    )
    steps = [make_data]
    for row in (*ROWS, *given):
        start, needs = row.given, 'data'
        if not row.given and row.method != 'random':
            pretrain = _pretrain(row, out, configs, seed, inputs)
            start = out / 'checkpoints' / f'{row.checkpoint_id}.pth'
            convert = _convert(f'convert-{row.checkpoint_id}', pretrain, start)
            steps += [pretrain, convert]
            needs = convert.name
        settings = (row, out, configs, seed, inputs + row.sha256)
        finetune = _downstream(FINETUNE, start, needs, *settings)
        finetuned = out / 'checkpoints' / f'{row.checkpoint_id}.finetuned.pth'
        keep = _convert(f'keep-finetuned-{row.checkpoint_id}', finetune, finetuned)
        steps += [_downstream(PROBE, start, needs, *settings), finetune, keep]
        steps += [_downstream(task, finetuned, keep.name, *settings) for task in DENSE]
    # The long chains first, so that no worker waits for them at the end.
    return sorted(steps, key=lambda step: '-random_' in step.name)


def _pretrain(row: Row, out: Path, configs: Path, seed: int, inputs: str) -> Step:
    # Pre-training configs are named by their method, not by the backbone's own name.
    config = find_config(configs, f'{row.method}_swin-toy_')
    name = f'pretrain-{row.checkpoint_id}'
    return Step(
        name=name,
        words=('train', *_run_words(name, config, 'in1k', row, out, seed), '--auto-resume'),
        records=_records(out, name, ('pretrain',)),
        work_dir=out / 'work_dirs' / name,
        needs=('data',),
        inputs=inputs,
    )


def _convert(name: str, training: Step, checkpoint: Path) -> Step:
    return Step(
        name=name,
        words=('convert', str(training.work_dir), str(checkpoint)),
        files=(checkpoint,),
        needs=(training.name,),
        inputs=training.fingerprint,
    )


def _downstream(
    task: Task,
    start: Path | None,
    needs: str,
    row: Row,
    out: Path,
    configs: Path,
    seed: int,
    inputs: str,
) -> Step:
    config = find_config(configs, f'{task.head}_{row.backbone}_')
    name = f'{task.head}-{row.checkpoint_id}'
    words = [task.command, *_run_words(name, config, task.dataset, row, out, seed)]
    if task.from_finetuned:
        # The row is the pre-trained checkpoint, whatever file its tasks start from.
        words.append('sha256=None')
    if task.command == 'train':
        words.append('--auto-resume')
    if start is not None:
        words += ['--checkpoint', str(start)]
    if row.given:
        words.append('--fit-backbone')
    return Step(
        name=name,
        words=tuple(words),
        records=_records(out, name, task.records),
        work_dir=out / 'work_dirs' / name,
        needs=(needs,),
        inputs=inputs,
    )


def _run_words(
    name: str, config: Path, dataset: str, row: Row, out: Path, seed: int
) -> tuple[str, ...]:
    return (
        str(config),
        *('--work-dir', str(out / 'work_dirs' / name)),
        *('--data-root', str(out / 'data' / DATA_ROOTS[dataset])),
        *('--seed', str(seed)),
        *('--results-dir', str(out / 'results')),
        *('--run-id', name),
        '--record-checkpoint',
        f'id={row.checkpoint_id}',
        f'method={row.method}',
        f'backbone={row.backbone}',
        *(
            []
            if row.given
            else [f'source={"random weights" if row.method == "random" else "mim_bench"}']
        ),
    )


def _records(out: Path, name: str, tasks: tuple[str, ...]) -> tuple[Path, ...]:
    ids = [name] if len(tasks) == 1 else [f'{name}-{task}' for task in tasks]
    return tuple(out / 'results' / run_id / 'record.json' for run_id in ids)


def find_config(configs: Path, prefix: str) -> Path:
    """The one demo config whose name starts so.

    Raises:
        ConfigError: None or several do.
    """
    found = sorted((configs / 'demo').glob(f'{prefix}*.py'))
    if len(found) != 1:
        raise ConfigError(f'{configs}/demo: {len(found)} configs start with {prefix!r}, not one.')
    return found[0]
