"""Numbers of others beside ours: what belongs together, what hinders comparing, the verdict."""

import contextlib
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from mim_bench.errors import RecordError
from mim_bench.report import catalogue
from mim_bench.report.board import Cell, Column, ColumnGroup, Leaderboard, Row
from mim_bench.results.protocol_file import read_protocol
from mim_bench.results.published import PublishedProtocol, PublishedResult, network_family
from mim_bench.results.record import RANDOM_METHOD, Checkpoint, Protocol, RunRecord
from mim_bench.results.store import Collection

# In points of percent. No source says how far two trainings of one recipe may lie apart, so these
# are this project's choice (inferred): a top-1 of ImageNet moves by some tenths between seeds and
# between re-trainings of others, mIoU of ADE20K by more.
TOP1_TOLERANCE = 0.3
MIOU_TOLERANCE = 0.5
AP_TOLERANCE = 0.3
TOLERANCES = {
    'top1': TOP1_TOLERANCE,
    'top5': TOP1_TOLERANCE,
    'mIoU': MIOU_TOLERANCE,
    'bbox_mAP': AP_TOLERANCE,
    'segm_mAP': AP_TOLERANCE,
}


@dataclass(frozen=True)
class Comparison:
    """A cell of ours and a number published for the same method, backbone, epochs and metric.

    ``differences`` say how the two were measured otherwise; they are compared only if nothing was.
    """

    row: Row
    column: Column
    cell: Cell
    protocol: Protocol
    published: PublishedResult
    differences: Sequence[str] = ()

    @property
    def difference(self) -> float | None:
        """Ours minus the published value; None if they are not compared."""
        # Rounded below what any source prints, against the rounding of sums of floats.
        return None if self.differences else round(self.cell.value - self.published.value, 6)

    @property
    def tolerance(self) -> float:
        """How far apart the two may lie and still count as the same."""
        return TOLERANCES[self.published.metric]

    @property
    def verdict(self) -> str:
        """Whether ours lies within the tolerance, above or below; ``other protocol`` if unknown."""
        if self.differences:
            return 'other protocol'
        if abs(self.difference) <= self.tolerance:
            return 'reproduced'
        return 'above' if self.difference > 0 else 'below'

    @property
    def verdict_text(self) -> str:
        """The verdict, with what differs."""
        return ': '.join(filter(None, (self.verdict, '; '.join(self.differences))))


@dataclass(frozen=True)
class PublishedSection:
    """What the report says about published numbers.

    ``near`` are of a method or a backbone that the board has, in its tasks; ``further`` all others.
    """

    comparisons: Sequence[Comparison] = ()
    near: Sequence[PublishedResult] = ()
    further: Sequence[PublishedResult] = ()

    @property
    def compared(self) -> list[Comparison]:
        """What has a verdict."""
        return [pair for pair in self.comparisons if not pair.differences]

    @property
    def flagged(self) -> list[Comparison]:
        """What differs in its protocol and so has none."""
        return [pair for pair in self.comparisons if pair.differences]


def published_section(
    rows: Sequence[Row],
    groups: Sequence[ColumnGroup],
    published: Sequence[PublishedResult],
    collection: Collection,
) -> PublishedSection:
    """Arrange what is published around the rows and column groups of a board."""
    methods = {row.checkpoint.method for row in rows}
    families = {network_family(row.checkpoint.backbone) for row in rows}
    tasks = {group.task for group in groups}
    near, further = [], []
    for result in sorted(published, key=_rank):
        is_known = result.method in methods or network_family(result.backbone) in families
        (near if is_known and result.task in tasks else further).append(result)
    return PublishedSection(list(_comparisons(rows, groups, published, collection)), near, further)


def _rank(result: PublishedResult) -> tuple:
    return (
        catalogue.task_rank(result.task),
        network_family(result.backbone),
        catalogue.method_title(result.method).lower(),
        result.pretrain.epochs or 0,
        result.label,
        catalogue.metric_rank(result.task, result.metric),
    )


