"""A large folder of synthetic records, for tests of how collecting and reporting scale."""

from collections.abc import Iterator
from pathlib import Path

from mim_bench.results.record import Checkpoint, Cost, RunRecord
from mim_bench.results.store import RECORD_FILE, record_to_json
from mim_bench.testing.records import make_checkpoint, make_pretraining_record, make_record

# Those that every checkpoint is measured on, with the metrics of each.
_TASKS = {
    'in1k-knn': ('knn_top1', 'knn_top5'),
    'in1k-linear': ('linear_top1', 'linear_top5'),
    'in1k-ft': ('top1', 'top5'),
    'ade20k-upernet': ('mIoU', 'aAcc', 'mAcc'),
    'coco-mask-rcnn': ('bbox_mAP', 'bbox_mAP_50', 'segm_mAP', 'segm_mAP_50'),
    'coco-htc-plus': ('bbox_mAP', 'bbox_mAP_50', 'segm_mAP', 'segm_mAP_50'),
}
_SEEDS = 3
_METHODS = ('mae', 'simmim', 'beit', 'conmim', 'localmim', 'ummae', 'symmim', 'random')
_BACKBONES = ('vit-base', 'vit-large', 'swin-tiny', 'swin-base', 'ummae-swin-tiny')


def many_records(count: int) -> Iterator[RunRecord]:
    """So many valid records: each checkpoint has a pre-training and three seeds of six tasks.

    Every hundredth run failed. No number was measured.
    """
    number = 0
    while True:
        for record in _records_of(_checkpoint(number)):
            if count == 0:
                return
            count -= 1
            yield record
        number += 1


def write_many_records(folder: Path, count: int) -> None:
    """Write :func:`many_records` below a folder, faster than one by one with a sync each."""
    for record in many_records(count):
        path = Path(folder) / record.run_id / RECORD_FILE
        path.parent.mkdir(parents=True)
        path.write_text(record_to_json(record), 'utf-8')


def _checkpoint(number: int) -> Checkpoint:
    method = _METHODS[number % len(_METHODS)]
    backbone = _BACKBONES[number // len(_METHODS) % len(_BACKBONES)]
    return make_checkpoint(
        id=f'{backbone}.{method}-{number:05d}',
        method=method,
        backbone=backbone,
        sha256=None if method == 'random' else f'{number:064x}',
        pretrain_epochs=None if method == 'random' else 100 * (1 + number % 16),
    )


def _records_of(checkpoint: Checkpoint) -> Iterator[RunRecord]:
    number = int(checkpoint.id.rpartition('-')[2])
    if checkpoint.method != 'random':
        yield make_pretraining_record(checkpoint, cost=_cost(number))
    for index, (task, names) in enumerate(_TASKS.items()):
        for seed in range(_SEEDS):
            place = 31 * number + 7 * index + seed
            error = 'the loss is not finite' if place % 100 == 0 else None
            metrics = {name: 20 + place * (7 + at) % 6000 / 100 for at, name in enumerate(names)}
            yield make_record(
                task,
                metrics,
                checkpoint,
                run_id=f'{task}-{checkpoint.id}-s{seed}',
                seed=seed,
                cost=_cost(place),
                error=error,
            )


def _cost(place: int) -> Cost:
    return Cost.measured(
        wall_s=600.0 + place % 5000,
        device='NVIDIA H200',
        is_gpu=True,
        num_devices=8,
        img_per_s=1000.0 + place % 900,
        data_wait_share=0.01,
        peak_mem_bytes=(10 + place % 60) << 30,
        energy_joules=1e6 + 1000 * (place % 5000),
    )
