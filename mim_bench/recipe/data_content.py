"""Computes digests of data sets, so that runs on different images never share a protocol hash.

The digests cover names and sizes of training images, and the bytes of evaluated images and of
annotations. They are cached in the user's cache folder; later starts only stat the files.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from mim_bench.data.archives import file_facts, is_file, is_folder, place_of, read_file
from mim_bench.data.kept_list import cache_folder
from mim_bench.errors import DataError, MimBenchError
from mim_bench.files.atomic import write_atomically
from mim_bench.files.hashing import file_sha256
from mim_bench.recipe.building import explained, library_scope
from mim_bench.recipe.protocol import data_roots

# Keys of mmpretrain's, mmseg's and mmdet's samples that name files.
_FILES = ('img_path', 'seg_map_path')
_THREADS = 16


def runner_content(runner: Runner) -> dict[str, Any]:
    """The content of the data sets that a run reads: ``train``, ``evaluated`` and ``bank``.

    Args:
        runner: A runner whose loops are built, as in the hook point ``before_run``.
    """
    loops = [loop for loop in (runner.train_loop, runner.val_loop, runner.test_loop) if loop]
    content = {}
    for loop in loops:
        is_training = loop is runner.train_loop
        content['train' if is_training else 'evaluated'] = dataset_content(
            loop.dataloader.dataset, evaluated=not is_training
        )
        if bank := getattr(loop, 'bank_dataloader', None):
            content['bank'] = dataset_content(bank.dataset, evaluated=False)
    return {name: found for name, found in content.items() if found}


def config_content(cfg: Config) -> tuple[dict[str, Any], list[str]]:
    """The content of the data sets that a config names, as :func:`runner_content` gives it.

    Args:
        cfg: The resolved config of a run.

    Returns:
        The content, and the missing folders; without a folder there is no content.
    """
    bank = (cfg.get('test_cfg') or {}).get('bank_dataloader')
    loaders = {
        'train': cfg.get('train_dataloader'),
        'evaluated': cfg.get('val_dataloader') or cfg.get('test_dataloader'),
        'bank': bank,
    }
    settings = {name: loader.dataset for name, loader in loaders.items() if loader}
    absent = sorted({root for root in data_roots(cfg) if not is_folder(root)})
    if absent:
        return {}, absent
    with library_scope(cfg), explained(cfg):
        content = {
            name: dataset_content(DATASETS.build(node), evaluated=name == 'evaluated')
            for name, node in settings.items()
        }
    return {name: found for name, found in content.items() if found}, []


def dataset_content(dataset: Any, *, evaluated: bool) -> dict[str, Any] | None:
    """The content of a data set that a loader built.

    Args:
        dataset: A loaded data set of mmengine, wrapped or not.
        evaluated: Whether metrics are computed on it; then the digest covers the files' bytes.

    Returns:
        ``images``, their number; ``files``, a digest of their names below the data root and their
        sizes or bytes; ``annotations``, the digest of the annotation file if there is one. None
        if the data set does not state its files.
    """
    if not hasattr(dataset, 'get_data_info'):
        return None
    root = str(getattr(dataset, 'data_root', '') or '')
    samples = (dataset.get_data_info(index) for index in range(len(dataset)))
    paths = [str(sample[key]) for sample in samples for key in _FILES if sample.get(key)]
    content = {'images': len(dataset), 'files': files_digest(paths, root, read=evaluated)}
    annotations = str(getattr(dataset, 'ann_file', '') or '')
    if annotations and is_file(annotations):
        content['annotations'] = files_digest([annotations], root, read=True)
    return content


def files_digest(paths: Iterable[str], root: str, *, read: bool) -> str:
    """A digest over files, independent of their order and of the location of their folder.

    Args:
        paths: The files.
        root: Folder that names are relative to.
        read: Digest the bytes of the files; else their sizes.

    Raises:
        DataError: A file is missing.
    """
    paths = sorted(set(paths))
    with ThreadPoolExecutor(_THREADS) as pool:
        facts = list(pool.map(_facts, paths, chunksize=256))
        names = [os.path.relpath(path, root) if root else path for path in paths]
        sizes = [size for size, _ in facts]
        if not read:
            return _digest(names, sizes)
        times = [time for _, time in facts]
        name = _digest(names, [os.path.abspath(p) for p in paths], sizes, times)
        kept = cache_folder('digests') / f'{name}.json'
        digest = _kept(kept)
        if digest is None:
            digest = _digest(names, list(pool.map(_sha256, paths)))
            _keep(kept, digest)
    return digest


def _facts(path: str) -> tuple[int, int]:
    try:
        return file_facts(path)
    except OSError as error:
        raise DataError(
            f'{path}: the data set names this file, which cannot be read: '
            f'{error.strerror or error}. Fetch it, or correct its name in the annotations; '
            '`mim-bench data check` finds all such files.'
        ) from error


def _digest(*columns: Sequence[Any]) -> str:
    digest = hashlib.sha256()
    for row in zip(*columns, strict=True):
        digest.update(f'{json.dumps(row)}\n'.encode())
    return digest.hexdigest()[:16]


def _sha256(path: str) -> str:
    if place_of(path) is not None:
        return hashlib.sha256(read_file(path)).hexdigest()
    return file_sha256(Path(path))


def _kept(path: Path) -> str | None:
    try:
        return json.loads(path.read_text('utf-8'))
    except (OSError, ValueError):
        return None


def _keep(path: Path, digest: str) -> None:
    with contextlib.suppress(MimBenchError):  # the next start reads the files again
        write_atomically({path: json.dumps(digest).encode()})