def metric_name(metric: str) -> str:
    """The published name of a metric of ours, where probes have names of their own."""
    return metric.removeprefix('linear_').removeprefix('knn_')


def _comparisons(
    rows: Sequence[Row],
    groups: Sequence[ColumnGroup],
    published: Sequence[PublishedResult],
    collection: Collection,
) -> Iterator[Comparison]:
    known, variants = defaultdict(list), defaultdict(set)
    for result in published:
        key = (result.method, network_family(result.backbone), result.task, result.metric)
        known[key].append(result)
        variants[result.method].update(filter(None, [result.variant]))
    settings = _kept_settings(collection)
    for row in rows:
        checkpoint = row.checkpoint
        weights = (checkpoint.method, network_family(checkpoint.backbone))
        for group in (group for group in groups if group.protocol is not None):
            for column in group.columns:
                cell, metric = row.cell(column), metric_name(column.metric)
                found = known.get((*weights, column.task, metric), ())
                if not found or cell.state != 'value' or metric not in TOLERANCES:
                    continue
                facts = _recipe_facts(group.protocol, cell.runs, settings)
                for result in found:
                    epochs = result.pretrain.epochs
                    # Those that are not stated, or that count views, may be ours.
                    is_other = not result.pretrain.counts_views and epochs not in (
                        None, checkpoint.pretrain_epochs,
                    )  # fmt: skip
                    if is_other or result.protocol.unit != column.unit:
                        continue
                    differences = [
                        *_recipe_differences(group.protocol, facts, result.protocol),
                        *_run_differences(cell.runs, column.metric, result.protocol),
                        *_checkpoint_differences(checkpoint, result),
                        *_variant_differences(checkpoint, result, found, variants[result.method]),
                    ]
                    # Seeds mostly differ in the same.
                    differences = list(dict.fromkeys(differences))
                    yield Comparison(row, column, cell, group.protocol, result, differences)


# Name of a fact of a recipe -> its words, and where the settings have it.
_FACTS = {
    'epochs': ('epochs', 'train_cfg.max_epochs'),
    'iterations': ('iterations', 'train_cfg.max_iters'),
    'resolution': ('px', None),
    'batch': ('batch', 'effective_batch_size'),
    'lr': ('learning rate', 'optim_wrapper.optimizer.lr'),
    'layer_decay': ('layer decay', 'optim_wrapper.paramwise_cfg.layer_decay_rate'),
    'weight_decay': ('weight decay', 'optim_wrapper.optimizer.weight_decay'),
    'drop_path': ('drop path', 'model.backbone.drop_path_rate'),
}
# Length and size in the name of a config, for example ...-100e_in1k-224px.
_NAME = re.compile(r'-(?P<length>\d+)(?P<unit>[eik])_.*?(?:-(?P<px>\d+)px)?$')
# What mim_bench.recipe.tta puts behind the name of a protocol.
_AUGMENTED_TEST = '-tta'


def _kept_settings(collection: Collection) -> dict[str, Mapping]:
    """The settings by protocol hash, of the first run that kept them whole."""
    found = {}
    for run in collection.records:
        digest, relative = run.protocol.hash, run.artifacts.protocol
        if relative is not None and digest not in found:
            with contextlib.suppress(RecordError):
                found[digest] = read_protocol(collection.artifact_path(run, relative), digest)
    return found


def _recipe_facts(
    protocol: Protocol, runs: Sequence[RunRecord], settings: Mapping[str, Mapping]
) -> dict[str, float]:
    """What is known of a recipe; without settings what the name of the config says."""
    if protocol.hash in settings:
        return facts_of_settings(settings[protocol.hash])
    found = _NAME.search(PurePosixPath(runs[0].config.path).stem)
    if found is None:
        return {}
    length = int(found['length']) * (1000 if found['unit'] == 'k' else 1)
    facts = {'epochs' if found['unit'] == 'e' else 'iterations': length}
    return facts | ({'resolution': int(found['px'])} if found['px'] else {})


