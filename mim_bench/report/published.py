"""Numbers of others beside ours: what belongs together, what hinders comparing, the verdict."""

import contextlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
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

    ``results`` are all of them, by task, backbone and method.
    """

    comparisons: Sequence[Comparison] = ()
    results: Sequence[PublishedResult] = ()

    def pairs(self, *, compared: bool) -> list[Comparison]:
        """What has a verdict, or what differs in its protocol and so has none."""
        return [pair for pair in self.comparisons if compared != bool(pair.differences)]


def published_section(
    rows: Sequence[Row],
    groups: Sequence[ColumnGroup],
    published: Sequence[PublishedResult],
    collection: Collection,
) -> PublishedSection:
    """Arrange what is published around the rows and column groups of a board."""
    comparisons = list(_comparisons(rows, groups, published, collection))
    return PublishedSection(comparisons, sorted(published, key=_rank))


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
    return re.sub('^(knn|linear|attentive)_', '', metric)


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
    recipes = _kept_recipes(collection)
    for row, group in product(rows, groups):
        checkpoint = row.checkpoint
        weights = (checkpoint.method, network_family(checkpoint.backbone), group.task)
        for column in group.columns if group.protocol is not None else ():
            cell, metric = row.cell(column), metric_name(column.metric)
            if cell.state != 'value' or metric not in TOLERANCES:
                continue
            rivals = known.get((*weights, metric), ())
            for result in rivals:
                theirs = result.pretrain
                # Epochs that are not stated, or that count views, may be ours.
                is_ours = theirs.epochs in (None, checkpoint.pretrain_epochs) or theirs.counts_views
                if is_ours and result.protocol.unit == column.unit:
                    facts = recipes.get(group.protocol.hash, {})
                    variant = _variant(checkpoint, result, rivals, variants[result.method])
                    differences = (
                        *_protocol_differences(group.protocol, facts, result.protocol),
                        *_other_differences(cell.runs, column.metric, result, variant),
                    )
                    yield Comparison(row, column, cell, group.protocol, result, differences)


def _protocol_differences(
    ours: Protocol, facts: Mapping[str, float], theirs: PublishedProtocol
) -> Iterator[str]:
    stated = list(differing_facts(facts, theirs))
    yield from stated
    if not stated and theirs.ours != ours.name.removesuffix(_AUGMENTED_TEST):
        yield 'not known to be the same recipe'
    test = 'multi-scale' if ours.name.endswith(_AUGMENTED_TEST) else 'single-scale'
    yield from _unequal('tier', ours.tier, 'full')
    yield from _unequal('test', test, theirs.test or 'single-scale')
    yield from _unequal('start', _PRETRAINED, theirs.init or _PRETRAINED)


def _other_differences(
    runs: Sequence[RunRecord], metric: str, result: PublishedResult, variant: str | None
) -> Iterator[str]:
    """Between what was measured on, the settings of our runs, and the pre-trainings."""
    ours, theirs = runs[0].checkpoint, result.pretrain
    is_supervised = ours.method.startswith(catalogue.SUPERVISED)
    splits = sorted({run.metrics[metric].split for run in runs})
    yield from _unequal('split', ' and '.join(splits), result.protocol.split)
    yield from filter(None, dict.fromkeys(map(_deviation, runs)))
    yield from _unequal('variant', variant, result.variant)
    if theirs.epochs is None and not is_supervised and ours.method != RANDOM_METHOD:
        yield 'pre-training epochs not stated there'
    if theirs.counts_views:
        yield 'pre-training epochs there may count views'
    if theirs.saw_labels and not is_supervised:
        yield f'labels seen there: {theirs.labels}'


_PRETRAINED = 'pre-trained weights'


def _unequal(what: str, here: object, there: object) -> Iterator[str]:
    if here != there:
        yield f'{what} {here} here, {there} there'


def _deviation(run: RunRecord) -> str:
    """What one of our runs did otherwise than its protocol; empty if nothing."""
    batch = run.batch
    if batch is not None and batch.effective_batch != batch.recipe_batch:
        return f'batch {batch.effective_batch:,} here, {batch.recipe_batch:,} in the recipe'
    if run.config.changed:
        return 'settings changed by hand here'
    is_known = run.origin == 'run' or run.config.changed is not None
    return '' if is_known else 'collected here, so its settings may have been changed'


def _variant(
    ours: Checkpoint,
    result: PublishedResult,
    rivals: Sequence[PublishedResult],
    variants: set[str],
) -> str | None:
    """The variant of our method: records have no field for it, the id of a checkpoint may name it.

    Unnamed it is taken for that of the result, unless others of the same epochs differ in it.
    """
    named = set(re.split(r'[^0-9a-z]+', ours.id.lower())) & variants
    if result.variant is None or result.variant in named:
        return result.variant
    epochs = result.pretrain.epochs
    choices = {rival.variant for rival in rivals if rival.pretrain.epochs == epochs}
    return ' '.join(sorted(named)) or ('not named' if len(choices) > 1 else result.variant)


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
# What mim_bench.recipe.tta puts behind the name of a protocol.
_AUGMENTED_TEST = '-tta'


def _kept_recipes(collection: Collection) -> dict[str, dict[str, float]]:
    """What is known of recipes, by protocol hash, from the first run that kept its settings."""
    found = {}
    for run in collection.records:
        digest, relative = run.protocol.hash, run.artifacts.protocol
        if relative is not None and digest not in found:
            with contextlib.suppress(RecordError):
                settings = read_protocol(collection.artifact_path(run, relative), digest)
                found[digest] = facts_of_settings(settings)
    return found


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

    def facts(self) -> dict[str, float | str | None]:
        """What stands below the facts of a checkpoint, by their titles."""
        pretrain = self.first.pretrain
        return {
            'Params (M)': self.params and self.params / 1e6,
            'Data': pretrain.data,
            'Epochs': pretrain.epochs,
            'Labels seen': pretrain.labels,
        }


def published_rows(board: Leaderboard) -> list[PublishedRow]:
    """Rows for the backbones of the board, of what its columns of full tier measure.

    Best first by the column that our rows are sorted by. Two numbers of one source for one column
    give two rows.
    """
    families = {network_family(row.checkpoint.backbone) for row in board.rows}
    rows: dict[tuple, PublishedRow] = {}
    counts: Counter[tuple] = Counter()
    for result in board.published.results:
        family = network_family(result.backbone)
        column, is_same = _column_for(board.groups, result)
        if family in families and column is not None:
            source, pretrain = result.repository or result.file, result.pretrain.model_dump_json()
            key = (result.method, result.variant, family, pretrain, source)
            row = rows.setdefault((*key, counts[key, column]), PublishedRow(result))
            counts[key, column] += 1
            row.cells[column.key] = (result, is_same)

    def rank(row: PublishedRow) -> tuple:
        first, by = row.first, board.sorted_by
        value = row.cells[by.key][0].value * -by.sign if by and by.key in row.cells else 0.0
        epochs = first.pretrain.epochs or 0
        names = (first.backbone, row.method.lower(), first.variant or '', epochs, first.label)
        return (not value, value, *names)

    return sorted(rows.values(), key=rank)


def _column_for(
    groups: Sequence[ColumnGroup], result: PublishedResult
) -> tuple[Column | None, bool]:
    """The column of a result, and whether its recipe is the column's."""
    found = [
        (column, group.protocol.name == result.protocol.ours)
        for group in groups
        if group.tier == 'full' and group.task == result.task
        for column in group.part(headline=True)
        if metric_name(column.metric) == result.metric
    ]
    can_be_same = result.protocol.test != 'multi-scale'
    same = next((column for column, is_same in found if is_same and can_be_same), None)
    return (same, True) if same else (found[0][0] if found else None, False)
