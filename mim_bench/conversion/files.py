"""Reading and writing checkpoint files: weights only, in bounded memory, atomic."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch

from mim_bench.compat.checkpoints import allowed_globals, explained
from mim_bench.conversion.file_format import FileFormat, file_format, safetensors_metadata
from mim_bench.conversion.weight_files import weights_file, weights_files
from mim_bench.errors import CheckpointError
from mim_bench.files.atomic import whole_file

# Where the weights stand in a file's dictionary: OpenMMLab, MAE-type repositories, DeepSpeed.
WEIGHT_KEYS = ('state_dict', 'model', 'module')
META = 'meta'  # of the dictionary, and the text of safetensors that holds it as JSON
# Key for the settings that lie beside the weights in a folder of Hugging Face or timm.
SIDECAR = 'config.json'
_PROCESSOR = 'preprocessor_config.json'
# Of torch.compile, FSDP and activation checkpointing; anywhere in a name.
_WRAPPERS = re.compile(r'(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.')


def read_checkpoint(path: str | Path, *, trust: bool = False) -> dict:
    """Read a checkpoint without running code from it.

    Tensors stay in the file until they are used, so a file larger than the memory can be
    looked at, and an optimiser's state that nobody wants is never read.

    Args:
        path: A file of torch or of safetensors, whatever its ending; a folder as Hugging Face's
            hub holds it, the index or a part of weights in several files, or the work directory of
            a run, whose newest checkpoint is taken.
        trust: Allow any pickled class, which can run code from the file.

    Returns:
        The file's dictionary, on the CPU; of a safetensors file ``state_dict`` and ``meta``.
        Settings of the network that lie beside the weights stand under :data:`SIDECAR`.

    Raises:
        CheckpointError: The file is missing, truncated, of another format, or holds a
            class outside the allow-list.
    """
    path = weights_file(path)
    settings = _sidecar(path)
    _, *shards = weights_files(path)
    content = {'state_dict': _joined(shards, trust)} if shards else _read_file(path, trust)
    return {**content, SIDECAR: settings} if settings else content


def _sidecar(path: Path) -> dict:
    """The settings beside the weights, {} where the file there is of something else.

    With them come those of the images, of a file of their own in transformers.
    """
    settings = _read_json(path.with_name(SIDECAR))
    if not {'architecture', 'model_type'} & set(settings):
        return {}
    images = _read_json(path.with_name(_PROCESSOR))
    return settings | {k: images[k] for k in ('image_mean', 'image_std') if k in images}


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text('utf-8')) if path.is_file() else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _joined(shards: list[Path], trust: bool) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = {}
    for shard in shards:
        state |= state_dict_of(_read_file(shard, trust))
    return state


def _read_file(path: Path, trust: bool) -> dict:
    kind = file_format(path)
    if kind is FileFormat.SAFETENSORS:
        return _read_safetensors(path)
    # For good: the context manager would also take away, at its end, what mmengine's loader
    # was given (see compat), and a run that fills its backbone could not resume.
    torch.serialization.add_safe_globals(allowed_globals())
    try:
        content = explained(_torch_load)(path, kind, trust)
    except RuntimeError as error:
        # On the CPU nothing but the file can be the cause, though its archive is whole.
        raise CheckpointError(
            f'{path}: this checkpoint is damaged ({str(error).splitlines()[0][:200]}). Delete it '
            'and go on from an earlier one, or fetch it again.'
        ) from error
    if isinstance(content, torch.nn.Module):  # saved whole, and trusted
        content = {'state_dict': content}
    if not isinstance(content, dict):
        raise CheckpointError(
            f'{path}: holds a {type(content).__name__}, not a dictionary of weights. Save the '
            'state dict: torch.save(model.state_dict(), FILE).'
        )
    return {k: v.state_dict() if isinstance(v, torch.nn.Module) else v for k, v in content.items()}


def write_checkpoint(content: dict, path: str | Path) -> Path:
    """Write a checkpoint under a temporary name, then rename it.

    Raises:
        CheckpointError: The disk is full or the folder cannot be written; an earlier file
            of that name is untouched.
    """
    path = Path(path)
    cause: list[OSError] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Given a path, torch would report a full disk as an internal failure of its archive.
        with whole_file(path) as temporary, temporary.open('wb') as file:
            if path.suffix == '.safetensors':
                _save_safetensors(content, temporary)
            else:
                torch.save(content, _Witness(file, cause))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        reason = str(cause[0] if cause else error).splitlines()[0]
        raise CheckpointError(
            f'{path}: cannot be written ({reason}). An earlier file of that name is untouched. '
            'Free some space or choose another folder.'
        ) from error
    return path


class _Witness:
    """A file that remembers why it could not be written: torch calls a full disk a position."""

    def __init__(self, file: BinaryIO, cause: list[OSError]) -> None:
        self._file, self._cause = file, cause
        self.flush = file.flush

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self._cause.append(error)
            raise


def state_dict_of(content: dict) -> dict[str, torch.Tensor]:
    """The weights in a file's dictionary, without what wrappers of the network add to names."""
    for key in WEIGHT_KEYS:
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    return {
        _WRAPPERS.sub('', key).removeprefix('module.'): value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }


def meta_of(content: Mapping) -> Mapping:
    """What a file's dictionary holds under :data:`META`; empty where that is no dictionary."""
    meta = content.get(META)
    return meta if isinstance(meta, Mapping) else {}


def run_meta(content: Mapping) -> Mapping:
    """What mim_bench's runner wrote about itself into ``meta``."""
    own = meta_of(content).get('mim_bench')
    return own if isinstance(own, Mapping) else {}


def state_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of a state dict: names, types, shapes and values, in order of the names."""
    return tensors_sha256(sorted(state.items()))


def tensors_sha256(named: Iterable[tuple[str, torch.Tensor]]) -> str:
    """SHA-256 of names, types, shapes and values of tensors, in the order given."""
    digest = hashlib.sha256()
    for name, value in named:
        digest.update(f'{name} {tuple(value.shape)} {value.dtype}\n'.encode())
        plain = value.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _torch_load(path: Path, kind: FileFormat, trust: bool) -> Any:
    # Only an archive can be mapped; a file from before torch 1.6 is read whole.
    mapped = kind is FileFormat.TORCH_ARCHIVE
    return torch.load(path, map_location='cpu', weights_only=not trust, mmap=mapped)


def _save_safetensors(content: dict, path: Path) -> None:
    texts = {'format': 'pt', META: json.dumps(content.get(META, {}), default=str)}
    state = {key: value.contiguous() for key, value in content['state_dict'].items()}
    safetensors.torch.save_file(state, path, metadata=texts)


def _read_safetensors(path: Path) -> dict:
    texts = safetensors_metadata(path)
    try:
        state = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f'{path}: cannot be read as safetensors ({str(error).splitlines()[0]}). Copy it again.'
        ) from error
    try:
        meta = json.loads(texts.get(META, '{}'))
    except ValueError:
        meta = dict(texts)  # of another tool
    return {'state_dict': state, META: meta}
