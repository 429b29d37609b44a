"""An on-disk cache of features, keyed by the settings on which they depend."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mmengine.logging import print_log

from mim_bench.errors import DataError
from mim_bench.evaluation.probes.extraction import open_on_every_process
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.together import on_main_process, shared_temporary_folder
from mim_bench.files.hashing import protocol_hash

ABOUT_FILE = 'about.json'


class Opened(Protocol):
    """Features in the files of a folder: :class:`Features`, or a bank of patches."""

    x: Any
    num_classes: int


Kind = TypeVar('Kind', bound=Opened)


def cached_features(
    root: Path,
    settings: Mapping[str, Any],
    extract: Callable[[Path], Any],
    open_folder: Callable[[Path], Kind] = Features.open,
) -> Kind:
    """Features of some settings, read from the cache or extracted; the same on every process.

    The folder is named by the hash of the settings, which it also holds, and gets its name when it
    is complete. A damaged folder is replaced.

    Args:
        root: Folder of the cache; all processes see it. Several runs may share it.
        settings: Plain data on which the features depend; the same on every process.
        extract: Called on every process with an empty folder, to write the files.
        open_folder: Maps the files of a folder; raises ``DataError`` where they are damaged.

    Raises:
        MimBenchError: The folder cannot be written, or ``extract`` raised.
    """
    folder = root / protocol_hash(settings)

    def about(place: Path) -> dict[str, Any]:
        return _about(settings, open_folder(place))

    if on_main_process(lambda: _is_kept(folder, about)):
        print_log(f'Features read from {folder}', logger='current')
        return open_on_every_process(folder, open_folder)
    with shared_temporary_folder(root) as temporary:
        extract(temporary)
        on_main_process(lambda: _keep(temporary, folder, about))
    print_log(f'Features kept in {folder}', logger='current')
    return open_on_every_process(folder, open_folder)


def _is_kept(folder: Path, about: Callable[[Path], dict[str, Any]]) -> bool:
    """Whether the folder holds these features completely; a damaged folder is removed."""
    if not folder.exists():
        return False
    try:
        _check(folder, about)
    except DataError as error:
        message = f'{error} The features are extracted again.'
        print_log(message, logger='current', level=logging.WARNING)
        shutil.rmtree(folder)
        return False
    return True


def _check(folder: Path, about: Callable[[Path], dict[str, Any]]) -> None:
    try:
        stated = json.loads((folder / ABOUT_FILE).read_text('utf-8'))
    except (OSError, ValueError) as error:
        raise DataError(
            f'{folder / ABOUT_FILE}: cannot be read ({error}). Delete the folder.'
        ) from error
    if stated != about(folder):
        raise DataError(
            f'{folder}: holds other features than {ABOUT_FILE} says. Delete the folder.'
        )


def _keep(temporary: Path, folder: Path, about: Callable[[Path], dict[str, Any]]) -> None:
    text = json.dumps(about(temporary), indent=2) + '\n'
    (temporary / ABOUT_FILE).write_text(text, 'utf-8')
    try:
        temporary.rename(folder)
    except OSError:
        if not _is_kept(folder, about):  # another run was faster; its features are equal
            raise


def _about(settings: Mapping[str, Any], features: Opened) -> dict[str, Any]:
    about = {
        'settings': settings,
        'shape': list(features.x.shape),
        'num_classes': features.num_classes,
    }
    return json.loads(json.dumps(about))  # lists for tuples, as read from a file
