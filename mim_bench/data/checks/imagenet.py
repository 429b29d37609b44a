"""Checking ImageNet: class folders, lists, and images that decode."""

from functools import partial
from pathlib import Path

from mim_bench.data.archives import is_file, read_text
from mim_bench.data.checks.files import absent, check_count, check_labelled_photo, inspect_all
from mim_bench.data.checks.options import CheckOptions, expected, locate
from mim_bench.data.checks.report import Kind, Problem, Report
from mim_bench.data.listing import class_folders, classes_of_list, list_entry, list_files
from mim_bench.data.summary import difference, listed
from mim_bench.data.toy.digits import NUM_DIGITS
from mim_bench.data.toy.spec import SPLITS, Split

NUM_CLASSES = 1000
_ADVICE = (
    'Expected DIR/train/<class>/*.JPEG and DIR/val/<class>/*.JPEG (or DIR/val/*.JPEG with '
    'DIR/meta/val.txt). Get ILSVRC2012 from https://image-net.org/download.php and unpack it so, '
    'or try `mim-bench data make-toy DIR`.'
)


def check_imagenet(folder: Path, options: CheckOptions) -> Report:
    """Verify ImageNet, or the embedded dataset's ``imagenet``, in a folder or the one above it.

    Raises:
        DataError: ``train`` or ``val`` is missing.
    """
    root = locate(folder, SPLITS, ('imagenet',), _ADVICE)
    wanted = expected('imagenet', root, options)
    report = Report('imagenet', root)
    listings = {split: list_files(root / split) for split in SPLITS}
    images = {split: [root / split / name for name in listings[split].files] for split in SPLITS}
    classes = {split: class_folders(root / split) for split in SPLITS}
    num_classes = wanted.classes or (NUM_DIGITS if wanted.is_toy else NUM_CLASSES)
    numbered: dict[Split, tuple[str, ...] | None] = {}
    for split in SPLITS:
        report.counts[f'{split} images'] = len(images[split])
        report.counts[f'{split} classes'] = len(classes[split])
        report.leave_out(split, listings[split].hidden)
        report.count_others(split, listings[split].others)
        report.add(check_count(split, len(images[split]), wanted.counts.get(split)))
        if classes[split] or is_file(root / 'meta' / f'{split}.txt'):
            problems, entries = _check_list(root, split, images[split], num_classes)
            report.add(problems)
            numbered[split] = classes_of_list(entries) if entries else tuple(classes[split])
        elif images[split]:
            report.add([_unlabelled(split)])
    report.add(_check_classes(root, classes, images, num_classes))
    report.add(_check_numbers(numbered.get('train'), numbered.get('val')))
    if not options.quick:
        everything = [path for split in SPLITS for path in images[split]]
        for problems in inspect_all(partial(check_labelled_photo, root), everything, options):
            report.add(problems)
    return report


def _check_classes(
    root: Path, classes: dict[Split, list[str]], images: dict[Split, list[Path]], num_classes: int
) -> list[Problem]:
    """Class folders: how many, with an image each, and the same ones in both splits."""
    problems = []
    for split, names in classes.items():
        if split == 'val' and not names:
            continue  # the flat layout, whose labels stand in meta/val.txt
        if len(names) != num_classes:
            message = f'holds {len(names)} class folders, expected {num_classes}'
            problems.append(Problem(split, Kind.COUNT, message))
        filled = {path.relative_to(root / split).parts[0] for path in images[split]}
        problems += absent(split, names, filled, 'holds no image', Kind.EMPTY)
    if classes['val']:
        message = 'class folder of the other split is not here'
        for split, other in (('val', 'train'), ('train', 'val')):
            problems += absent(split, classes[other], classes[split], message)
    return problems


def _check_numbers(train: tuple[str, ...] | None, val: tuple[str, ...] | None) -> list[Problem]:
    """The same classes under other numbers, as a list may say."""
    if not train or not val or train == val or set(train) != set(val):
        return []
    what = difference(train, val, 'training', 'validation')
    message = (
        f'numbers the classes differently: {what} The training has {listed(train)}, the '
        f'validation {listed(val)}'
    )
    return [Problem('meta/val.txt', Kind.CLASSES, message)]


def _unlabelled(split: Split) -> Problem:
    message = f'is not there, and without class folders in {split}/ nothing gives the labels'
    return Problem(f'meta/{split}.txt', Kind.MISSING, message)


def _check_list(
    root: Path, split: Split, images: list[Path], num_classes: int
) -> tuple[list[Problem], list[tuple[str, int]]]:
    """Compare ``meta/{split}.txt``, which the loader trusts, with the files.

    Returns:
        The problems, and the paths and labels that it lists.
    """
    name = f'meta/{split}.txt'
    if not is_file(root / name):
        return [], []
    on_disk = {image.relative_to(root / split).as_posix() for image in images}
    entries: list[tuple[str, int]] = []
    problems = []
    for number, line in enumerate(read_text(root / name).splitlines(), start=1):
        if (entry := list_entry(line)) is None:
            message = f'line {number} is {line!r}, expected a path and a label'
            problems.append(Problem(name, Kind.ANNOTATION, message))
            continue
        entries.append(entry)
        if entry[1] >= num_classes:
            message = (
                f'line {number}: label {entry[1]} of {entry[0]}; allowed are 0..{num_classes - 1}'
            )
            problems.append(Problem(name, Kind.LABEL, message))
    paths = [path for path, _ in entries]
    problems += absent(split, paths, on_disk, f'is listed in {name} but not there')
    problems += absent(split, on_disk, paths, f'is not listed in {name}', Kind.UNLISTED)
    return problems, entries
