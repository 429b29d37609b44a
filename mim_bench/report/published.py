"""Numbers of others beside ours: what belongs together, what hinders comparing, the verdict."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from mim_bench.errors import RecordError
from mim_bench.report import catalogue
from mim_bench.report.board import Column, ColumnGroup, Leaderboard, Row
from mim_bench.results.protocol_file import read_protocol
from mim_bench.results.published import (
    PublishedProtocol,
    PublishedResult,
    load_published,
    network_family,
)
from mim_bench.results.record import RANDOM_METHOD, Checkpoint, Protocol, RunRecord
from mim_bench.results.store import Collection

Verdict = Literal['reproduced', 'above', 'below', 'other protocol']

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
# Below what any source prints; only the rounding of sums of floats.
_ROUNDING_DIGITS = 6


@dataclass(frozen=True)
class Comparison:
    """One of our values and one published for the same method, backbone, epochs and metric.

    Attributes:
        row: Label of our row.
        method: Title of its method.
        backbone: Its backbone, as our record names it.
        title: Title of the column.
        protocol: That ours was measured under.
        num_runs: Seeds that ours is the mean of.
        ours: In percent.
        published: The other.
        differences: What differs in how the two were measured; they are compared only if
            nothing does.
    """

    row: str
    method: str
    backbone: str
    title: str
    protocol: Protocol
    num_runs: int
    ours: float
    published: PublishedResult
    differences: Sequence[str] = ()

    @property
    def difference(self) -> float | None:
        """Ours minus the published value; None if they are not compared."""
        if self.differences:
            return None
        return round(self.ours - self.published.value, _ROUNDING_DIGITS)

    @property
    def tolerance(self) -> float:
        """How far apart the two may lie and still count as the same."""
        return TOLERANCES[self.published.metric]

    @property
    def verdict(self) -> Verdict:
        """Whether ours lies within the tolerance, above or below; or what hinders saying so."""
        if self.difference is None:
            return 'other protocol'
        if abs(self.difference) <= self.tolerance:
            return 'reproduced'
        return 'above' if self.difference > 0 else 'below'

    @property
    def verdict_text(self) -> str:
        """The verdict, with what differs."""
        if not self.differences:
            return self.verdict
        return f'{self.verdict}: {"; ".join(self.differences)}'

    @property
    def difference_text(self) -> str:
        """The difference with its sign, or a dash."""
        return '\N{EN DASH}' if self.difference is None else f'{self.difference:+.2f}'


@dataclass(frozen=True)
class PublishedSection:
    """What the report says about published numbers.

    Attributes:
        comparisons: In the order of rows and columns.
        near: Published results of a method or a backbone that the board has, in its tasks.
        further: All others.
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


# Name of a fact -> where the settings have it.
_PLACES = {
    'epochs': 'train_cfg.max_epochs',
    'iterations': 'train_cfg.max_iters',
    'batch': 'effective_batch_size',
    'lr': 'optim_wrapper.optimizer.lr',
    'weight_decay': 'optim_wrapper.optimizer.weight_decay',
    'layer_decay': 'optim_wrapper.paramwise_cfg.layer_decay_rate',
    'drop_path': 'model.backbone.drop_path_rate',
}
# Length and size in the name of a config, for example ...-100e_in1k-224px.
_NAME = re.compile(r'-(?P<length>\d+)(?P<unit>[eik])_.*?(?:-(?P<px>\d+)px)?$')


