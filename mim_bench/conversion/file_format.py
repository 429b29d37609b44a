"""What kind of file a checkpoint is, from its first bytes: before anything of it is unpickled."""

import json
import struct
import zipfile
from enum import Enum
from pathlib import Path

from mim_bench.errors import CheckpointError

# An archive of torch keeps the tensors beside its pickle, which so holds names and sizes only.
# Reading a larger one would fill the memory before the allow-list sees anything of it.
MAX_PICKLE_BYTES = 256 * 2**20
MAX_HEADER_BYTES = 100 * 10**6  # safetensors' own limit
_PICKLE_PROTOCOL = b'\x80'
_LFS_POINTER = b'version https://git-lfs'


class FileFormat(Enum):
    """How a file holds its tensors."""

    TORCH_ARCHIVE = 'torch archive'
    TORCH_PICKLE = 'torch pickle'  # before torch 1.6
    SAFETENSORS = 'safetensors'


def file_format(path: Path) -> FileFormat:
    """The format of a file that exists.

    Raises:
        CheckpointError: It is empty, cut short, or something else.
    """
    size = path.stat().st_size
    if not size:
        raise CheckpointError(f'{path}: the file is empty. Copy or write it again.')
    with path.open('rb') as file:
        head = file.read(9)
    if zipfile.is_zipfile(path):
        _check_archive(path)
        return FileFormat.TORCH_ARCHIVE
    if head.startswith(b'PK'):
        raise CheckpointError(
            f'{path}: this checkpoint is damaged or cut short ({size} bytes; the directory at its '
            'end is missing). Delete it and go on from an earlier one, or fetch it again.'
        )
    if len(head) == 9 and head[8:] == b'{':
        _check_header(path, size, struct.unpack('<Q', head[:8])[0])
        return FileFormat.SAFETENSORS
    if head.startswith(_PICKLE_PROTOCOL):
        return FileFormat.TORCH_PICKLE
    if _LFS_POINTER.startswith(head):
        raise CheckpointError(
            f'{path}: is a pointer of Git LFS ({size} bytes), not the file that it stands for. '
            'Fetch that: `git lfs pull` in its repository.'
        )
    raise CheckpointError(
        f'{path}: cannot be read: it is neither a file of torch nor of safetensors (it starts '
        f'with {head!r}, {size} bytes). Check the path, or fetch the file again: a web page '
        'saved under the name of the file is a frequent cause.'
    )


def _check_archive(path: Path) -> None:
    """An archive without torch's pickle is a zip of something else."""
    with zipfile.ZipFile(path) as archive:
        pickles = [i for i in archive.infolist() if i.filename.rpartition('/')[2] == 'data.pkl']
        if not pickles:
            names = ', '.join(archive.namelist()[:3]) or 'nothing'
            raise CheckpointError(
                f'{path}: is a zip archive, but not a checkpoint of torch (it holds {names}). '
                'Unpack it, and give the checkpoint that lies in it.'
            )
        if any('/code/' in name for name in archive.namelist()):
            raise CheckpointError(
                f'{path}: is a program of TorchScript, not a file of weights. If you trust it, '
                'save those: torch.save(torch.jit.load(FILE).state_dict(), NEW).'
            )
    if pickles[0].file_size > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f'{path}: its description of the tensors takes {pickles[0].file_size} bytes, more '
            f'than {MAX_PICKLE_BYTES}: no checkpoint needs that. Fetch the file again.'
        )


def _check_header(path: Path, size: int, header: int) -> None:
    if header > min(MAX_HEADER_BYTES, size - 8):
        raise CheckpointError(
            f'{path}: cannot be read as safetensors: it is cut short or damaged ({size} bytes, '
            f'its header alone takes {header}). Copy it again.'
        )


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The texts in the header of a safetensors file.

    Raises:
        CheckpointError: The header is no JSON.
    """
    with path.open('rb') as file:
        length = struct.unpack('<Q', file.read(8))[0]
        text = file.read(length)
    try:
        return json.loads(text).get('__metadata__') or {}
    except (ValueError, AttributeError) as error:
        raise CheckpointError(
            f'{path}: cannot be read as safetensors: its header is damaged ({error}). Copy it '
            'again.'
        ) from error