def facts_of_settings(settings: Mapping[str, Any]) -> dict[str, float]:
    """The facts in the settings that a protocol's hash covers, or in a whole config."""
    facts = {name: _at(settings, place) for name, (_, place) in _FACTS.items() if place}
    facts['resolution'] = next(_crops(_at(settings, 'train_dataloader.dataset')), None)
    return {name: fact for name, fact in facts.items() if isinstance(fact, int | float)}


def _at(node: Any, place: str) -> Any:
    for key in place.split('.'):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _crops(node: Any) -> Iterator[int]:
    """Sides of the square crops of a pipeline."""
    if isinstance(node, Mapping):
        if str(node.get('type', '')).endswith('Crop'):
            size = node.get('crop_size', node.get('scale'))
            sides = set(size) if isinstance(size, list | tuple) else {size}
            if len(sides) == 1 and isinstance(side := sides.pop(), int):
                yield side
        node = list(node.values())
    if isinstance(node, list | tuple):
        for item in node:
            yield from _crops(item)


def differing_facts(facts: Mapping[str, float], theirs: PublishedProtocol) -> Iterator[str]:
    """Facts that a recipe of ours and a published one both state, and differently."""
    for name, (words, _) in _FACTS.items():
        here = facts.get(name)
        there = theirs.peak_lr if name == 'lr' else getattr(theirs, name)
        if None not in (here, there) and not math.isclose(here, there, rel_tol=1e-6):
            yield f'{words} {here:,g} here, {there:,g} there'


def _recipe_differences(
    ours: Protocol, facts: dict[str, float], theirs: PublishedProtocol
) -> Iterator[str]:
    """Between the protocols: each stated fact, the weights at the start, the test."""
    if ours.tier != 'full':
        yield f'{ours.tier} tier here'
    stated = list(differing_facts(facts, theirs))
    yield from stated
    if not stated and theirs.ours != ours.name.removesuffix(_AUGMENTED_TEST):
        yield 'not known to be the same recipe'
    if theirs.init is not None:
        yield f'start there: {theirs.init}'
    here = 'multi-scale' if ours.name.endswith(_AUGMENTED_TEST) else 'single-scale'
    there = theirs.test or 'single-scale'
    if here != there:
        yield f'{here} test here, {there} there'


def _run_differences(
    runs: Sequence[RunRecord], metric: str, theirs: PublishedProtocol
) -> Iterator[str]:
    """What one of our runs did otherwise than its protocol, or measured on."""
    for run in runs:
        if run.config.changed:
            yield 'settings changed by hand here'
        elif run.origin == 'collected' and run.config.changed is None:
            yield 'collected here, so its settings may have been changed'
        batch = run.batch
        if batch is not None and batch.effective_batch != batch.recipe_batch:
            yield f'batch {batch.effective_batch:,} here, {batch.recipe_batch:,} in the recipe'
        split = run.metrics[metric].split
        if split != theirs.split:
            yield f'{split} here, {theirs.split} there'


def _checkpoint_differences(ours: Checkpoint, result: PublishedResult) -> Iterator[str]:
    """Between the pre-trainings; method, backbone and stated epochs agree already."""
    theirs = result.pretrain
    is_supervised = ours.method.startswith(catalogue.SUPERVISED)
    if theirs.epochs is None and not is_supervised and ours.method != RANDOM_METHOD:
        yield 'pre-training epochs not stated there'
    if theirs.counts_views:
        yield 'pre-training epochs there may count views'
    if theirs.saw_labels and not is_supervised:
        yield f'labels seen there: {theirs.labels}'


