"""Finds the published results that belong beside our rows, and what hinders comparing them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from mim_bench.report import catalogue
from mim_bench.report.comparison import Comparison, PublishedSection
from mim_bench.report.leaderboard import Column, ColumnGroup, Row
from mim_bench.results.published import (
    Published,
    PublishedCost,
    PublishedProtocol,
    PublishedResult,
    network_family,
)
from mim_bench.results.record import RANDOM_METHOD, Protocol, RunRecord

# How methods begin that learned from labels, for which no epochs are told.
SUPERVISED = 'supervised-'
# What mim_bench.recipe.tta puts behind the name of a protocol.
_AUGMENTED_TEST = '-tta'
# Length and size in the name of a config, for example ...-100e_in1k-224px.
_LENGTH = re.compile(r'-(\d+)([eik])_')
_PIXELS = re.compile(r'-(\d+)px$')
_WORD = re.compile(r'[^0-9a-z]+')


def published_section(
    rows: Sequence[Row], groups: Sequence[ColumnGroup], published: Published
) -> PublishedSection:
    """Arrange what is published around the rows of a board.

    Args:
        rows: Of the board.
        groups: Its column groups; those of pre-training have no protocol and do not count.
        published: All published numbers.
    """
    methods = {row.checkpoint.method for row in rows}
    families = {network_family(row.checkpoint.backbone) for row in rows}

    def is_near(result: PublishedResult) -> bool:
        return result.method in methods or network_family(result.backbone) in families

    ordered = sorted(published.results, key=_result_rank)
    return PublishedSection(
        comparisons=list(_comparisons(rows, groups, published)),
        near=[result for result in ordered if is_near(result)],
        further=[result for result in ordered if not is_near(result)],
        costs=sorted(published.costs, key=_cost_rank),
    )


def _result_rank(result: PublishedResult) -> tuple:
    return (
        catalogue.task_rank(result.task),
        network_family(result.backbone),
        catalogue.method_title(result.method).lower(),
        result.pretrain_epochs or 0,
        result.source.label,
        catalogue.metric_rank(result.task, result.metric),
    )


def _cost_rank(cost: PublishedCost) -> tuple:
    return (catalogue.method_title(cost.method).lower(), cost.backbone, cost.variant or '')


class _Library:
    """The published results, found by what a cell of the board is about."""

    def __init__(self, results: Sequence[PublishedResult]) -> None:
        self._results: dict[tuple, list[PublishedResult]] = {}
        self._variants: dict[str, set[str]] = {}
        for result in results:
            self._results.setdefault(_key(result), []).append(result)
            if result.variant is not None:
                self._variants.setdefault(result.method, set()).add(result.variant)

    def matching(self, row: Row, column: Column) -> Iterator[PublishedResult]:
        """Of the same method, backbone, task, metric and pre-training epochs."""
        checkpoint = row.checkpoint
        family = network_family(checkpoint.backbone)
        metric = metric_name(column.task, column.metric)
        for result in self._results.get((checkpoint.method, family, column.task, metric), ()):
            # Epochs that are not stated may be these; the flag says so.
            is_same_epochs = result.pretrain_epochs in (None, checkpoint.pretrain_epochs)
            if is_same_epochs and result.unit == column.unit:
                yield result

    def variants_of(self, method: str) -> set[str]:
        """The words by which results tell variants of a method apart."""
        return self._variants.get(method, set())

    def has_rivals(self, result: PublishedResult) -> bool:
        """Whether another variant is published for the very same thing."""
        epochs = result.pretrain_epochs
        others = [o for o in self._results[_key(result)] if o.pretrain_epochs == epochs]
        return len({other.variant for other in others}) > 1


def _key(result: PublishedResult) -> tuple[str, str, str, str]:
    family = network_family(result.backbone)
    return (result.method, family, result.task, metric_name(result.task, result.metric))


def metric_name(task: str, metric: str) -> str:
    """A linear probe is scored by its top-1, whether the probe or a classifier trained it."""
    return 'linear_top1' if (task, metric) == ('in1k-linear', 'top1') else metric


def _comparisons(
    rows: Sequence[Row], groups: Sequence[ColumnGroup], published: Published
) -> Iterator[Comparison]:
    library = _Library(published.results)
    for row in rows:
        for group in groups:
            for column in group.columns:
                if group.protocol is None or row.cell(column).state != 'value':
                    continue
                for result in library.matching(row, column):
                    yield _compare(row, column, group.protocol, result, library)


def _compare(
    row: Row, column: Column, protocol: Protocol, result: PublishedResult, library: _Library
) -> Comparison:
    cell = row.cell(column)
    differences = [
        difference
        for run in cell.runs
        for difference in (
            *_recipe_differences(protocol, run, result.protocol),
            *_measure_differences(protocol, run, column.metric, result.protocol),
        )
    ]
    differences += _checkpoint_differences(row, result, library)
    return Comparison(
        row=row.label,
        method=row.method,
        backbone=row.checkpoint.backbone,
        title=column.title,
        protocol=protocol,
        num_runs=len(cell.runs),
        ours=cell.value,
        published=result,
        # Seeds mostly differ in the same.
        differences=list(dict.fromkeys(differences)),
    )


def _recipe_differences(ours: Protocol, run: RunRecord, theirs: PublishedProtocol) -> Iterator[str]:
    """Between the trainings."""
    if ours.tier != 'full':
        yield f'{ours.tier} tier here'
    name = ours.name.removesuffix(_AUGMENTED_TEST)
    if theirs.name is None:
        yield 'its recipe is none of ours'
    elif theirs.name != name:
        yield f'{name} here, {theirs.name} there'
    for what, here, there in (
        ('epochs', _epochs(run), theirs.epochs),
        ('iterations', _iterations(run), theirs.iterations),
        ('px', _pixels(run), theirs.resolution),
    ):
        if here is not None and there is not None and here != there:
            yield f'{here:,} {what} here, {there:,} there'
    if theirs.init is not None:
        yield f'{theirs.init} there'
    if run.config.changed:
        yield 'settings changed by hand here'
    elif run.origin == 'collected' and run.config.changed is None:
        yield 'collected here, so its settings may have been changed'
    batch = run.batch
    if batch is not None and batch.effective_batch != batch.recipe_batch:
        yield f'batch {batch.effective_batch:,} here, {batch.recipe_batch:,} in the recipe'


def _measure_differences(
    ours: Protocol, run: RunRecord, metric: str, theirs: PublishedProtocol
) -> Iterator[str]:
    """Between the tests."""
    here = 'multi-scale' if ours.name.endswith(_AUGMENTED_TEST) else 'single-scale'
    there = theirs.test or 'single-scale'
    if here != there:
        yield f'{here} test here, {there} there'
    split = run.metrics[metric].split
    if split != theirs.split:
        yield f'{split} here, {theirs.split} there'


def _checkpoint_differences(row: Row, result: PublishedResult, library: _Library) -> Iterator[str]:
    """Between the pre-trainings; method, backbone and stated epochs agree already."""
    checkpoint = row.checkpoint
    has_epochs = checkpoint.method != RANDOM_METHOD and not checkpoint.method.startswith(SUPERVISED)
    if result.pretrain_epochs is None and has_epochs:
        yield 'pre-training epochs not stated there'
    if result.variant is None:
        return
    # Records have no field for the variant; the id of a checkpoint may name it.
    words = set(_WORD.split(checkpoint.id.lower()))
    named = words & library.variants_of(result.method)
    if named and result.variant not in named:
        yield f'variant {", ".join(sorted(named))} here, {result.variant} there'
    elif not named and library.has_rivals(result):
        yield f'variant {result.variant} there, none in the id of our checkpoint'


def _length(run: RunRecord) -> tuple[int, str] | None:
    found = _LENGTH.search(PurePosixPath(run.config.path).stem)
    return (int(found[1]), found[2]) if found else None


def _epochs(run: RunRecord) -> int | None:
    length = _length(run)
    return length[0] if length and length[1] == 'e' else None


def _iterations(run: RunRecord) -> int | None:
    length = _length(run)
    if length is None or length[1] == 'e':
        return None
    return length[0] * (1000 if length[1] == 'k' else 1)


def _pixels(run: RunRecord) -> int | None:
    found = _PIXELS.search(PurePosixPath(run.config.path).stem)
    return int(found[1]) if found else None
