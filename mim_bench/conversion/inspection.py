"""What a checkpoint holds, found out without converting the file; what a record says of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from mim_bench.conversion.architecture import found_architecture
from mim_bench.conversion.canonical import backbone_alone
from mim_bench.conversion.containers import (
    Weights,
    check_numbers,
    check_whole,
    open_container,
)
from mim_bench.conversion.detection import AUTO, recognise
from mim_bench.conversion.files import meta_of, read_checkpoint
from mim_bench.conversion.provenance import FACTS, RECORD_NAMES, build_meta, with_earlier
from mim_bench.conversion.source import Fit, Source
from mim_bench.conversion.weight_files import weights_file, weights_sha256
from mim_bench.errors import ConversionError


@dataclass(frozen=True)
class Inspection:
    """What is known of a file.

    Attributes:
        weights: Its weights, under the file's own names.
        formats: The sources that fit; several where the file does not tell them apart.
        meta: As a canonical file would have it; empty for an unknown format.
        problem: Why ``meta`` is empty although a format fits.
        dtypes: How many tensors there are of which type.
        num_parameters: Values of all tensors.
    """

    weights: Weights
    formats: list[str]
    meta: dict
    problem: str | None = None
    dtypes: dict[str, int] = field(default_factory=dict)
    num_parameters: int = 0


def inspect_content(content: Mapping, where: str, sha256: str | None = None) -> Inspection:
    """Look at a file's dictionary; its hash tells what the list of releases may know.

    Raises:
        ConversionError: It holds no weights.
    """
    weights = open_container(content, where)
    weights, sources = recognise(weights, content, AUTO, where)
    meta, problem = {}, None
    try:
        check_numbers(weights.state, where)
        check_whole(weights.state, where)
        if sources:
            meta = _meta(weights, sources, content, where, sha256)
    except ConversionError as error:
        problem = str(error)
    tensors = weights.state.values()
    return Inspection(
        weights,
        [source.name for source in sources],
        meta,
        problem,
        dict(Counter(str(tensor.dtype).removeprefix('torch.') for tensor in tensors)),
        sum(tensor.numel() for tensor in tensors),
    )


@dataclass(frozen=True)
class FileFacts:
    """What a checkpoint file says of itself; it holds no weights.

    Attributes:
        stored: The ``meta`` that stands in the file.
        meta: As a canonical file would have it, empty for an unknown format; None without weights.
        sha256: SHA-256 of the file that the user brought; a canonical file says which that was.
    """

    stored: Mapping
    meta: Mapping | None
    sha256: str


def file_facts(path: str | Path) -> FileFacts:
    """Facts of a checkpoint; a process reads a file once for them, unless it changes.

    Raises:
        CheckpointError: The file cannot be read.
    """
    path = Path(path).absolute()
    path = weights_file(path) if path.exists() else path
    stat = path.stat() if path.is_file() else None
    return _file_facts(path, stat and (stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=4)  # of what one run starts from
def _file_facts(path: Path, _stamp: tuple[int, int] | None) -> FileFacts:
    content = read_checkpoint(path)
    stored = meta_of(content)
    sha256 = stored.get('origin_sha256') or weights_sha256(path)
    try:
        meta = inspect_content(content, path.name, sha256).meta
    except ConversionError:  # no weights, which is the load gate's to report
        meta = None
    return FileFacts(stored, meta, sha256)


def label_history(path: Path) -> dict[str, Any]:
    """What a file says of ``labels`` that its weights saw, and of the run ``trained_by``."""
    facts = file_facts(path)
    meta = facts.stored if facts.meta is None else facts.meta
    history = {'labels': sorted(meta.get('labels') or ()), 'trained_by': meta.get('trained_by')}
    return {key: value for key, value in history.items() if value}


def checkpoint_facts(path: Path) -> dict[str, Any]:
    """What a record says of the checkpoint in a file, as far as the file tells.

    Returns:
        Fields of :class:`mim_bench.results.record.Checkpoint`.

    Raises:
        CheckpointError: The file cannot be read.
    """
    file = file_facts(path)
    meta = file.meta or {}
    facts = {key: meta.get(key) for key in (*FACTS, 'params', 'source')}
    known_from = {**meta.get('known_from', {})} | ({'params': 'weights'} if meta else {})
    return {
        **{RECORD_NAMES.get(key, key): value for key, value in facts.items()},
        'method': facts['method'] or 'unknown',
        'source': facts['source'] or '',
        'sha256': file.sha256,
        'known_from': {RECORD_NAMES.get(key, key): value for key, value in known_from.items()},
        **({'notes': list(file.stored['notes'])} if file.stored.get('notes') else {}),
    }


def _meta(
    weights: Weights, sources: list[Source], content: Mapping, where: str, sha256: str | None
) -> dict:
    """The formats that fit share their names, so that the first tells the architecture of all."""
    source = sources[0]
    whole = source.convert(weights.state, where, content=content)
    found = found_architecture(backbone_alone(whole, source.backbone_names), source, content)
    # Of several formats, or of one that shares its keys, what follows from a format is not known.
    is_certain = len(sources) == 1 and source.detect(weights.state, content) is Fit.MARK
    meta = build_meta(
        source,
        weights,
        whole,
        with_earlier(found, content),
        content,
        sha256=sha256,
        is_certain=is_certain,
    )
    if len(sources) > 1:
        meta['source'] = None
    return meta