class RecipeReader:
    """Facts of the recipes of runs; the settings of a protocol hash are read once."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._settings: dict[str, Mapping] = {}

    def facts(self, runs: Iterable[RunRecord]) -> dict[str, float]:
        """What is known of the recipe that runs of one protocol share.

        Epochs, iterations and resolution of runs that kept no settings are those in the name of
        their config.

        Args:
            runs: At least one; all of one protocol hash.
        """
        runs = list(runs)
        digest = runs[0].protocol.hash
        if digest not in self._settings:
            self._settings[digest] = self._read(runs)
        if settings := self._settings[digest]:
            return facts_of_settings(settings)
        return _facts_of_name(PurePosixPath(runs[0].config.path).stem)

    def _read(self, runs: list[RunRecord]) -> Mapping:
        for run in runs:
            if run.artifacts.protocol is None:
                continue
            try:
                path = self._collection.artifact_path(run, run.artifacts.protocol)
                return read_protocol(path, run.protocol.hash)
            except RecordError:  # another run of the protocol may have the same settings whole
                continue
        return {}


def facts_of_settings(settings: Mapping[str, Any]) -> dict[str, float]:
    """The facts in the settings that a protocol's hash covers, or in a whole config."""
    facts = {name: _at(settings, place.split('.')) for name, place in _PLACES.items()}
    dataset = _at(settings, ['train_dataloader', 'dataset'])
    facts['resolution'] = next(_crops(dataset), None) if dataset is not None else None
    return {name: fact for name, fact in facts.items() if isinstance(fact, int | float)}


def _at(node: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        if not isinstance(node, Mapping):
            return None
        node = node.get(key)
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


def _facts_of_name(stem: str) -> dict[str, float]:
    found = _NAME.search(stem)
    if found is None:
        return {}
    length = int(found['length']) * (1000 if found['unit'] == 'k' else 1)
    facts = {'epochs' if found['unit'] == 'e' else 'iterations': length}
    return facts | ({'resolution': int(found['px'])} if found['px'] else {})


# What mim_bench.recipe.tta puts behind the name of a protocol.
_AUGMENTED_TEST = '-tta'
_WORD = re.compile(r'[^0-9a-z]+')
# Facts that our recipes and published ones state -> their words.
_FACTS = {
    'epochs': 'epochs',
    'iterations': 'iterations',
    'resolution': 'px',
    'batch': 'batch',
    'lr': 'learning rate',
    'layer_decay': 'layer decay',
    'weight_decay': 'weight decay',
    'drop_path': 'drop path',
}


def published_section(
    rows: Sequence[Row],
    groups: Sequence[ColumnGroup],
    published: Sequence[PublishedResult] | None,
    collection: Collection,
) -> PublishedSection:
    """Arrange what is published around the rows of a board.

    Args:
        rows: Of the board.
        groups: Its column groups; those of pre-training have no protocol and do not count.
        published: All published numbers; those of the package if None.
        collection: Says where the settings of our protocols lie.
    """
    published = load_published() if published is None else published
    methods = {row.checkpoint.method for row in rows}
    families = {network_family(row.checkpoint.backbone) for row in rows}
    tasks = {group.task for group in groups}

    def is_near(result: PublishedResult) -> bool:
        is_known = result.method in methods or network_family(result.backbone) in families
        return is_known and result.task in tasks

    ordered = sorted(published, key=_rank)
    return PublishedSection(
        comparisons=list(_comparisons(rows, groups, published, RecipeReader(collection))),
        near=[result for result in ordered if is_near(result)],
        further=[result for result in ordered if not is_near(result)],
    )


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
    recipes: RecipeReader,
) -> Iterator[Comparison]:
    known: dict[tuple, list[PublishedResult]] = {}
    variants: dict[str, set[str]] = {}
    for result in published:
        key = (result.method, network_family(result.backbone), result.task, result.metric)
        known.setdefault(key, []).append(result)
        variants.setdefault(result.method, set()).update(filter(None, [result.variant]))
    for row in rows:
        weights = (row.checkpoint.method, network_family(row.checkpoint.backbone))
        for group in groups:
            for column in group.columns:
                metric = metric_name(column.metric)
                found = known.get((*weights, column.task, metric), ())
                if group.protocol is None or not found or metric not in TOLERANCES:
                    continue
                if row.cell(column).state != 'value':
                    continue
                for result in found:
                    if not _has_our_epochs(row, result) or result.protocol.unit != column.unit:
                        continue
                    cell = row.cell(column)
                    differences = [
                        *_recipe_differences(
                            group.protocol, recipes.facts(cell.runs), result.protocol
                        ),
                        *_run_differences(cell.runs, column.metric, result.protocol),
                        *_checkpoint_differences(row.checkpoint, result),
                        *_variant_differences(
                            row.checkpoint, result, found, variants[result.method]
                        ),
                    ]
                    yield Comparison(
                        row=row.label,
                        method=row.method,
                        backbone=row.checkpoint.backbone,
                        title=column.title,
                        protocol=group.protocol,
                        num_runs=len(cell.runs),
                        ours=cell.value,
                        published=result,
                        # Seeds mostly differ in the same.
                        differences=list(dict.fromkeys(differences)),
                    )


