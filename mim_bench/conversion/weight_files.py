"""Finds the files that hold the weights of a checkpoint; reads no weights and imports no torch."""

import hashlib
import json
import re
from pathlib import Path

from mim_bench.errors import CheckpointError
from mim_bench.files.hashing import file_sha256

_INDEX = '.index.json'
# In the order in which a folder of a hub is searched.
FOLDER_FILES = ('model.safetensors', 'pytorch_model.bin')
_ADAPTER_FILES = ('adapter_config.json', 'adapter_model.safetensors', 'adapter_model.bin')
_SHARD = re.compile(r'(.+)-\d{5}-of-\d{5}(\.\w+)')
_POINTER_FILE = 'last_checkpoint'  # mmengine's name
# Saved between two numbered checkpoints; the later one of these removes it.
INTERIM_FILE = 'interim.pth'
_CHECKPOINT = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


def weights_file(path: str | Path) -> Path:
    """The file that holds the weights, or the index of several, of what a user names.

    Raises:
        CheckpointError: There is none, or a folder holds an adapter.
    """
    path = Path(path)
    if path.is_dir():
        _refuse_adapter(path)
        names = [n for base in FOLDER_FILES for n in (base, base + _INDEX)]
        found = [path / name for name in names if (path / name).is_file()]
        newest = found[0] if found else latest_checkpoint(path)
        if newest is None:
            raise CheckpointError(
                f'{path}: is a folder without {", ".join(names)} and without the checkpoint of a '
                'run. Name the file with the weights; shards of DeepSpeed or of torch.distributed '
                'are joined by their own tools first.'
            )
        return newest
    shard = _SHARD.fullmatch(path.name)
    if shard and (index := path.with_name(f'{shard[1]}{shard[2]}{_INDEX}')).is_file():
        return index
    if not path.is_file():
        raise CheckpointError(f'{path}: there is no such checkpoint file. Check the path.')
    return path


def _refuse_adapter(folder: Path) -> None:
    """Refuse a folder whose network is changed by weights that PEFT keeps apart."""
    if found := [name for name in _ADAPTER_FILES if (folder / name).is_file()]:
        raise CheckpointError(
            f'{folder}: holds an adapter of a fine-tuning ({found[0]}), which is not part of the '
            'weights of the network. Merge it into them (peft: model.merge_and_unload()) and save '
            'those, or name the file of the weights for the network without it.'
        )


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The newest checkpoint of a work directory; None if it has none.

    One that was saved between two intervals is the newest. mmengine names the others in a file
    that it does not replace in one step: a run that is killed then, or whose disk is full, leaves
    the file empty. The checkpoints themselves are whole or absent, so the one with the highest
    number is taken then.

    Args:
        work_dir: It may have been moved since the run: only names count.
    """
    folder = Path(work_dir)
    if (folder / INTERIM_FILE).is_file():
        return folder / INTERIM_FILE
    pointer = folder / _POINTER_FILE
    text = pointer.read_text('utf-8', errors='replace') if pointer.is_file() else ''
    name = Path(text.strip()).name
    if name and (folder / name).is_file():
        return folder / name
    numbered = {
        int(match[1]): path
        for path in folder.glob('*.pth')
        if (match := _CHECKPOINT.fullmatch(path.name))
    }
    return numbered[max(numbered)] if numbered else None


def weights_files(path: Path) -> list[Path]:
    """The files of a checkpoint: of an index, itself and those that it lists."""
    return [path, *(_shards(path) if path.name.endswith(_INDEX) else ())]


def weights_sha256(path: str | Path) -> str:
    """SHA-256 of the weights that a user names; of several files, of their hashes in order."""
    path, *shards = weights_files(weights_file(path))
    if not shards:
        return file_sha256(path)
    digests = [file_sha256(shard) for shard in shards]
    return hashlib.sha256('\n'.join(digests).encode()).hexdigest()


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text('utf-8'))['weight_map'].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f'{index}: is not an index of weights in several files. Copy it again.'
        ) from error
    missing = [name for name in names if not index.with_name(name).is_file()]
    if missing:
        raise CheckpointError(
            f'{index}: the files {", ".join(missing)} are not beside it. Fetch them, too.'
        )
    return [index.with_name(name) for name in names]
