"""Checking ADE20K: image and annotation pairs, their sizes, modes and labels."""

from collections import defaultdict
from collections.abc import Collection
from functools import partial
from itertools import chain
from pathlib import Path

from mim_bench.data.archives import is_file
from mim_bench.data.checks.files import (
    LabelRule,
    absent,
    check_count,
    check_label_map,
    check_photo,
    inspect_all,
    list_images,
    refused,
)
from mim_bench.data.checks.options import CheckOptions, expected, locate
from mim_bench.data.checks.report import Kind, Problem, Report
from mim_bench.data.listing import image_endings, list_files
from mim_bench.data.segmentation import (
    CLASSES_FILE,
    absent_classes,
    label_fault,
    read_class_names,
)
from mim_bench.data.summary import listed
from mim_bench.data.toy.digits import NUM_DIGITS
from mim_bench.errors import DataError

_FOLDERS = {'train': 'training', 'val': 'validation'}
_REAL = LabelRule(highest=150)
_TOY = LabelRule(highest=NUM_DIGITS + 1)
_ADVICE = (
    'Expected DIR/{images,annotations}/{training,validation}. Get ADEChallengeData2016.zip from '
    'http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip and unpack it, '
    'or try `mim-bench data make-toy DIR`.'
)


def check_ade20k(folder: Path, options: CheckOptions) -> Report:
    """Verify ADE20K, or the embedded dataset's ``ade``, in a folder or the one above it.

    Raises:
        DataError: A folder of images or annotations is missing.
    """
    needed = tuple(
        f'{kind}/{name}' for kind in ('images', 'annotations') for name in _FOLDERS.values()
    )
    below = ('ADEChallengeData2016', 'ade/ADEChallengeData2016')
    root = locate(folder, needed, below, _ADVICE)
    wanted = expected('ade20k', root, options)
    rule = _TOY if wanted.is_toy else _REAL
    if wanted.classes:
        rule = LabelRule(highest=wanted.classes)
    report = Report('ade20k', root)
    if is_file(root / CLASSES_FILE):
        report.add(_check_names(root, rule))
    endings: set[str] = set()
    pairs: list[tuple[str, Path, Path]] = []
    for split, name in _FOLDERS.items():
        found = list_files(root / 'images' / name)
        report.leave_out(f'images/{name}', found.hidden)
        folders = [root / kind / name for kind in ('images', 'annotations')]
        images = {str(Path(file).with_suffix('')): folders[0] / file for file in found.files}
        maps = {
            str(path.relative_to(folders[1]).with_suffix('')): path
            for path in list_images(folders[1], endings=('.png',))
            if path.suffix == '.png'
        }
        endings.update(image_endings(found.files))
        report.count_others(split, found.others)
        report.counts[f'{split} images'] = len(images)
        report.counts[f'{split} annotations'] = len(maps)
        report.add(check_count(f'images/{name}', len(images), wanted.counts.get(split)))
        report.add(_unpaired(f'annotations/{name}', '.png', images, maps))
        report.add(_unpaired(f'images/{name}', '.jpg', maps, images))
        pairs += [(split, images[stem], maps[stem]) for stem in sorted(images.keys() & maps.keys())]
    if len(endings) > 1:
        message = f'have the endings {", ".join(sorted(endings))}; a run reads one of them'
        report.add([Problem('images', Kind.UNREADABLE, message)])
    if not options.quick:
        labels: dict[str, list[list[int]]] = defaultdict(list)
        results = inspect_all(partial(_inspect, root, rule), pairs, options)
        for (split, *_), (problems, found) in zip(pairs, results, strict=True):
            report.add(problems)
            labels[split].append(found)
        is_own = wanted.classes is not None or is_file(root / CLASSES_FILE)
        for split, maps in labels.items():
            if all(maps):  # else what some of them hold is not known
                is_learned = is_own and split == 'train'
                _check_labels(report, split, {*chain(*maps)}, rule, is_learned=is_learned)
    return report


def _check_labels(
    report: Report, split: str, labels: Collection[int], rule: LabelRule, *, is_learned: bool
) -> None:
    """Maps that hold no label, or do not show a class; labels out of range are named by file."""
    where = f'annotations/{_FOLDERS[split]}'
    if max(labels) > rule.highest:
        return
    if fault := label_fault(labels, rule.highest, is_learned=is_learned):
        report.add([Problem(where, Kind.LABEL, fault)])
    elif is_learned and (
        absent := absent_classes(labels, [f'label {n + 1}' for n in range(rule.highest)])
    ):
        report.notes.append(f'{where} does not show {listed(absent)} of {rule.highest} classes')


def _check_names(root: Path, rule: LabelRule) -> list[Problem]:
    """Problems of ``classes.txt``, which ``--own-data`` reads."""
    try:
        number = len(read_class_names(root))
    except DataError as error:
        return [refused(error, root / CLASSES_FILE, CLASSES_FILE)]
    if number == rule.highest:
        return []
    return [Problem(CLASSES_FILE, Kind.CLASSES, f'names {number} classes, not {rule.highest}')]


def _unpaired(
    where: str, ending: str, present: dict[str, Path], others: dict[str, Path]
) -> list[Problem]:
    """What ``present`` has and the folder ``where`` lacks."""
    wanted, found = ([f'{stem}{ending}' for stem in stems] for stems in (present, others))
    return absent(where, wanted, found, 'is not there, its other half is')


def _inspect(
    root: Path, rule: LabelRule, pair: tuple[str, Path, Path]
) -> tuple[list[Problem], list[int]]:
    """Problems of one image and its annotation, and the labels of this."""
    image, labels = (path.relative_to(root).as_posix() for path in pair[1:])
    size, found, problems = check_label_map(pair[2], labels, rule)
    return check_photo(pair[1], image, size=size) + problems, found
