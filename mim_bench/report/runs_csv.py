"""Every run as one line of CSV: what it measured, what it took, and where it comes from."""

from mim_bench.report.leaderboard import Leaderboard
from mim_bench.report.plain_text import csv_text, to_csv
from mim_bench.report.provenance import ordered_runs, results_text
from mim_bench.report.wording import labels_text
from mim_bench.results.record import RunRecord

_FIELDS = (
    'run', 'status', 'task', 'checkpoint', 'method', 'backbone', 'pretrain_epochs',
    'pretrain_data', 'labels', 'params', 'img_size', 'licence',
    'checkpoint_sha256', 'protocol', 'protocol_version', 'protocol_hash', 'tier', 'seed',
    'results', 'wall_s', 'gpu_hours', 'device_hours', 'img_per_s', 'data_wait_share',
    'peak_mem_bytes', 'energy_joules', 'device', 'num_devices', 'precision', 'effective_batch',
    'weights_loaded', 'origin', 'started_at', 'git', 'library', 'config', 'config_sha256', 'error',
)  # fmt: skip


def render_runs_csv(board: Leaderboard) -> str:
    """Render every run, failed ones included; unknown values are empty."""
    return to_csv(_FIELDS, (_line(record) for record in ordered_runs(board)))


def _line(record: RunRecord) -> dict[str, object]:
    checkpoint, protocol, cost = record.checkpoint, record.protocol, record.cost
    texts = {
        'run': record.run_id,
        'task': record.task,
        'checkpoint': checkpoint.id,
        'method': checkpoint.method,
        'backbone': checkpoint.backbone,
        'pretrain_data': checkpoint.pretrain_data or '',
        'labels': labels_text(checkpoint),
        'licence': checkpoint.licence or '',
        'protocol': protocol.name,
        'protocol_version': protocol.version,
        'results': results_text(record),
        'device': cost.device,
        'git': record.env['git'],
        'library': record.env['library'],
        'config': record.config.path,
        'error': record.error or '',
    }
    facts = {
        'status': record.status,
        'pretrain_epochs': checkpoint.pretrain_epochs,
        'params': checkpoint.params,
        'img_size': checkpoint.img_size,
        'checkpoint_sha256': checkpoint.sha256,
        'protocol_hash': protocol.hash,
        'tier': protocol.tier,
        'seed': record.seed,
        'precision': record.precision,
        'effective_batch': record.batch and record.batch.effective_batch,
        'weights_loaded': record.load and record.load.share,
        'origin': record.origin,
        'started_at': record.started_at,
        'config_sha256': record.config.sha256,
    }
    names = ('wall_s', 'gpu_hours', 'device_hours', 'img_per_s', 'data_wait_share')
    names += ('peak_mem_bytes', 'energy_joules', 'num_devices')
    numbers = {name: getattr(cost, name) for name in names}
    return {name: csv_text(text) for name, text in texts.items()} | facts | numbers