def _variant_differences(
    ours: Checkpoint,
    result: PublishedResult,
    rivals: Sequence[PublishedResult],
    variants: set[str],
) -> Iterator[str]:
    """Records have no field for the variant of a method; the id of a checkpoint may name it."""
    if result.variant is None:
        return
    named = set(re.split(r'[^0-9a-z]+', ours.id.lower())) & variants
    if named and result.variant not in named:
        yield f'variant {", ".join(sorted(named))} here, {result.variant} there'
    epochs = result.pretrain.epochs
    is_one_of_many = len({r.variant for r in rivals if r.pretrain.epochs == epochs}) > 1
    if not named and is_one_of_many:
        yield f'variant {result.variant} there, none in the id of our checkpoint'


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
        protocol.resolution and f'{protocol.resolution} px',
        protocol.batch and f'batch {protocol.batch:,}',
        protocol.peak_lr and f'rate {protocol.peak_lr:g}',
        protocol.layer_decay and f'layer decay {protocol.layer_decay:g}',
        protocol.init and f'from: {protocol.init}',
        protocol.test,
        protocol.split if protocol.split != 'val' else None,
        protocol.note,
    ]
    return '; '.join(filter(None, parts)) or 'not stated'


def pretrained_for(result: PublishedResult) -> str:
    """Variant, epochs and labels of a published pre-training, as far as they are stated."""
    pretrain = result.pretrain
    epochs = f'{pretrain.epochs:,} epochs' if pretrain.epochs is not None else ''
    epochs += ' (perhaps views)' if epochs and pretrain.counts_views else ''
    labels = f'labels: {pretrain.labels}' if pretrain.saw_labels else ''
    return ', '.join(filter(None, (result.variant, epochs, labels)))


def published_by(result: PublishedResult) -> str:
    """Whether the authors of the method published it, or who else."""
    return 'its authors' if result.is_own else result.by


@dataclass(frozen=True)
class PublishedRow:
    """What one source published of one pre-training.

    ``cells`` has the result by the key of the column, and whether the column has its recipe.
    """

    first: PublishedResult
    cells: dict[tuple[str, ...], tuple[PublishedResult, bool]] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The method's title."""
        return catalogue.method_title(self.first.method)

    @property
    def params(self) -> float | None:
        """Parameters as the source printed them, for example ``86M``."""
        text = self.first.params
        return float(text[:-1]) * {'M': 1e6, 'B': 1e9}[text[-1]] if text else None


def published_rows(board: Leaderboard) -> list[PublishedRow]:
    """Rows for the backbones of the board, of what its columns of full tier measure.

    Best first by the column that our rows are sorted by. Two numbers of one source for one column
    give two rows.
    """
    families = {network_family(row.checkpoint.backbone) for row in board.rows}
    found: dict[tuple, list[PublishedRow]] = defaultdict(list)
    for result in board.published.near:
        family = network_family(result.backbone)
        column, is_same = _column_for(board.groups, result)
        if family not in families or column is None:
            continue
        source, pretrain = result.repository or result.file, result.pretrain.model_dump_json()
        rows = found[result.method, result.variant, family, pretrain, source]
        free = next((row for row in rows if column.key not in row.cells), None)
        if free is None:
            free = PublishedRow(result)
            rows.append(free)
        free.cells[column.key] = (result, is_same)

    def rank(row: PublishedRow) -> tuple:
        first, by = row.first, board.sorted_by
        result, _ = row.cells.get(by.key, (None, False)) if by is not None else (None, False)
        place = (1, 0.0) if result is None else (0, -by.sign * result.value)
        epochs = first.pretrain.epochs or 0
        return (
            *place, first.backbone, row.method.lower(), first.variant or '', epochs, first.label,
        )  # fmt: skip

    return sorted((row for rows in found.values() for row in rows), key=rank)


def _column_for(
    groups: Sequence[ColumnGroup], result: PublishedResult
) -> tuple[Column | None, bool]:
    """The column of a result, and whether its recipe is the column's."""
    others = []
    for group in groups:
        if group.tier != 'full' or group.task != result.task:
            continue
        for column in group.columns:
            if column.is_headline and metric_name(column.metric) == result.metric:
                theirs = result.protocol
                if group.protocol.name == theirs.ours and theirs.test != 'multi-scale':
                    return column, True
                others.append(column)
    return (others[0] if others else None), False