def _has_our_epochs(row: Row, result: PublishedResult) -> bool:
    """Epochs that are not stated, or that count views, may be ours; the differences say so."""
    theirs = result.pretrain
    return theirs.counts_views or theirs.epochs in (None, row.checkpoint.pretrain_epochs)


def differing_facts(facts: Mapping[str, float], theirs: PublishedProtocol) -> Iterator[str]:
    """Facts that a recipe of ours and a published one both state, and differently."""
    for name, words in _FACTS.items():
        here = facts.get(name)
        there = theirs.peak_lr if name == 'lr' else getattr(theirs, name)
        if here is None or there is None or math.isclose(here, there, rel_tol=1e-6):
            continue
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
    named = set(_WORD.split(ours.id.lower())) & variants
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


@dataclass(frozen=True)
class PublishedCell:
    """One published number; ``is_same_recipe`` says whether the column has its recipe."""

    result: PublishedResult
    is_same_recipe: bool


@dataclass(frozen=True)
class PublishedRow:
    """What one source published of one pre-training; ``cells`` by the key of the column."""

    first: PublishedResult
    cells: dict[str, PublishedCell] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The method's title."""
        return catalogue.method_title(self.first.method)


def published_rows(board: Leaderboard) -> list[PublishedRow]:
    """Rows for the backbones of the board, of what its columns of full tier measure.

    Two numbers of one source for one column give two rows.
    """
    families = {network_family(row.checkpoint.backbone) for row in board.rows}
    rows: dict[tuple, list[PublishedRow]] = {}
    for result in board.published.near:
        if network_family(result.backbone) not in families:
            continue
        column, is_same = _column_for(board.groups, result)
        if column is None:
            continue
        entries = rows.setdefault(_identity(result), [])
        free = next((row for row in entries if column.key not in row.cells), None)
        if free is None:
            free = PublishedRow(result)
            entries.append(free)
        free.cells[column.key] = PublishedCell(result, is_same)
    found = [row for entries in rows.values() for row in entries]
    by = board.sorted_by
    return sorted(found, key=lambda row: (*_value_rank(row, by), *_row_rank(row)))


def _identity(result: PublishedResult) -> tuple:
    family = network_family(result.backbone)
    source = result.repository or result.file
    return (result.method, result.variant, family, result.pretrain.model_dump_json(), source)


def _value_rank(row: PublishedRow, column: Column | None) -> tuple[bool, float]:
    """Best first by the column that our rows are sorted by."""
    cell = row.cells.get(column.key) if column is not None else None
    if cell is None:
        return (True, 0.0)
    return (False, -cell.result.value if column.higher_is_better else cell.result.value)


def _row_rank(row: PublishedRow) -> tuple:
    first = row.first
    epochs = first.pretrain.epochs or 0
    return (first.backbone, row.method.lower(), first.variant or '', epochs, first.label)


def _column_for(
    groups: Sequence[ColumnGroup], result: PublishedResult
) -> tuple[Column | None, bool]:
    """The column of a result, and whether its recipe is the column's."""
    others = []
    for group in groups:
        protocol = group.protocol
        if protocol is None or protocol.tier != 'full' or group.task != result.task:
            continue
        for column in group.columns:
            if not column.is_headline or metric_name(column.metric) != result.metric:
                continue
            if protocol.name == result.protocol.ours and result.protocol.test != 'multi-scale':
                return column, True
            others.append(column)
    return (others[0], False) if others else (None, False)
