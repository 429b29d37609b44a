"""The demo: pre-training on the embedded data, then the suite ``smoke``, as one plan. Pure."""

from collections.abc import Sequence
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
# Method and backbone; the random rows are what the others are compared with.
PRETRAINED_ROWS = (('ummae', 'ummae-swin-toy'), ('simmim', 'swin-toy'))
RANDOM_ROWS = ('ummae-swin-toy', 'swin-toy')
ROW_IDS = (
    *(f'{method}_{backbone}' for method, backbone in PRETRAINED_ROWS),
    *(f'random_{backbone}' for backbone in RANDOM_ROWS),
)


def demo_places(out: Path) -> Places:
    """Where the demo reads and writes; its data lie in its own folder."""
    return Places(out, out / 'data')


def plan_demo(out: Path, seed: int, given: Sequence[Row] = ()) -> list[Step]:
    """The steps of the demo.

    Args:
        out: Folder of data, runs, checkpoints and results.
        seed: Of the data and of every run.
        given: Rows of the user's own checkpoints.
    """
    places = demo_places(out)
    steps, rows = [make_data(places, seed)], []
    for method, backbone in PRETRAINED_ROWS:
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
    rows += [random_row(backbone) for backbone in RANDOM_ROWS]
    steps += plan_rows(
        [*rows, *given],
        load_suite(SUITE),
        dict.fromkeys(TASKS, ''),
        places=places,
        seeds=(seed,),
        needs=(DATA_STEP,),
    )
    # The long chains first, so that no worker waits for them at the end.
    return sorted(steps, key=lambda step: '-random_' in step.name)


def random_row(backbone: str) -> Row:
    """The row of a backbone without pre-training."""
    return Row(f'random_{backbone}', 'random', backbone)


def _pretrain(row: Row, places: Places, seed: int) -> Step:
    # Pre-training configs are named by their method, not by the backbone's own name.
    config = find_config(configs_folder(), f'{row.method}_swin-toy_')
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


def find_config(configs: Path, prefix: str) -> Path:
    """The one demo config whose name starts so.

    Raises:
        ConfigError: None or several do.
    """
    found = sorted((configs / 'demo').glob(f'{prefix}*.py'))
    if len(found) != 1:
        raise ConfigError(f'{configs}/demo: {len(found)} configs start with {prefix!r}, not one.')
    return found[0]
