"""The list of released weights of others; verifies files against it and fetches them."""

import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from mim_bench.conversion.file_format import file_format
from mim_bench.errors import CheckpointError, did_you_mean
from mim_bench.files.hashing import file_hash, file_sha256
from mim_bench.files.validation import Model, read_yaml
from mim_bench.results.record import Count, Name, Sha256
from mim_bench.shipped import shipped_folder

DEFAULT_MANIFEST = shipped_folder('checkpoints') / 'manifest.yml'
CHECKPOINT_SUFFIXES = ('.pth', '.pt', '.bin', '.ckpt', '.safetensors', '.tar')
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60


class Release(Model):
    """One released checkpoint. Null, or left out: not known."""

    id: Name
    """Name in this project, unique."""
    method: Name
    """Pre-training method."""
    backbone: Name
    """For example ``vit-base-p16``."""
    config: Name | None = None
    """A config of this repository that fits it."""
    source: Name
    """What reads it: the value of ``mim-bench convert --source``."""
    pretrain_epochs: Count | None = None
    """Epochs of the pre-training."""
    pretrain_data: Name
    """Data set of the pre-training."""
    labels: list[Name] | None = None
    """Data sets whose labels the weights have seen; an empty list: none."""
    file: Annotated[str, Field(pattern=r'^[^/\\]+$')] | None = None
    """Name of the file as published."""
    place: Name
    """Where it is published."""
    content: Name
    """What the file holds."""
    url: Annotated[str, Field(pattern='^(https?|file)://')] | None = None
    """Address as published."""
    size: Count | None = None
    """Bytes."""
    checksum: Annotated[str, Field(pattern=r'^(md5|sha256):[0-9a-f]{6,64}$')] | None = None
    """Algorithm and first digits of a hash that is published with the file."""
    sha256: Sha256 | None = None
    """The whole hash, entered by a person who has the file."""
    licence: Name | None = None
    """Licence as its repository states it."""
    published_top1: Annotated[float, Field(gt=0, le=100)] | None = None
    """Accuracy on ImageNet-1K after fine-tuning, in percent, as published."""
    published_place: Name | None = None
    """Where that number stands."""

    @model_validator(mode='after')
    def _check_number(self) -> 'Release':
        if (self.published_top1 is None) != (self.published_place is None):
            raise ValueError('published_top1 and published_place come together')
        return self

    def has_sha256(self, sha256: str) -> bool:
        """Whether that is the hash of the release, or begins as the published one."""
        if self.sha256 or not (self.checksum or '').startswith('sha256:'):
            return self.sha256 == sha256
        return f'sha256:{sha256}'.startswith(self.checksum)

    @property
    def facts(self) -> dict[str, Any]:
        """What a canonical file says of its weights."""
        return {
            'method': self.method,
            'epochs': self.pretrain_epochs,
            'pretrain_data': self.pretrain_data,
            'labels': self.labels,
            'licence': self.licence,
        }


class Verdict(Enum):
    """What the list says about a file."""

    MATCH = 'match'
    MISMATCH = 'mismatch'
    UNVERIFIED = 'not yet verified'
    UNKNOWN = 'unknown'


@dataclass(frozen=True)
class Verification:
    """A file held against the list.

    ``MATCH``: the hash is that of a release. ``MISMATCH``: the name is, with another hash or size.
    ``UNVERIFIED``: the name is, and no hash is known. ``UNKNOWN``: neither.
    """

    path: Path
    size: int
    sha256: str
    verdict: Verdict
    release: Release | None = None

    def __str__(self) -> str:
        text, release = f'{self.path}: {self.verdict.value}', self.release
        if release is None:
            return f'{text}: no release has this name or sha256 {self.sha256}'
        expected = f'sha256 {release.sha256}' if release.sha256 else f'{release.checksum}…'
        if self.verdict is Verdict.MATCH:
            return f'{text}: {release.id} ({expected})'
        if self.verdict is Verdict.MISMATCH:
            size = f' and {release.size} bytes' if release.size else ''
            return (
                f'{text}: {release.id} has {expected}{size}, this file sha256 {self.sha256} and '
                f'{self.size} bytes. Fetch it again.'
            )
        return (
            f'{text}: named as {release.id}. If you know it to be that file, enter its sha256 '
            f'there: {self.sha256}'
        )


def read_manifest(path: Path = DEFAULT_MANIFEST) -> list[Release]:
    """Read the list.

    Raises:
        CheckpointError: It is missing or no YAML, or an entry has a wrong key or value.
    """
    if not path.is_file():
        raise CheckpointError(f'{path}: is no file. Name the list of releases with --manifest.')
    releases = read_yaml(list[Release], path, CheckpointError)
    names = [release.id for release in releases]
    if twice := {name for name in names if names.count(name) > 1}:
        raise CheckpointError(f'{path}: {sorted(twice)} stand there twice. Rename one.')
    return releases


