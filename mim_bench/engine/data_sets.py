"""The data sets of a run against each other and against the model's head, before the first step."""

from collections.abc import Iterator
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import Runner

from mim_bench.conversion.files import run_meta
from mim_bench.data.summary import Summary, check_same_classes, difference, listed, summary_of
from mim_bench.engine.hooks.label_range_hook import count_classes
from mim_bench.errors import DataError


def check_data_sets(runner: Runner) -> None:
    """Log what each data set of a run holds and uses, and refuse classes that do not agree.

    Args:
        runner: With its loops built, as in the hook point ``before_run``.

    Raises:
        DataError: Two data sets number their classes differently, the head has another number of
            them, or a class has no training image.
    """
    summaries = {what: summary_of(dataset) for what, dataset in data_sets(runner)}
    for what, summary in summaries.items():
        if summary is not None:
            print_log(f'Data for {what} ({summary.where}): {summary}.', logger='current')
    num_classes = count_classes(runner.model)
    if num_classes is None and 'bank' not in summaries:  # nothing is learned from labels
        return
    check_same_classes(summaries)
    for what, summary in summaries.items():
        if summary is not None:
            _check_classes(what, summary, num_classes)
    if bank := summaries.get('bank'):
        _check_bank(bank, summaries.get('test'))


def check_trained_classes(runner: Runner) -> None:
    """Refuse to test a model of a run on other classes than it was trained on.

    Args:
        runner: A test with its model loaded.

    Raises:
        DataError: The data set names its classes otherwise than that of the training.
    """
    meta = runner._loaded_meta or {}
    here = getattr(runner.test_loop.dataloader.dataset, 'metainfo', None)
    trained, tested = (
        list((known or {}).get('classes') or ()) for known in (meta.get('dataset_meta'), here)
    )
    if run_meta({'meta': meta}) and trained and tested and trained != tested:
        what = difference(trained, tested, 'training', 'test')
        raise DataError(
            f'The model of {runner._load_from} was trained on other classes than those of the test '
            f'data: {what} It knows {listed(trained)}; the test data have '
            f'{listed(tested)}. Give data with the classes of the training, in their order.'
        )


def data_sets(runner: Runner) -> Iterator[tuple[str, Any]]:
    """Data sets by what they are for: training, validation, test, bank."""
    for what, loop in (
        ('training', runner.train_loop),
        ('validation', runner.val_loop),
        ('test', runner.test_loop),
    ):
        if loop is None or isinstance(loop, dict):
            continue
        if bank := getattr(loop, 'bank_dataloader', None):
            yield 'bank', bank.dataset
        yield what, loop.dataloader.dataset


def _check_classes(what: str, summary: Summary, num_classes: int | None) -> None:
    names, counts = summary.names, summary.class_images
    if names is not None and len(names) == 1 and summary.objects is None:
        raise DataError(
            f'The {what} data ({summary.where}) have the one class {names[0]!r}, so every answer '
            'is right. Give two classes or more; in label maps the background is one, too.'
        )
    if num_classes is not None and names is not None and len(names) != num_classes:
        raise DataError(
            f'The {what} data ({summary.where}) have {listed(names)} classes, the head of the '
            f'model {num_classes} (0 to {num_classes - 1}). Give the data that belong to the '
            'config, or train your own with `mim-bench train --own-data NAME`, which sets the head.'
        )
    if num_classes is not None and counts and max(counts) >= num_classes:
        raise DataError(
            f'The {what} data ({summary.where}) have the label {max(counts)}, the head of the '
            f'model {num_classes} classes (0 to {num_classes - 1}). Correct the list, or train '
            'your own data with `mim-bench train --own-data NAME`, which sets the head.'
        )
    if names is not None and counts is not None:
        empty = [name for number, name in enumerate(names) if not counts.get(number)]
        if empty:
            raise DataError(
                f'The {what} data ({summary.where}) have no image of {listed(empty)} of their '
                f'{len(names)} class folders. Fill or remove them: they count as classes.'
            )


def _check_bank(bank: Summary, test: Summary | None) -> None:
    """Refuse labels that a probe cannot learn, where numbers are all that is known of them."""
    if bank.class_images is None or bank.names is not None:
        return
    highest = max(bank.class_images)
    if empty := sorted(set(range(highest)) - bank.class_images.keys()):
        raise DataError(
            f'The bank data ({bank.where}) have the label {highest} and no image of '
            f'{listed(empty)} of the labels below it. Correct the list.'
        )
    if test is not None and test.class_images and max(test.class_images) > highest:
        raise DataError(
            f'The test data ({test.where}) have the label {max(test.class_images)}, the bank data '
            f'({bank.where}) 0 to {highest} only. Give lists that belong together.'
        )
