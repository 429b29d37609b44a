"""The demo: pre-training on the embedded data, then the suite ``smoke``, as one plan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mim_bench.errors import ConfigError
from mim_bench.suite.config_index import config_hash
from mim_bench.suite.locations import configs_folder
from mim_bench.suite.plan import (
    DATA_STEP,
    Places,
    Row,
    keep_backbone,
    make_data,
    plan_rows,
    record_paths,
    run_words,
)
from mim_bench.suite.steps import Step
from mim_bench.suite.tasks import load_suite

SUITE = 'smoke'
TASKS = ('in1k-knn', 'in1k-linear', 'in1k-ft', 'ade20k-upernet', 'coco-mask-rcnn')


@dataclass(frozen=True)
class Demo:
    """The rows of a demo and the size of its data.

    Attributes:
        rows: Method and backbone of each pre-training; random weights of each backbone are rows
            too.
        size: Size of the embedded data.
    """

    rows: tuple[tuple[str, str], ...]
    size: str

    @property
    def random_backbones(self) -> tuple[str, ...]:
        """Each backbone once, in the order of the rows."""
        return tuple(dict.fromkeys(backbone for _, backbone in self.rows))

    @property
    def row_ids(self) -> tuple[str, ...]:
        """Names of all rows."""
        made = [f'{method}_{backbone}' for method, backbone in self.rows]
        return (*made, *(random_row(backbone).id for backbone in self.random_backbones))


QUICK = Demo((('localmim', 'vit-toy'), ('mae', 'vit-toy')), 'demo')
FULL = Demo((*QUICK.rows, ('ummae', 'ummae-swin-toy'), ('simmim', 'swin-toy')), 'default')
_ORDER = (
    'data', 'toy-probe-random', 'pretrain', 'convert', 'toy-probe', 'toy-ft', 'keep',
    'toy-mask-rcnn', 'toy-upernet',
)  # fmt: skip
# Seconds that the steps of QUICK took on one core of a virtual machine with two.
_SECONDS = {
    'data': 38,
    'pretrain-localmim': 70,
    'pretrain-mae': 130,
    'pretrain': 42,
    'convert': 1,
    'toy-probe': 9,
    'toy-ft': 44,
    'keep': 1,
    'toy-mask-rcnn': 94,
    'toy-upernet': 62,
}


def demo_places(out: Path) -> Places:
    """Where the demo reads and writes; its data lie in its own folder."""
    return Places(out, out / 'data', is_embedded=True)


def plan_demo(out: Path, seed: int, given: Sequence[Row] = (), demo: Demo = QUICK) -> list[Step]:
    """The steps of the demo.

    Args:
        out: Folder of data, runs, checkpoints and results.
        seed: Seed of the data and of every run.
        given: Rows of the user's checkpoints.
        demo: What is compared.
    """
    places = demo_places(out)
    steps, rows = [make_data(places, seed, demo.size)], []
    for method, backbone in demo.rows:
        row = Row(f'{method}_{backbone}', method, backbone)
        pretrain = _pretrain(row, places, seed)
        start = places.checkpoints / f'{row.id}.pth'
        convert = keep_backbone(f'convert-{row.id}', pretrain, start)
        steps += [pretrain, convert]
        rows.append(
            Row(
                row.id,
                method,
                backbone,
                start,
                needs=(convert.name,),
                inputs=convert.fingerprint,
            )
        )
    rows += map(random_row, demo.random_backbones)
    steps += plan_rows(
        [*rows, *given],
        load_suite(SUITE),
        dict.fromkeys(TASKS, ''),
        places=places,
        seeds=(seed,),
    )
    steps = [replace(step, seconds=_seconds(step)) for step in steps]
    return sorted(steps, key=_turn)


def _turn(step: Step) -> int:
    """Place of a step in the plan: first one row, then what others wait for, then the longest."""
    return next((i for i, kind in enumerate(_ORDER) if step.name.startswith(kind)), len(_ORDER))


def _seconds(step: Step) -> float | None:
    return next((s for kind, s in _SECONDS.items() if step.name.startswith(kind)), None)


def random_row(backbone: str) -> Row:
    """The row of a backbone without pre-training."""
    return Row(f'random_{backbone}', 'random', backbone)


def _pretrain(row: Row, places: Places, seed: int) -> Step:
    # Pre-training configs name a method's own backbone without the method.
    backbone = row.backbone.removeprefix(f'{row.method}-')
    config = find_config(configs_folder(), f'{row.method}_{backbone}_1x*-64px')
    name = f'pretrain-{row.id}'
    return Step(
        name=name,
        words=('train', *run_words(config, name, row, 'in1k', places, seed), '--auto-resume'),
        records=record_paths(places, name, ('pretrain',)),
        work_dir=places.work_dir(name),
        needs=(DATA_STEP,),
        inputs=config_hash(config),
        identity=('train', config.name, f'seed={seed}', f'row={row.id}'),
        gpus=1,
    )


def find_config(configs: Path, pattern: str) -> Path:
    """The one demo config of a name.

    Raises:
        ConfigError: None or several match.
    """
    found = sorted((configs / 'demo').glob(f'{pattern}.py'))
    if len(found) != 1:
        raise ConfigError(f'{configs}/demo: {len(found)} configs match {pattern!r}, not one.')
    return found[0]
