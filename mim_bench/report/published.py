"""Numbers of others beside ours: what belongs together, what hinders comparing, the verdict."""

import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mim_bench.errors import RecordError
from mim_bench.published.numbers import PublishedProtocol, PublishedResult, network_family
from mim_bench.published.recipe_facts import differing_facts, facts_of_settings
from mim_bench.report import catalogue
from mim_bench.report.board import Board, Column
from mim_bench.results.collection import Collection
from mim_bench.results.protocol_file import read_protocol
from mim_bench.results.record import RANDOM_METHOD, Checkpoint, RunRecord, metric_name
from mim_bench.results.statistics import TOLERANCES

# What mim_bench.recipe.tta puts behind the name of a protocol.
_AUGMENTED_TEST = '-tta'
_PRETRAINED = 'pre-trained weights'


def sort_published(results: Iterable[PublishedResult]) -> list[PublishedResult]:
    """Published numbers by task, backbone and method."""
    return sorted(
        results,
        key=lambda result: (
            catalogue.task_rank(result.task),
            network_family(result.backbone),
            catalogue.method_title(result.method).lower(),
            result.pretrain.epochs or 0,
            result.label,
            catalogue.metric_rank(result.task, result.metric),
        ),
    )


@dataclass(frozen=True)
class Pair:
    """A number of ours, by row and column, and one published for the same weights and metric."""

    label: str
    column: int
    ours: float
    runs: Sequence[RunRecord]  # what ours rests on
    result: PublishedResult
    differences: Sequence[str]  # how the two were measured otherwise
    tolerance: float  # how far apart they may lie, in points

    @property
    def difference(self) -> float | None:
        """Ours minus theirs; None where they were measured otherwise."""
        # Rounded below what any source prints, against the rounding of sums of floats.
        return None if self.differences else round(self.ours - self.result.value, 6)

    @property
    def verdict(self) -> str:
        """``reproduced`` within the tolerance, ``above``, ``below`` or ``other protocol``."""
        if (difference := self.difference) is None:
            return 'other protocol'
        if abs(difference) <= self.tolerance:
            return 'reproduced'
        return 'above' if difference > 0 else 'below'


def match(board: Board) -> list[Pair]:
    """Ours beside what was published for them, in the order of rows and columns."""
    theirs, variants = defaultdict(list), defaultdict(set)
    for r in board.published:
        key = (r.method, network_family(r.backbone), r.task, r.metric, r.protocol.unit)
        theirs[key].append(r)
        variants[r.method].add(r.variant or '')
    recipes = _kept_recipes(board.collection)
    order = {label: place for place, label in enumerate(board.rows.index)}
    cells = board.cells[board.cells['state'] == 'value'].itertuples()
    pairs = []
    for cell in sorted(cells, key=lambda cell: (order[cell.label], cell.column)):
        column, checkpoint = board.columns[cell.column], board.rows['checkpoint'][cell.label]
        metric, family = metric_name(column.metric), network_family(checkpoint.backbone)
        rivals = theirs.get((checkpoint.method, family, column.task, metric, column.unit), ())
        if column.part != 'task' or metric not in TOLERANCES:
            continue
        for result in rivals:
            pretrain = result.pretrain
            # Epochs that are not stated, or that count views, may be ours.
            is_stated = pretrain.epochs is not None and not pretrain.counts_views
            if is_stated and pretrain.epochs != checkpoint.pretrain_epochs:
                continue
            alike = {r.variant or '' for r in rivals if r.pretrain.epochs == pretrain.epochs}
            here = _variant(result.variant or '', checkpoint, variants[result.method], alike)
            differences = [
                *_measured_otherwise(column, recipes, result.protocol),
                *filter(None, dict.fromkeys(map(_deviation, cell.runs))),
                *_pretrained_otherwise(here, checkpoint, result),
            ]
            pairs.append(
                Pair(
                    cell.label, cell.column, cell.value, cell.runs, result, differences,
                    TOLERANCES[metric],
                )
            )  # fmt: skip
    return pairs


def _measured_otherwise(
    column: Column, recipes: Mapping[str, Mapping[str, float]], theirs: PublishedProtocol
) -> Iterator[str]:
    ours = column.protocol
    stated = list(differing_facts(recipes.get(ours.hash, {}), theirs))
    yield from stated
    if not stated and theirs.ours != ours.name.removesuffix(_AUGMENTED_TEST):
        yield 'not known to be the same recipe'
    test = 'multi-scale' if ours.name.endswith(_AUGMENTED_TEST) else 'single-scale'
    yield from _unequal('tier', ours.tier, 'full')
    yield from _unequal('test', test, theirs.test or 'single-scale')
    yield from _unequal('start', _PRETRAINED, theirs.init or _PRETRAINED)
    yield from _unequal('split', column.split, theirs.split)


