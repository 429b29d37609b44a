"""Features that are kept on disk, under a name that says what they are of."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mim_bench.engine.probes.extraction import open_on_every_process
from mim_bench.engine.probes.features import Features
from mim_bench.engine.probes.together import on_main_process, shared_temporary_folder
from mim_bench.errors import DataError
from mim_bench.results.hashing import protocol_hash

ABOUT_FILE = 'about.json'


def cached_features(
    root: Path, settings: Mapping[str, Any], extract: Callable[[Path], Any]
) -> Features:
    """The features that the settings describe, from the disk where they were kept.

    They lie in a folder named by the hash of the settings, with the settings whole beside
    them. It gets its name when it is complete. What is damaged is made again.

    Args:
        root: The folder of all kept features; all processes see it. Several runs may use it.
        settings: Plain data that decide the features; the same on every process.
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
    """Whether the folder holds these features whole; it is removed if it is damaged."""
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
        if not _is_kept(folder, settings):  # another run was quicker, and its are as good
            raise


def _about(settings: Mapping[str, Any], features: Features) -> dict[str, Any]:
    about = {
        'settings': settings,
        'shape': list(features.x.shape),
        'num_classes': features.num_classes,
    }
    return json.loads(json.dumps(about))  # lists for tuples, as a file gives them
