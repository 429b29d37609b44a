"""An on-disk cache of features, keyed by the settings that decide them."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mim_bench.errors import DataError
from mim_bench.evaluation.probes.extraction import open_on_every_process
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.together import on_main_process, shared_temporary_folder
from mim_bench.results.hashing import protocol_hash

ABOUT_FILE = 'about.json'


def cached_features(
    root: Path, settings: Mapping[str, Any], extract: Callable[[Path], Any]
) -> Features:
    """Features of some settings, read from the cache or extracted.

    The folder is named by the hash of the settings and holds the settings
    too. It gets its name when it is complete. A damaged folder is made again.

    Args:
        root: Folder of the cache; all processes see it. Several runs may share it.
        settings: Plain data that decides the features; the same on every process.
        extract: Called on every process with an empty folder, to write ``x.npy`` and ``y.npy``.

    Returns:
        The mapped files; the same on every process.

    Raises:
        MimBenchError: The folder cannot be written, or ``extract`` raised.
    """
    folder = root / protocol_hash(settings)
    if on_main_process(lambda: _is_kept(folder, settings)):
        print_log(f'Features read from {folder}', logger='current')
        return open_on_every_process(folder)
    with shared_temporary_folder(root) as temporary:
        extract(temporary)
        on_main_process(lambda: _keep(temporary, folder, settings))
    print_log(f'Features kept in {folder}', logger='current')
    return open_on_every_process(folder)


def _is_kept(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the folder holds these features completely; a damaged folder is removed."""
    if not folder.exists():
        return False
    try:
        _check(folder, settings)
    except DataError as error:
        message = f'{error} The features are extracted again.'
        print_log(message, logger='current', level=logging.WARNING)
        shutil.rmtree(folder)
        return False
    return True


def _check(folder: Path, settings: Mapping[str, Any]) -> None:
    try:
        about = json.loads((folder / ABOUT_FILE).read_text('utf-8'))
    except (OSError, ValueError) as error:
        raise DataError(f'{folder / ABOUT_FILE}: cannot be read: {error}.') from error
    if about != _about(settings, Features.open(folder)):
        raise DataError(f'{folder}: holds other features than {ABOUT_FILE} says.')


def _keep(temporary: Path, folder: Path, settings: Mapping[str, Any]) -> None:
    about = _about(settings, Features.open(temporary))
    (temporary / ABOUT_FILE).write_text(json.dumps(about, indent=2) + '\n', 'utf-8')
    try:
        temporary.rename(folder)
    except OSError:
        if not _is_kept(folder, settings):  # another run was faster; its features are equal
            raise


def _about(settings: Mapping[str, Any], features: Features) -> dict[str, Any]:
    about = {
        'settings': settings,
        'shape': list(features.x.shape),
        'num_classes': features.num_classes,
    }
    return json.loads(json.dumps(about))  # lists for tuples, as read from a file
