"""Checking COCO: annotation files as the loader reads them, against the images; stuff maps."""

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mim_bench.data.archives import is_file, is_folder
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
from mim_bench.data.coco_annotations import (
    complete,
    document_faults,
    is_box,
    is_described,
    read_document,
    unused_objects,
)
from mim_bench.data.listing import list_files
from mim_bench.data.summary import difference, listed
from mim_bench.data.toy.digits import NUM_DIGITS
from mim_bench.data.toy.spec import SPLITS, Split
from mim_bench.errors import DataError

# mmdet reads stuff maps with OpenCV, which turns a palette into colours.
_REAL = LabelRule(highest=181, ignored=255, backend='cv2')
_TOY = LabelRule(highest=NUM_DIGITS, ignored=255, backend='cv2')
_STUFF_ADVICE = (
    'Get stuffthingmaps_trainval2017.zip from '
    'http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/ '
    'and unpack it to stuffthingmaps/'
)
_ADVICE = (
    'Expected DIR/{train2017,val2017,annotations}. Get train2017.zip, val2017.zip and '
    'annotations_trainval2017.zip from https://cocodataset.org/#download and unpack them there, '
    'or try `mim-bench data make-toy DIR`.'
)


@dataclass(frozen=True)
class _Item:
    """An image to open, its stuff map, and its (height, width) in the annotation file."""

    image: Path
    stuff: Path | None
    size: tuple[int, int]


def check_coco(folder: Path, options: CheckOptions) -> Report:
    """Verify COCO 2017, or the embedded dataset's ``coco``, in a folder or the one above it.

    Raises:
        DataError: A folder of images, or ``annotations``, is missing.
    """
    root = locate(folder, ('train2017', 'val2017', 'annotations'), ('coco',), _ADVICE)
    wanted = expected('coco', root, options)
    report = Report('coco', root)
    items: list[_Item] = []
    names: dict[Split, list[str]] = {}
    for split in SPLITS:
        found = list_files(root / f'{split}2017')
        report.leave_out(f'{split}2017', found.hidden)
        name = f'annotations/instances_{split}2017.json'
        document: dict[str, Any] = {}
        try:
            document = read_document(str(root / name))
        except DataError as error:
            report.add([refused(error, root / name, name)])
        described = [entry for entry in document.get('images', ()) if is_described(entry)]
        images = {posixpath.normpath(entry['file_name']): entry for entry in described}
        # Loaders open what is named, whatever its ending.
        there = [*found.files, *(images.keys() & {*found.others})]
        on_disk = {file: root / f'{split}2017' / file for file in there}
        report.counts[f'{split} images'] = len(on_disk)
        report.add(check_count(f'{split}2017', len(on_disk), wanted.counts.get(split)))
        if not document:
            continue
        report.add(_check_document(document, name, split, report))
        names[split] = [str(category.get('name')) for category in document['categories']]
        report.add(_check_number(name, names[split], wanted.classes))
        where, message = f'{split}2017', f'is named in {name} but not there'
        report.add(absent(where, images, on_disk, message))
        report.add(absent(where, on_disk, images, f'is not named in {name}', Kind.UNLISTED))
        stuff = _stuff_folder(root, split, report, options)
        report.add(_missing_maps(root, stuff, images))
        items += _items(images, on_disk, stuff)
    if len(names) == len(SPLITS) and set(names['train']) != set(names['val']):
        train, val = names['train'], names['val']
        message = (
            f'{difference(train, val, "training", "validation")} The training has {listed(train)}, '
            f'the validation {listed(val)}'
        )
        report.add([Problem('annotations/instances_val2017.json', Kind.CLASSES, message)])
    if not options.quick:
        rule = _TOY if wanted.is_toy else _REAL
        for problems in inspect_all(partial(_inspect, root, rule), items, options):
            report.add(problems)
    return report


def _check_document(
    document: dict[str, Any], name: str, split: Split, report: Report
) -> list[Problem]:
    """Problems of ids, categories, boxes and outlines, each named by its id; and what is counted.

    The loaders skip boxes of no width or height, of which COCO has a few.
    """
    objects, counts = document['annotations'], report.counts
    counts[f'{split} annotations'] = len(objects)
    boxes = [entry['bbox'] for entry in objects if is_box(entry.get('bbox'))]
    counts[f'{split} boxes without area'] = sum(min(box[2:]) == 0 for box in boxes)
    if computed := complete(document):
        counts[f'{split} areas computed, not stated or 0'] = computed
    names = {category['id']: str(category.get('name')) for category in document['categories']}
    unused, used = unused_objects(document, names.keys(), is_test=split == 'val')
    if split == 'train' and (empty := [names[number] for number in names.keys() - used]):
        report.notes.append(f'{name} has no object of {listed(sorted(empty))} of its categories')
    for reason, number in unused.items():
        counts[f'{split} objects not used: {reason}'] = number
    problems = [Problem(name, Kind.ANNOTATION, text) for _, text in document_faults(document)]
    if not problems and sum(unused.values()) == len(objects):
        message = f'a run can use none of its {len(objects)} objects'
        problems.append(Problem(name, Kind.EMPTY, message))
    return problems


def _check_number(name: str, names: list[str], wanted: int | None) -> list[Problem]:
    if wanted is None or len(names) == wanted:
        return []
    return [Problem(name, Kind.CLASSES, f'has {listed(names)} categories, expected {wanted}')]


def _stuff_folder(root: Path, split: Split, report: Report, options: CheckOptions) -> Path | None:
    """The folder of stuff maps, or None where there is none; a problem if one is needed."""
    name = f'stuffthingmaps/{split}2017'
    if is_folder(root / name):
        report.counts[f'{split} stuff maps'] = len(list_images(root / name))
        return root / name
    if options.need_stuff:
        report.add([Problem(name, Kind.MISSING, f'folder is not there. {_STUFF_ADVICE}')])
    return None


def _missing_maps(root: Path, stuff: Path | None, images: Iterable[str]) -> list[Problem]:
    if stuff is None:
        return []
    on_disk = [path.name for path in list_images(stuff, endings=('.png',))]
    wanted = [f'{Path(file).stem}.png' for file in images]
    return absent(stuff.relative_to(root).as_posix(), wanted, on_disk, 'stuff map is not there')


def _items(
    images: Mapping[str, dict[str, Any]], on_disk: Mapping[str, Path], stuff: Path | None
) -> list[_Item]:
    """Every image that is both named and there, with its stuff map if that is there."""
    items = []
    for file in sorted(images.keys() & on_disk.keys()):
        labels = stuff / f'{Path(file).stem}.png' if stuff is not None else None
        exists = labels is not None and is_file(labels)
        size = (images[file]['height'], images[file]['width'])
        items.append(_Item(on_disk[file], labels if exists else None, size))
    return items


def _inspect(root: Path, rule: LabelRule, item: _Item) -> list[Problem]:
    """Problems of one image and its stuff map."""
    problems = check_photo(item.image, item.image.relative_to(root).as_posix(), size=item.size)
    if item.stuff is not None:
        name = item.stuff.relative_to(root).as_posix()
        size, _, more = check_label_map(item.stuff, name, rule)
        problems += more
        if size not in (None, item.size):
            message = f'is {size} pixels (height, width), its image {item.size}'
            problems.append(Problem(name, Kind.SIZE, message))
    return problems
