"""Reading and writing checkpoint files: weights only, atomic."""

import io
import os
from pathlib import Path

import safetensors.torch
import torch

from mim_bench.compat.checkpoints import allowed_globals, explained
from mim_bench.errors import CheckpointError

# Where the weights stand in a file's dictionary: OpenMMLab, MAE-type repositories, DeepSpeed.
WEIGHT_KEYS = ('state_dict', 'model', 'module')


def read_checkpoint(path: str | Path, *, trust: bool = False) -> dict:
    """Read a checkpoint without running code from it.

    Args:
        path: A ``.pth`` file of torch, or ``.safetensors``.
        trust: Allow any pickled class, which can run code from the file.

    Returns:
        The file's dictionary, on the CPU; a safetensors file gives ``{'state_dict': ...}``.

    Raises:
        CheckpointError: The file is missing, truncated, of another format, or holds a
            class outside the allow-list.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'{path}: there is no such checkpoint file. Check the path.')
    if path.suffix == '.safetensors':
        return {'state_dict': _read_safetensors(path)}
    # For good: the context manager would also take away, at its end, what mmengine's loader
    # was given (see compat), and a run that fills its backbone could not resume.
    torch.serialization.add_safe_globals(allowed_globals())
    content = explained(torch.load)(path, map_location='cpu', weights_only=not trust)
    if not isinstance(content, dict):
        raise CheckpointError(
            f'{path}: holds a {type(content).__name__}, not a dictionary of weights.'
        )
    return content


def write_checkpoint(content: dict, path: str | Path) -> Path:
    """Write a checkpoint under a temporary name, then rename it.

    Raises:
        CheckpointError: The disk is full or the folder cannot be written; an earlier file
            of that name is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.safetensors':
            meta = {k: str(v) for k, v in content.get('meta', {}).items()}
            safetensors.torch.save_file(content['state_dict'], temporary, metadata=meta)
        else:
            # Given a path, torch would report a full disk as an internal failure of its archive.
            buffer = io.BytesIO()
            torch.save(content, buffer)
            temporary.write_bytes(buffer.getbuffer())
        temporary.replace(path)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f'{path}: cannot be written ({str(error).splitlines()[0]}). An earlier file of that '
            'name is untouched. Free some space or choose another folder.'
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def state_dict_of(content: dict) -> dict[str, torch.Tensor]:
    """The weights in a file's dictionary, without ``module.`` and ``_orig_mod.`` prefixes."""
    for key in WEIGHT_KEYS:
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    return {
        key.replace('_orig_mod.', '').removeprefix('module.'): value
        for key, value in content.items()
        if isinstance(value, torch.Tensor)
    }


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f'{path}: cannot be read as safetensors ({str(error).splitlines()[0]}). Copy it again.'
        ) from error
