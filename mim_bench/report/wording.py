"""Sentences that more than one renderer shows."""

from mim_bench.report.catalogue import data_title
from mim_bench.report.comparison import AP_TOLERANCE, MIOU_TOLERANCE, TOP1_TOLERANCE
from mim_bench.report.leaderboard import (
    LABELS_MARK,
    LABELS_UNKNOWN_MARK,
    TIE_MARK,
    Cell,
    Leaderboard,
)
from mim_bench.results.published import PublishedResult
from mim_bench.results.record import RANDOM_METHOD, Checkpoint, data_set_of, share_labels
from mim_bench.results.statistics.seeds import ALPHA

READING_NOTE = (
    'Bold is the best of its column. Columns that differ in protocol or tier are never '
    'ranked together; a dash means that nothing was measured.'
)

_SD_NOTE = '± is the standard deviation over n seeds. '
_INTERVAL_NOTE = (
    'Brackets hold a 95 % interval: of the mean over seeds, or of a single run over images. '
)
_TIE_NOTE = (
    f'{TIE_MARK} marks values that are not distinguishable from the best of their column '
    f'(p ≥ {ALPHA:g} over the same images, or over seeds). '
)
_UNTESTED_NOTE = 'Values without the mark that are not bold differ, or could not be tested.'

_LABELS_NOTE = (
    f"{LABELS_MARK} marks results whose backbone saw labels of the task's data set before. "
)
_LABELS_UNKNOWN_NOTE = f'{LABELS_UNKNOWN_MARK} marks results where that is not known. '

PUBLISHED_NOTE = (
    'Published numbers are of others, read at the place that stands beside them. Ours counts as '
    f'reproduced within {TOP1_TOLERANCE} points of top-1, {MIOU_TOLERANCE} of mIoU or '
    f'{AP_TOLERANCE} of AP (our own choice). Where the protocol differs nothing is compared.'
)

COST_NOTE = (
    'Costs of the tasks are of one run, the mean over seeds; peak memory is the highest. A total '
    'adds up pre-training and every run that a number of the row rests on; it is unknown where a '
    'part is.'
)

# How many pairs of ours and a published number a page shows; its CSV file has all of them.
MOST_PAIRS = 200

TIER_NOTES = {
    'proxy': 'Columns marked proxy come from shortened protocols: they rank, they do not quote.',
    'smoke': (
        'Columns marked smoke come from tiny runs that show that everything works; '
        'they are not comparable with published numbers.'
    ),
}


def marks_note(board: Leaderboard, *, with_intervals: bool = True) -> str:
    """What the marks of spread, ties and labels on this board mean; empty if it has none.

    Args:
        board: That is shown.
        with_intervals: Whether intervals are shown, too.
    """
    cells = [cell for row in board.rows for cell in row.cells.values()]
    note = _SD_NOTE if any(cell.sd is not None for cell in cells) else ''
    if with_intervals and any(cell.interval is not None for cell in cells):
        note += _INTERVAL_NOTE
    if any(cell.is_tied for cell in cells):
        note += f'{_TIE_NOTE}{_UNTESTED_NOTE} '
    if any(cell.saw_labels for cell in cells):
        note += _LABELS_NOTE
    if any(cell.saw_labels is None for cell in cells):
        note += _LABELS_UNKNOWN_NOTE
    return note.strip()


def labels_note(cell: Cell) -> str:
    """Which labels the backbone of a value saw; empty if none of the task's."""
    if cell.saw_labels is False:
        return ''
    if cell.saw_labels is None:
        return "not known whether the backbone saw labels of the task's data set"
    seen = {name for run in cell.runs for name in run.checkpoint.labels or ()}
    own = [name for name in sorted(seen) if share_labels(name, data_set_of(cell.runs[0].task))]
    return f'backbone saw labels of {", ".join(map(data_title, own))}'


