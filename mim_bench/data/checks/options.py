"""What a check is asked to do, and what it expects to find."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mim_bench.data.archives import is_folder
from mim_bench.data.toy.folder import read_manifest
from mim_bench.data.toy.spec import SPLITS, Split
from mim_bench.errors import ConfigError, DataError

# Images, from the publications of the datasets.
REAL_COUNTS: dict[str, dict[Split, int]] = {
    'imagenet': {'train': 1_281_167, 'val': 50_000},
    'ade20k': {'train': 20_210, 'val': 2_000},
    'coco': {'train': 118_287, 'val': 5_000},
}
_TOY_LAYOUT = {'imagenet': 'imagenet', 'ade20k': 'ade', 'coco': 'coco'}
CLASSES = 'classes'
_LEVELS_UP = 3  # toy/ade/ADEChallengeData2016 and a folder within it


@dataclass(frozen=True)
class CheckOptions:
    """Options of a check.

    Attributes:
        expect: Images by split, where neither the real nor the embedded counts hold; and
            ``classes``.
        quick: Open no image: names, counts and lists only.
        need_stuff: COCO's stuff maps must be there; else they are checked if they are.
        workers: Processes that decode.
        progress: Called with (files done, files in all).
    """

    expect: Mapping[str, int] | None = None
    quick: bool = False
    need_stuff: bool = False
    workers: int = 1
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Expected:
    """What a folder should hold.

    Attributes:
        counts: Images by split; a split that is absent may hold any number.
        is_toy: The folder is part of an embedded dataset, whose labels are its own.
        classes: How many; None where the layout's own number holds.
    """

    counts: Mapping[str, int]
    is_toy: bool
    classes: int | None = None


def embedded_manifest(root: Path) -> dict[str, Any] | None:
    """The manifest of the embedded dataset that a folder is part of; None for other folders."""
    folders = [root.resolve(), *root.resolve().parents][: _LEVELS_UP + 1]
    return next(filter(None, map(read_manifest, folders)), None)


def expected(dataset: str, root: Path, options: CheckOptions) -> Expected:
    """Counts as asked for, else those of the embedded dataset around, else the real ones."""
    manifest = embedded_manifest(root)
    if options.expect is not None:
        counts = {name: number for name, number in options.expect.items() if name in SPLITS}
        classes = options.expect.get(CLASSES)
        return Expected(counts, manifest is not None and classes is None, classes)
    if manifest is not None:
        return Expected(manifest['size'][_TOY_LAYOUT[dataset]], True)
    return Expected(REAL_COUNTS[dataset], False)


def parse_expect(text: str) -> dict[str, int]:
    """Read ``train=100,val=20,classes=5``; each may be left out."""
    counts: dict[str, int] = {}
    for part in text.split(','):
        name, _, number = part.partition('=')
        name = name.strip()
        if name not in (*SPLITS, CLASSES) or not number.strip().isdecimal():
            raise ConfigError(
                f'--expect {text!r} is not understood at {part!r}. Write --expect '
                'train=100,val=20,classes=5, or some of these'
            )
        counts[name] = int(number)
    return counts


def parse_count(options: CheckOptions, name: str) -> int | None:
    """A number of ``--expect``; None where it is not given."""
    return (options.expect or {}).get(name)


def locate(folder: Path, needed: tuple[str, ...], below: tuple[str, ...], advice: str) -> Path:
    """The dataset's own folder, given that or one above it.

    Args:
        folder: As the user named it.
        needed: Folders that the dataset consists of.
        below: Where the dataset may lie under ``folder``.
        advice: What a complete one looks like and how to get it.

    Raises:
        DataError: A needed folder is missing.
    """
    candidates = [folder, *(folder / name for name in below)]
    missing = {root: [name for name in needed if not is_folder(root / name)] for root in candidates}
    nearest = min(candidates, key=lambda root: len(missing[root]))
    if not missing[nearest]:
        return nearest
    if not is_folder(folder):
        raise DataError(f'{folder} is not a folder. {advice}')
    raise DataError(f'{nearest} has no folder {", ".join(missing[nearest])}. {advice}')
