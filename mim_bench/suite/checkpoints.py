"""Makes rows of the user's checkpoints: converts each once and keeps its facts in a JSON file."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mim_bench.architectures import CLASSES, FAMILIES
from mim_bench.conversion.weight_files import weights_file, weights_files, weights_sha256
from mim_bench.errors import CheckpointError, ConfigError, ConversionError, did_you_mean
from mim_bench.files.atomic import write_atomically
from mim_bench.files.hashing import file_sha256
from mim_bench.suite.checkpoint_words import (
    RANDOM,
    READING,
    TIMM,
    CheckpointWord,
    parse_timm,
    parse_word,
)
from mim_bench.suite.leases import leased
from mim_bench.suite.plan import Row
from mim_bench.suite.tasks import Network, Suite

_FORMAT = 3
# Class of a backbone -> its family.
_FAMILY_OF = {name: family for family, name in CLASSES.items()}


@dataclass(frozen=True)
class Facts:
    """Facts of a checkpoint file.

    Attributes:
        path: Path of the file, or of the index of several.
        size: Size in bytes; of several files, of all together.
        mtime_ns: Time of its last change; of several files, of the latest.
        file_sha256: SHA-256 of its content; of several files, of their hashes.
        sha256: SHA-256 of the file that it was converted from, else its own.
        stated: Facts that the user states.
        method: Method of its pre-training; 'unknown' where nothing states it.
        labels: Data sets whose labels it has seen, where known.
        family: ``vit``, ``beit-vit``, ``swin``, ``ummae-swin`` or ``ummae-pvt``; None for others.
        backbone: Family and size, as the configs spell it; None for a size without a name.
        arch: Architecture read from the weights, for messages.
        format: Version of this description.
    """

    path: str
    size: int
    mtime_ns: int
    file_sha256: str
    sha256: str
    stated: dict[str, Any]
    method: str
    labels: list[str] | None
    family: str | None
    backbone: str | None
    arch: str
    format: int = _FORMAT


def rows_of(
    words: Sequence[str],
    folder: Path,
    suite: Suite,
    *,
    backbone: str | None = None,
    taken: Collection[str] = (),
    timm: Sequence[str] = (),
    download: bool = False,
) -> list[Row]:
    """The rows of checkpoints; converts files that are not converted yet.

    Args:
        words: ``PATH`` or ``ID=PATH``. Instead of a path: ``random:BACKBONE`` or ``timm:NAME`` for
            random weights, ``timm:NAME.TAG`` for timm's. After a path may follow how to read it and
            facts: ``,timm=NAME,container=teacher,method=mae,data=in1k,labels=none``.
        folder: Gets the converted files, ``<id>.pth``, and their facts, ``<id>.json``.
        suite: The suite whose configs the rows are for.
        backbone: Backbone of all rows; None: read it from the weights.
        taken: Ids that other rows have.
        timm: Networks of timm that the files are read as: ``NAME`` for all, ``ID=NAME`` for one.
        download: Download timm's weights that are not in its cache.

    Raises:
        ConfigError: Two rows would have one id, or no config is for the backbone.
        ConversionError: A file's format is not recognised.
    """
    rows: list[Row] = []
    for word in words:
        row = _row(
            parse_word(word, parse_timm(list(timm))), word, folder, suite, backbone, download
        )
        if row.id in {*taken, *(other.id for other in rows)}:
            raise ConfigError(
                f'{word}: another row is named {row.id!r}. Name this one, as in ID={word}'
            )
        rows.append(row)
    return rows


def facts_of(
    path: Path,
    folder: Path,
    checkpoint_id: str,
    stated: Mapping[str, Any] | None = None,
    reading: Mapping[str, str] | None = None,
) -> Facts:
    """Convert a checkpoint, unless that was done before, and return its facts.

    Args:
        path: In any layout that ``mim-bench convert`` recognises, canonical ones too.
        folder: Gets ``<id>.pth`` and ``<id>.json``.
        checkpoint_id: Id of its row.
        stated: What the user states about it, by field of a record's checkpoint.
        reading: How it is read: ``timm``, ``source``, ``container``, ``prefix``.

    Raises:
        ConfigError: Another checkpoint has that id in the folder, or there is no such file.
        ConversionError: The format is not recognised.
    """
    if not path.exists():
        raise ConfigError(f'{path}: there is no such checkpoint file. Check the path.')
    path = weights_file(path)
    stated, reading = dict(stated or {}), dict(reading or {})
    # The same file read in another way is another checkpoint.
    described_as = {**stated, **({'read as': reading} if reading else {})}
    folder.mkdir(parents=True, exist_ok=True)
    with leased(folder / f'.{checkpoint_id}.lease'):
        converted, described = folder / f'{checkpoint_id}.pth', folder / f'{checkpoint_id}.json'
        where, stats = str(path.resolve()), [file.stat() for file in weights_files(path)]
        known = _read(described) if converted.is_file() else None
        seen = (where, sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats))
        is_same = known is not None and known.stated == described_as
        if is_same and (known.path, known.size, known.mtime_ns) == seen:
            return known
        digest = weights_sha256(path)
        if is_same and known.file_sha256 == digest:  # moved, or touched
            facts = replace(known, path=where, size=seen[1], mtime_ns=seen[2])
        elif known and known.path != where and known.file_sha256 != digest:
            raise ConfigError(
                f'{path}: {folder} has results of another checkpoint {checkpoint_id!r}, '
                f'{known.path}. Name this one, as in ID={path}, or choose another output folder.'
            )
        else:
            facts = _convert(path, converted, seen, digest, stated, reading)
            facts = replace(facts, stated=described_as)
        _write(facts, described)
        return facts


def _row(
    word: CheckpointWord,
    text: str,
    folder: Path,
    suite: Suite,
    backbone: str | None,
    download: bool,
) -> Row:
    if word.kind == RANDOM:
        _check_named(suite, word.place, text)
        return Row(word.id, RANDOM, word.place)
    if word.kind == TIMM:
        facts = _facts_of_timm(word, folder, download)
    else:
        facts = facts_of(Path(word.place), folder, word.id, word.stated, word.reading)
    network = Network(backbone or facts.backbone, facts.family)
    _check_known(suite, network, f'{word.place} ({facts.arch})')
    return Row(
        id=word.id,
        method=facts.method,
        backbone=str(network),
        start=folder / f'{word.id}.pth',
        sha256=facts.sha256,
        labels=None if facts.labels is None else tuple(facts.labels),
        family=facts.family,
    )


def _facts_of_timm(word: CheckpointWord, folder: Path, download: bool) -> Facts:
    """The facts of a network of timm, whose canonical file is written unless it is there."""
    from mim_bench.conversion.provenance import meta_names  # imports torch
    from mim_bench.conversion.timm_weights import timm_checkpoint

    folder.mkdir(parents=True, exist_ok=True)
    with leased(folder / f'.{word.id}.lease'):
        path, described = folder / f'{word.id}.pth', folder / f'{word.id}.json'
        where, known = f'{TIMM}:{word.place}', _read(described) if path.is_file() else None
        if known is not None and (known.path, known.stated) == (where, word.stated):
            return known
        if known is not None and known.path != where:
            raise ConfigError(
                f'{where}: {folder} has results of another checkpoint {word.id!r}, {known.path}. '
                f'Name this one, as in ID={where}, or choose another output folder.'
            )
        stated = meta_names(word.stated)
        meta = timm_checkpoint(word.place, path, download=download, facts=stated).meta
        seen = (where, path.stat().st_size, path.stat().st_mtime_ns)
        facts = _facts_of_meta(meta, path, seen, file_sha256(path), word.stated)
        _write(facts, described)
        return facts


def _check_named(suite: Suite, name: str, word: str) -> None:
    """Refuse a backbone that has neither a config in the suite nor a size in a family."""
    named = {b for entry in suite.entries if not entry.fit for b in entry.configs}
    fitted = [
        (f, path) for entry in suite.entries if entry.fit for f, path in entry.configs.items()
    ]
    for family, path in fitted:
        named |= {Path(path).stem.split('_')[1], *(f'{family}-{size}' for size in FAMILIES[family])}
    if name not in named:
        raise ConfigError(
            f'{word}: no backbone of the suite {suite.name!r} is named {name!r}.'
            f'{did_you_mean(name, sorted(named))} Known: {", ".join(sorted(named))}.'
        )


def _check_known(suite: Suite, network: Network, where: str) -> None:
    """Refuse a backbone that no entry of the suite can measure."""
    if any(entry.config_of(network) for entry in suite.entries):
        return
    known = list(dict.fromkeys(b for entry in suite.entries for b in entry.configs))
    raise ConfigError(
        f'{where}: the backbone is {network}; the suite {suite.name!r} has configs for '
        f'{", ".join(known)}. `mim-bench run --backbone NAME` says that it is one of these; else '
        'add configs.'
    )


def _convert(
    path: Path,
    converted: Path,
    seen: tuple[str, int, int],
    digest: str,
    stated: dict[str, Any],
    reading: dict[str, str],
) -> Facts:
    from mim_bench.conversion.convert import convert_checkpoint  # imports torch
    from mim_bench.conversion.provenance import meta_names

    try:
        meta = convert_checkpoint(path, converted, facts=meta_names(stated), **reading).meta
    except CheckpointError as error:
        hint = ''
        if '--' in str(error):  # it names options of `convert`
            hint = (
                f' Give it as {path},source=NAME ({", ".join(READING)} can be given so), or '
                'convert the file with `mim-bench convert` first.'
            )
        raise type(error)(f'{error}{hint}') from error
    return _facts_of_meta(meta, path, seen, digest, stated)


def _facts_of_meta(
    meta: Mapping[str, Any],
    path: Path,
    seen: tuple[str, int, int],
    digest: str,
    stated: dict[str, Any],
) -> Facts:
    if meta.get('backbone_type') is None:
        raise ConversionError(
            f'{path}: its backbone is of no family that suites have configs for. `mim-bench '
            f'inspect {path}` shows what it holds.'
        )
    family, backbone = name_backbone(meta)
    return Facts(
        *seen,
        file_sha256=digest,
        sha256=meta['origin_sha256'],
        stated=stated,
        method=meta['method'] or 'unknown',
        labels=meta['labels'],
        family=family,
        backbone=backbone,
        arch=', '.join(f'{key}={value}' for key, value in meta['arch'].items()),
    )


def name_backbone(meta: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Family and name of a canonical file's backbone, as configs spell them.

    Returns:
        None where the family, or the size, has no name.
    """
    arch = meta.get('arch') or {}
    if other := _other_family(meta.get('backbone_type'), arch):
        return other
    is_beit = arch.get('rel_pos_bias', 'none') != 'none'
    family = f'{"beit-" if is_beit else ""}{_FAMILY_OF.get(meta.get("backbone_type"))}'
    if family not in FAMILIES:
        return None, None
    for size, table in FAMILIES[family].items():
        keys = [key for key in ('embed_dims', 'num_layers', 'depths') if key in table]
        if all(_plain(arch.get(key)) == _plain(table[key]) for key in keys):
            return family, f'{family}-{size}{_patches(arch, size)}'
    return family, None


def _patches(arch: Mapping[str, Any], size: str) -> str:
    """The suffix of the name of a ViT whose patch size is not the usual one of its size."""
    usual = 14 if size == 'huge' else 16
    patch = arch.get('patch_size', usual)
    return f'-p{patch}' if 'num_layers' in arch and patch != usual else ''


def _other_family(kind: str | None, arch: Mapping[str, Any]) -> tuple[str, str] | None:
    """Family and name of a backbone that only common protocols have configs for."""
    from mim_bench.conversion.architecture import CAPI, MIXMIM, TIMM

    if kind == TIMM:
        return 'timm', arch['name']
    return {CAPI: ('capi', 'capi'), MIXMIM: ('mixmim', 'mixmim')}.get(kind)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _write(facts: Facts, path: Path) -> None:
    write_atomically({path: (json.dumps(asdict(facts), indent=2) + '\n').encode()})


def _read(path: Path) -> Facts | None:
    """Read the facts; None if the file is incomplete or of another version."""
    try:
        data = json.loads(path.read_text('utf-8'))
        return Facts(**data) if data.get('format') == _FORMAT else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None
