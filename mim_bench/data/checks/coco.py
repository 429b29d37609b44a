"""Checking COCO: annotation files against the images, and stuff maps."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mim_bench.data.archives import is_file, is_folder
from mim_bench.data.checks.coco_json import Instances, check_instances, read_instances
from mim_bench.data.checks.files import (
    LabelRule,
    check_count,
    check_label_map,
    inspect_all,
    list_images,
    read_image,
    read_photo,
)
from mim_bench.data.checks.options import CheckOptions, expected, locate
from mim_bench.data.checks.report import Kind, Problem, Report
from mim_bench.data.listing import list_files
from mim_bench.data.summary import difference, listed
from mim_bench.data.toy.digits import NUM_DIGITS
from mim_bench.data.toy.spec import SPLITS, Split

# mmdet reads stuff maps with OpenCV, which turns a palette into colours: only L.
_REAL = LabelRule(highest=181, ignored=255, modes=('L',))
_TOY = LabelRule(highest=NUM_DIGITS, ignored=255, modes=('L',))
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
    """An image to open, with its entry in the annotation file."""

    image: Path
    stuff: Path | None
    entry: dict[str, Any]


def check_coco(folder: Path, options: CheckOptions) -> Report:
    """Verify COCO 2017, or the embedded dataset's ``coco``.

    Args:
        folder: The dataset, or the embedded dataset that contains it.
        options: How to check.

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
        on_disk = {name: root / f'{split}2017' / name for name in found.files}
        report.counts[f'{split} images'] = len(on_disk)
        report.add(check_count(f'{split}2017', len(on_disk), wanted.counts.get(split)))
        name = f'annotations/instances_{split}2017.json'
        instances, problems = read_instances(root / name, name)
        report.add(problems)
        if instances is None:
            continue
        report.counts[f'{split} annotations'] = len(instances.annotations)
        report.counts[f'{split} boxes without area'] = instances.num_flat_boxes
        if instances.num_areas:
            report.counts[f'{split} areas computed, not stated or 0'] = instances.num_areas
        report.add(check_instances(instances, name))
        names[split] = [str(category.get('name')) for category in instances.categories]
        for reason, number in instances.unused(is_test=split == 'val').items():
            report.counts[f'{split} objects not used: {reason}'] = number
        report.add(_check_number(name, names[split], wanted.classes))
        report.add(_compare(split, name, instances, on_disk))
        stuff = _stuff_folder(root, split, report, options)
        report.add(_missing_maps(root, stuff, instances))
        items += _items(instances, on_disk, stuff)
    if len(names) == len(SPLITS) and set(names['train']) != set(names['val']):
        message = (
            f'{difference(names["train"], names["val"])} The training has '
            f'{listed(names["train"])}, the validation {listed(names["val"])}'
        )
        report.add([Problem('annotations/instances_val2017.json', Kind.CLASSES, message)])
    if not options.quick:
        rule = _TOY if wanted.is_toy else _REAL
        report.add(inspect_all(partial(_inspect, root, rule), items, options))
    return report


def _check_number(name: str, names: list[str], wanted: int | None) -> list[Problem]:
    if wanted is None or len(names) == wanted:
        return []
    return [Problem(name, Kind.CLASSES, f'has {listed(names)} categories, expected {wanted}')]


def _compare(
    split: Split, name: str, instances: Instances, on_disk: dict[str, Path]
) -> list[Problem]:
    """Images that only the annotation file or only the folder has."""
    listed = set(instances.file_names())
    missing = [
        Problem(f'{split}2017/{file}', Kind.MISSING, f'is named in {name} but not there')
        for file in sorted(listed - on_disk.keys())
    ]
    unlisted = [
        Problem(f'{split}2017/{file}', Kind.UNLISTED, f'is not named in {name}')
        for file in sorted(on_disk.keys() - listed)
    ]
    return missing + unlisted


def _stuff_folder(root: Path, split: Split, report: Report, options: CheckOptions) -> Path | None:
    """The folder of stuff maps, or None where there is none; a problem if one is needed."""
    name = f'stuffthingmaps/{split}2017'
    if is_folder(root / name):
        report.counts[f'{split} stuff maps'] = len(list_images(root / name))
        return root / name
    if options.need_stuff:
        report.add([Problem(name, Kind.MISSING, f'folder is not there. {_STUFF_ADVICE}')])
    return None


def _missing_maps(root: Path, stuff: Path | None, instances: Instances) -> list[Problem]:
    if stuff is None:
        return []
    on_disk = {path.name for path in list_images(stuff, endings=('.png',))}
    wanted = sorted(f'{Path(file).stem}.png' for file in instances.file_names())
    where = stuff.relative_to(root).as_posix()
    return [
        Problem(f'{where}/{name}', Kind.MISSING, 'stuff map is not there')
        for name in wanted
        if name not in on_disk
    ]


def _items(instances: Instances, on_disk: dict[str, Path], stuff: Path | None) -> list[_Item]:
    """Every image that is both named and there, with its stuff map if that is there."""
    items = []
    for entry in instances.images:
        path = on_disk.get(str(entry.get('file_name')))
        if path is not None:
            labels = stuff / f'{path.stem}.png' if stuff is not None else None
            exists = labels is not None and is_file(labels)
            items.append(_Item(path, labels if exists else None, entry))
    return items


def _inspect(root: Path, rule: LabelRule, item: _Item) -> list[Problem]:
    """Problems of one image and its stuff map."""
    name = item.image.relative_to(root).as_posix()
    stated = (item.entry.get('width'), item.entry.get('height'))
    size, problems = read_photo(item.image, name, size=stated)
    if size is not None and size != stated and not problems:
        message = f'is {size} pixels (width, height), the annotation file says {stated}'
        problems.append(Problem(name, Kind.SIZE, message))
    if item.stuff is not None:
        stuff_name = item.stuff.relative_to(root).as_posix()
        labels, more = read_image(item.stuff, stuff_name)
        problems += more
        if labels is not None:
            problems += check_label_map(labels, stuff_name, rule)
            if labels.size != stated:
                message = f'is {labels.size} pixels (width, height), its image {stated}'
                problems.append(Problem(stuff_name, Kind.SIZE, message))
    return problems