@cache
def _known_releases() -> list[Release]:
    return read_manifest()


def release_of(sha256: str | None) -> Release | None:
    """The release of that hash in the project's own list, if there is one."""
    return next((r for r in _known_releases() if sha256 and r.has_sha256(sha256)), None)


def release_named(name: str, releases: Sequence[Release]) -> Release:
    """The release of that id.

    Raises:
        CheckpointError: There is none.
    """
    for release in releases:
        if release.id == name:
            return release
    hint = did_you_mean(name, [release.id for release in releases])
    raise CheckpointError(f'No release is named {name!r}.{hint} See mim-bench checkpoints list.')


def verify(path: Path, releases: Sequence[Release]) -> Verification:
    """Hold one file against the list, by its hash and then by its name."""
    size, sha256 = path.stat().st_size, file_sha256(path)
    release = next((r for r in releases if r.has_sha256(sha256)), None)
    if release is not None:
        return Verification(path, size, sha256, Verdict.MATCH, release)
    release = next((r for r in releases if r.file == path.name), None)
    return Verification(path, size, sha256, _verdict(path, size, release), release)


def _verdict(path: Path, size: int, release: Release | None) -> Verdict:
    """What the release of its name says of a file whose sha256 is no release's."""
    if release is None:
        return Verdict.UNKNOWN
    if release.sha256 or release.size not in (None, size):
        return Verdict.MISMATCH
    if release.checksum is None:
        return Verdict.UNVERIFIED
    algorithm, _, beginning = release.checksum.partition(':')
    found = file_hash(path, algorithm).startswith(beginning)
    return Verdict.MATCH if found else Verdict.MISMATCH


def download(
    release: Release, folder: Path, progress: Callable[[int, int | None], None]
) -> Verification:
    """Fetch a release, unless its file is there already, and verify it.

    Args:
        release: With an address.
        folder: Gets the file, under the name as published.
        progress: Called with the bytes so far and, where the server says, all bytes.

    Raises:
        CheckpointError: No address is known, the server fails, or what came is not the release;
            nothing is kept then.
    """
    if release.url is None:
        raise CheckpointError(
            f'{release.id}: the address of the file is not known. Get it from {release.place}.'
        )
    if urllib.parse.urlsplit(release.url).netloc == 'drive.google.com':
        raise CheckpointError(
            f'{release.id}: {release.url} is a page, not a file. Open it in a browser, save the '
            f'file in {folder}, and run: mim-bench checkpoints verify {folder}'
        )
    path = folder / (release.file or Path(urllib.parse.urlsplit(release.url).path).name)
    named = [release.model_copy(update={'file': path.name})]
    if path.exists():
        return verify(path, named)
    folder.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that the last step is a rename.
    with tempfile.TemporaryDirectory(prefix='.download-', dir=folder) as scratch:
        part = Path(scratch) / path.name
        _fetch(release.url, part, progress)
        file_format(part)  # refuses a web page that says why there is no file
        found = replace(verify(part, named), path=path)
        if found.verdict is Verdict.MISMATCH:
            raise CheckpointError(f'{found} Nothing was kept.')
        part.rename(path)
    return found


def _fetch(url: str, path: Path, progress: Callable[[int, int | None], None]) -> None:
    # The model of a release allows http, https and file.
    request = urllib.request.Request(url, headers={'User-Agent': 'mim-bench'})  # noqa: S310
    try:
        with (
            urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer,  # noqa: S310
            path.open('wb') as file,
        ):
            length = answer.headers.get('Content-Length')
            total, done = int(length) if length else None, 0
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
    except (OSError, HTTPException) as error:
        raise CheckpointError(
            f'{url}: cannot be fetched ({error}). Check the network and the disk, or fetch it by '
            'hand.'
        ) from error
    if total not in (None, done):
        raise CheckpointError(f'{url}: broke off after {done} of {total} bytes. Try again.')


def checkpoint_files(paths: Iterable[Path]) -> list[Path]:
    """Files as they are, and the checkpoints directly in folders.

    Raises:
        CheckpointError: A path does not exist, or a folder has no checkpoint.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_file():
            files.append(path)
            continue
        if not path.is_dir():
            raise CheckpointError(f'{path}: there is no such file or folder. Check the path.')
        found = sorted(p for p in path.iterdir() if p.is_file() and p.suffix in CHECKPOINT_SUFFIXES)
        if not found:
            raise CheckpointError(
                f'{path}: holds no checkpoint ({", ".join(CHECKPOINT_SUFFIXES)}). Give another '
                'folder.'
            )
        files += found
    return files
