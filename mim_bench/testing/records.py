"""Synthetic records for tests; no number in them was measured."""

from dataclasses import replace
from typing import Any

from mim_bench.files.hashing import protocol_hash
from mim_bench.published.numbers import Pretraining, PublishedProtocol, PublishedResult
from mim_bench.results.record import (
    Artifacts,
    Checkpoint,
    ConfigFile,
    Cost,
    Metric,
    Protocol,
    RunRecord,
)


def make_checkpoint(**changes: Any) -> Checkpoint:
    """A checkpoint row with the given fields changed."""
    base = Checkpoint(
        id='swin-tiny.ummae-10e',
        method='ummae',
        backbone='swin-tiny',
        source='mim_bench',
        sha256='ab' * 32,
        pretrain_epochs=10,
        pretrain_data='in1k',
        labels=[],
        params=28_000_000,
        img_size=256,
        licence='Apache-2.0',
        known_from={'method': 'run', 'params': 'weights'},
    )
    return replace(base, **changes)


def make_protocol(name: str = 'in1k-knn', tier: str = 'full', **settings: Any) -> Protocol:
    """A protocol whose hash follows from its name and settings."""
    return Protocol(name, '1', protocol_hash({'name': name, **settings}), tier)


def make_metric(value: float, unit: str = '%', higher_is_better: bool = True) -> Metric:
    """A metric on the validation split."""
    return Metric(value, unit, higher_is_better, 'val')


def make_record(
    task: str = 'in1k-knn',
    metrics: dict[str, float] | None = None,
    checkpoint: Checkpoint | None = None,
    **changes: Any,
) -> RunRecord:
    """A record that is valid, and done unless ``error`` is given.

    Args:
        task: Also the name of the protocol.
        metrics: Values in percent by name.
        checkpoint: The row; :func:`make_checkpoint` by default.
        changes: Any other field of the record.
    """
    checkpoint = checkpoint or make_checkpoint()
    failed = changes.get('error') is not None
    values = {} if failed else {'knn_top1': 50.0} if metrics is None else metrics
    base = RunRecord(
        run_id=f'{task}-{checkpoint.id}-s0',
        status='failed' if failed else 'done',
        task=task,
        protocol=make_protocol(task),
        checkpoint=checkpoint,
        config=ConfigFile('configs/demo/example.py', 'cd' * 32),
        seed=0,
        metrics={name: make_metric(value) for name, value in values.items()},
        cost=Cost.measured(wall_s=60.0, device='cpu', is_gpu=False, num_devices=2),
        env=dict.fromkeys(('git', 'torch', 'mmengine', 'mmcv', 'library', 'python'), '1.0'),
        started_at='2026-01-01T00:00:00+00:00',
        primary_metric=next(iter(values), None),
        artifacts=Artifacts(),
    )
    return replace(base, **changes)


def make_pretraining_record(checkpoint: Checkpoint | None = None, **changes: Any) -> RunRecord:
    """The record of the pre-training that made a checkpoint: one hour on two CPU devices."""
    cost = Cost.measured(
        wall_s=1800.0,
        device='cpu',
        is_gpu=False,
        num_devices=2,
        img_per_s=120.0,
        data_wait_share=0.05,
        peak_mem_bytes=512 * 2**20,
    )
    checkpoint = checkpoint or make_checkpoint()
    changes.setdefault('protocol', make_protocol('pretrain', method=checkpoint.method))
    record = make_record('pretrain', {}, checkpoint, **{'cost': cost, **changes})
    if record.status == 'failed':
        return record
    loss = make_metric(0.5, '', higher_is_better=False)
    return replace(record, metrics={'loss': loss}, primary_metric='loss')


def make_published(**changes: Any) -> PublishedResult:
    """A published fine-tuning of MAE's ViT-B, with the given fields changed.

    Args:
        changes: Fields of the result; ``pretrain`` and ``protocol`` as the fields that change.
    """
    pretrain = {'data': 'ImageNet-1K', 'epochs': 1600, 'labels': 'none'}
    protocol = {
        'task': 'in1k-ft',
        'ours': 'in1k-ft-mae-100e',
        'epochs': 100,
        'resolution': 224,
    }
    fields = {
        'method': 'mae',
        'backbone': 'vit-base-p16',
        'row': 'ViT-B | 83.7',
        'metric': 'top1',
        'value': 83.7,
        'repository': 'owner/mae',
        'commit': 'ab' * 20,
        'file': 'FINETUNE.md',
    }
    return PublishedResult(
        pretrain=Pretraining(**pretrain | changes.pop('pretrain', {})),
        protocol=PublishedProtocol(**protocol | changes.pop('protocol', {})),
        **fields | changes,
    )