def _pretrained_otherwise(
    variant: str, checkpoint: Checkpoint, result: PublishedResult
) -> Iterator[str]:
    yield from _unequal('variant', variant, result.variant or '')
    pretrain = result.pretrain
    if result.method == RANDOM_METHOD or result.method.startswith(catalogue.SUPERVISED):
        return
    if pretrain.epochs is None:
        yield 'pre-training epochs not stated there'
    if pretrain.counts_views:
        yield 'pre-training epochs there may count views'
    here, there = catalogue.data_titles([checkpoint.pretrain_data or 'not known']), pretrain.data
    if there is None or _data_name(here) != _data_name(there):
        yield f'pre-training data {here} here, {there or "not stated"} there'
    if pretrain.saw_labels:
        yield f'labels seen there: {pretrain.labels}'
    elif checkpoint.labels is None:
        yield 'not known whether labels were seen here'
    elif checkpoint.labels:
        yield f'labels seen here: {catalogue.data_titles(checkpoint.labels)}'


def _data_name(title: str) -> str:
    """A data set's title for comparing; ImageNet-21K and -22K are one."""
    return title.lower().replace('21k', '22k')


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


def _variant(there: str, checkpoint: Checkpoint, variants: set[str], alike: set[str]) -> str:
    """The variant of our method: records have no field for it, the id of a checkpoint may name it.

    Unnamed it is taken for that of the result, unless there are others (``alike``) of its epochs.
    """
    named = set(re.split(r'[^0-9a-z]+', checkpoint.id.lower())) & variants - {''}
    if not there or there in named:
        return there
    return ' '.join(sorted(named)) or ('not named' if len(alike) > 1 else there)


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


def published_rows(board: Board) -> list[dict[str, Any]]:
    """Rows for the backbones of the board, of what its columns of full tier measure.

    Best first by the column that our rows are sorted by. Two numbers of one source for one column
    give two rows.

    Returns:
        Of each row the ``first`` result, facts of the checkpoint below their headings, and
        ``cells``: by the place of a column the result, and whether the column has its recipe.
    """
    families = {network_family(checkpoint.backbone) for checkpoint in board.rows['checkpoint']}
    columns = defaultdict(list)
    for place in board.results(headline=True):
        if (column := board.columns[place]).tier == 'full':
            columns[column.task, metric_name(column.metric)].append((place, column.protocol.name))
    rows: dict[tuple, dict[int, tuple[PublishedResult, bool]]] = {}
    counts: Counter[tuple] = Counter()
    for result in board.published:
        family, found = network_family(result.backbone), columns.get((result.task, result.metric))
        if family not in families or not found:
            continue
        can_be_same = result.protocol.test != 'multi-scale'
        same = [place for place, name in found if can_be_same and name == result.protocol.ours]
        place = same[0] if same else found[0][0]
        source, pretrain = result.repository or result.file, result.pretrain.model_dump_json()
        key = (result.method, result.variant, family, pretrain, source)
        rows.setdefault((key, counts[key, place]), {})[place] = (result, bool(same))
        counts[key, place] += 1

    def rank(row: Mapping[str, Any]) -> tuple:
        first, by = row['first'], board.sorted_by
        value = row['cells'][by][0].value * -board.columns[by].sign if by in row['cells'] else 0.0
        epochs = first.pretrain.epochs or 0
        title = row['Method'].lower()
        return not value, value, first.backbone, title, first.variant or '', epochs, first.label

    return sorted(map(_published_row, rows.values()), key=rank)


def _published_row(cells: Mapping[int, tuple[PublishedResult, bool]]) -> dict[str, Any]:
    first = next(iter(cells.values()))[0]
    number, unit = (first.params[:-1], first.params[-1]) if first.params else ('nan', 'M')
    return {
        'first': first,
        'cells': cells,
        'Method': catalogue.method_title(first.method),
        'Params (M)': float(number) * {'M': 1, 'B': 1e3}[unit],
        'Data': first.pretrain.data,
        'Epochs': first.pretrain.epochs,
        'Labels seen': first.pretrain.labels,
    }
