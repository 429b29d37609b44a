"""Finds the published results that belong beside our rows, and what hinders comparing them."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from mim_bench.report import catalogue
from mim_bench.report.comparison import TOLERANCES, Comparison, PublishedSection
from mim_bench.report.leaderboard import ColumnGroup, Row
from mim_bench.report.recipe_facts import RecipeReader
from mim_bench.results.published import PublishedProtocol, PublishedResult, network_family
from mim_bench.results.record import RANDOM_METHOD, Checkpoint, Protocol, RunRecord
from mim_bench.results.store import Collection

# How methods begin that learned from labels, for which no epochs are told.
SUPERVISED = 'supervised'
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
    published: Sequence[PublishedResult],
    collection: Collection,
) -> PublishedSection:
    """Arrange what is published around the rows of a board.

    Args:
        rows: Of the board.
        groups: Its column groups; those of pre-training have no protocol and do not count.
        published: All published numbers.
        collection: Says where the settings of our protocols lie.
    """
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
    is_supervised = ours.method.startswith(SUPERVISED)
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