def labels_text(checkpoint: Checkpoint) -> str:
    """Names of the data sets whose labels a checkpoint has seen; empty: not known."""
    return '' if checkpoint.labels is None else '+'.join(checkpoint.labels) or 'none'


def checkpoint_details(checkpoint: Checkpoint) -> str:
    """Size, pre-training, labels and licence of a checkpoint in one line, and what is unknown.

    Random weights have a size only.
    """
    labels = checkpoint.labels
    seen = None if labels is None else ', '.join(map(data_title, labels)) or 'none'
    data, licence = checkpoint.pretrain_data, checkpoint.licence
    facts = {
        'parameters': checkpoint.params and f'{checkpoint.params / 1e6:,.1f} M parameters',
        'data': data and f'pre-trained on {data_title(data)}',
        'image size': checkpoint.img_size and f'{checkpoint.img_size} px',
        'labels': seen and f'labels seen: {seen}',
        'licence': licence and f'licence {licence}',
    }
    if checkpoint.method == RANDOM_METHOD:
        return facts['parameters'] or 'not known: parameters'
    known = [text for text in facts.values() if text]
    unknown = [name for name, text in facts.items() if not text]
    return ' · '.join([*known, *([f'not known: {", ".join(unknown)}'] if unknown else [])])


def further_pairs(count: int) -> str:
    """Where the pairs are that a page leaves out."""
    return f'{plural(count - MOST_PAIRS, "further pair")} in published.csv.'


def published_value(value: float) -> str:
    """A published number with at least one decimal."""
    text = f'{value:g}'
    return text if '.' in text else f'{value:.1f}'


def measured_as(result: PublishedResult) -> str:
    """How a published number was measured, as far as its source states it."""
    protocol = result.protocol
    length = f'{protocol.epochs} epochs' if protocol.epochs else protocol.schedule
    if length is None and protocol.iterations:
        length = f'{protocol.iterations:,} iterations'
    parts = [
        protocol.head,
        length,
        f'{protocol.resolution} px' if protocol.resolution else None,
        f'batch {protocol.batch:,}' if protocol.batch else None,
        f'rate {protocol.peak_lr:g}' if protocol.peak_lr else None,
        f'layer decay {protocol.layer_decay:g}' if protocol.layer_decay else None,
        f'from: {protocol.init}' if protocol.init else None,
        protocol.test,
        protocol.split if protocol.split != 'val' else None,
        protocol.note,
    ]
    return '; '.join(part for part in parts if part) or 'not stated'


def pretrained_for(result: PublishedResult) -> str:
    """Variant, epochs and labels of a published pre-training, as far as they are stated."""
    pretrain = result.pretrain
    epochs = f'{pretrain.epochs:,} epochs' if pretrain.epochs is not None else None
    if epochs and pretrain.counts_views:
        epochs += ' (perhaps views)'
    labels = f'labels: {pretrain.labels}' if pretrain.saw_labels else None
    return ', '.join(part for part in (result.variant, epochs, labels) if part)


def published_by(result: PublishedResult) -> str:
    """Whether the authors of the method published it, or who else."""
    return 'its authors' if result.is_own else result.by


def plural(count: int, noun: str) -> str:
    """A count with its noun: ``1 run``, ``2 runs``."""
    return f'{count:,} {noun}' if count == 1 else f'{count:,} {noun}s'


def summary_line(board: Leaderboard) -> str:
    """How much there is and when it was measured, in one line."""
    parts = [plural(len(board.rows), 'checkpoint'), plural(len(board.records), 'run')]
    if board.failed:
        parts.append(f'{len(board.failed):,} failed')
    if board.damaged:
        parts.append(f'{plural(len(board.damaged), "damaged record")} left out')
    days = sorted(record.started_at[:10] for record in board.records)
    if days:
        parts.append(days[0] if days[0] == days[-1] else f'{days[0]} to {days[-1]}')
    return ' · '.join(parts)
