"""Checking the test sets of robustness: class folders, counts, and images that decode."""

from functools import partial
from pathlib import Path

from mim_bench.data.checks.files import check_count, check_labelled_photo, inspect_all
from mim_bench.data.checks.options import CheckOptions, embedded_manifest, parse_count
from mim_bench.data.checks.report import Kind, Problem, Report
from mim_bench.data.imagenet_variants import (
    REAL_LABELS,
    VARIANTS,
    Variant,
    class_marks,
    image_folders,
    real_labels,
    variant_root,
)
from mim_bench.data.listing import class_folders, list_files
from mim_bench.data.toy.digits import NUM_DIGITS


def check_variant(name: str, folder: Path, options: CheckOptions) -> Report:
    """Verify a test set of robustness in a folder or archive, or the folder above it.

    ``--expect val=N,classes=N`` checks a part of the set.

    Raises:
        DataError: The folder holds something else.
    """
    variant = VARIANTS[name]
    root = variant_root(folder, name)
    report = Report(name, root)
    wanted, num_classes = _expected(variant, root, options)
    images = []
    for _, place in image_folders(root, name):
        listing = list_files(place)
        report.leave_out(place.relative_to(root).as_posix(), listing.hidden)
        images += [place / file for file in listing.files]
        report.add(_check_classes(root, place, num_classes, variant.classes, options))
    report.counts['val images'] = len(images)
    report.add(check_count('val', len(images), wanted))
    if name == 'imagenet-real':
        report.add(_check_real(root, wanted))
    if not options.quick:
        for problems in inspect_all(partial(check_labelled_photo, root), images, options):
            report.add(problems)
    return report


def _expected(variant: Variant, root: Path, options: CheckOptions) -> tuple[int, int]:
    """Images and classes as asked for, else of the embedded set around, else the real ones."""
    images, classes = variant.images, len(variant.classes or class_marks())
    if (manifest := embedded_manifest(root)) is not None and variant.classes:
        classes = sum(number < NUM_DIGITS for number in variant.classes)
        images = manifest['size']['imagenet']['val'] * classes // NUM_DIGITS
    return parse_count(options, 'val') or images, parse_count(options, 'classes') or classes


def _check_classes(
    root: Path,
    place: Path,
    num_classes: int,
    classes: tuple[int, ...] | None,
    options: CheckOptions,
) -> list[Problem]:
    names = class_folders(place)
    if len(names) != num_classes:
        message = f'holds {len(names)} class folders, expected {num_classes}'
        where = place if place == root else place.relative_to(root)
        return [Problem(where.as_posix(), Kind.COUNT, message)]
    if parse_count(options, 'classes') or all(name.isdecimal() for name in names):
        return []
    ids = list(class_marks())
    allowed = {ids[number] for number in classes or range(len(ids))}
    return [
        Problem(
            (place / name).relative_to(root).as_posix(), Kind.CLASSES, 'is no class of this set'
        )
        for name in names
        if name not in allowed
    ]


def _check_real(root: Path, wanted: int) -> list[Problem]:
    labels = real_labels(root / REAL_LABELS)
    if len(labels) == wanted:
        return []
    message = f'has labels of {len(labels):,} images, expected {wanted:,}'
    return [Problem(REAL_LABELS, Kind.COUNT, message)]
