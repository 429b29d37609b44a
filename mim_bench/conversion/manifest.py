"""The list of released weights of others, and how a file is held against it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import mim_bench
from mim_bench.errors import CheckpointError
from mim_bench.results.hashing import file_sha256

DEFAULT_MANIFEST = Path(mim_bench.__file__).resolve().parents[1] / 'checkpoints' / 'manifest.yml'
CHECKPOINT_SUFFIXES = ('.pth', '.pt', '.bin', '.ckpt', '.safetensors')
_SHA256 = re.compile('[0-9a-f]{64}')


@dataclass(frozen=True)
class Release:
    """One released checkpoint. None means: not known.

    Attributes:
        id: Name in this project, unique.
        method: Of the pre-training.
        backbone: For example 'vit-base-p16'.
        config: A config of this repository that fits it.
        source: What ``mim-bench convert --source`` takes.
        pretrain_epochs: Of the pre-training.
        pretrain_data: Data set of the pre-training.
        labels: Data sets whose labels the weights have seen.
        file: Its name as published.
        place: Where it is published.
        content: What the file holds.
        url: As published.
        sha256: Entered by a person who has the file.
        licence: As its repository states it.
        published_top1: Accuracy on ImageNet-1K after fine-tuning, in percent, as published.
        published_place: Where that number stands.
    """

    id: str
    method: str
    backbone: str
    config: str | None
    source: str
    pretrain_epochs: int
    pretrain_data: str
    labels: list[str] | None
    file: str | None
    place: str
    content: str
    url: str | None
    sha256: str | None
    licence: str | None
    published_top1: float | None
    published_place: str | None

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

    Attributes:
        path: The file.
        sha256: Computed.
        verdict: ``MATCH``: the hash stands in the list. ``MISMATCH``: the name does, with
            another hash. ``UNVERIFIED``: the name does, without one. ``UNKNOWN``: neither.
        release: The entry, if there is one.
    """

    path: Path
    sha256: str
    verdict: Verdict
    release: Release | None = None


def read_manifest(path: Path = DEFAULT_MANIFEST) -> list[Release]:
    """Read the list.

    Raises:
        CheckpointError: It is missing or no YAML, or an entry lacks a key, has one too many or
            a wrong value.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(
            f'{path}: cannot be read ({str(error).splitlines()[0]}). Name the list of releases '
            'with --manifest.'
        ) from error
    if not isinstance(entries, list):
        raise CheckpointError(f'{path}: holds a {type(entries).__name__}, not a list of releases.')
    releases = [_release(entry, f'{path}, entry {i + 1}') for i, entry in enumerate(entries)]
    names = [release.id for release in releases]
    if twice := {name for name in names if names.count(name) > 1}:
        raise CheckpointError(f'{path}: {sorted(twice)} stand there twice. Rename one.')
    return releases


@cache
def _known_releases() -> dict[str, Release]:
    """By hash; none where the package is installed without the list."""
    releases = read_manifest() if DEFAULT_MANIFEST.is_file() else []
    return {release.sha256: release for release in releases if release.sha256}


def release_of(sha256: str | None) -> Release | None:
    """The release of that hash in the project's own list, if there is one."""
    return _known_releases().get(sha256)


def _release(entry: object, where: str) -> Release:
    keys = {field.name for field in fields(Release)}
    if not isinstance(entry, dict) or set(entry) != keys:
        found = set(entry) if isinstance(entry, dict) else set()
        raise CheckpointError(
            f'{where}: lacks {sorted(keys - found)}, has {sorted(map(str, found - keys))} too '
            'many. Write null for what is not known.'
        )
    release = Release(**entry)
    if release.sha256 is not None and not _SHA256.fullmatch(str(release.sha256)):
        raise CheckpointError(
            f'{where}: sha256 {release.sha256!r} is not 64 hexadecimal digits in small letters.'
        )
    if (release.published_top1 is None) != (release.published_place is None):
        raise CheckpointError(f'{where}: a published number and its place come together.')
    return release


def verify(path: Path, releases: Sequence[Release]) -> Verification:
    """Hold one file against the list."""
    sha256 = file_sha256(path)
    for release in releases:
        if release.sha256 == sha256:
            return Verification(path, sha256, Verdict.MATCH, release)
    named = next((release for release in releases if release.file == path.name), None)
    if named is None:
        return Verification(path, sha256, Verdict.UNKNOWN)
    verdict = Verdict.MISMATCH if named.sha256 else Verdict.UNVERIFIED
    return Verification(path, sha256, verdict, named)


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
        found = sorted(p for p in path.iterdir() if p.suffix in CHECKPOINT_SUFFIXES)
        if not found:
            raise CheckpointError(
                f'{path}: holds no checkpoint ({", ".join(CHECKPOINT_SUFFIXES)}).'
            )
        files += found
    return files
