"""The user's checkpoints as rows: each is converted once, with its facts in a JSON beside it."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mim_bench.errors import ConfigError, ConversionError
from mim_bench.results.atomic import write_atomically
from mim_bench.results.hashing import file_sha256
from mim_bench.results.stated_facts import parse_facts
from mim_bench.suite.locks import wait_for_lock
from mim_bench.suite.plan import Row
from mim_bench.suite.tasks import Network, Suite, near

RANDOM = 'random'
_FORMAT = 2


@dataclass(frozen=True)
class Facts:
    """Facts of a checkpoint file.

    Attributes:
        path: Path of the file.
        size: Size in bytes.
        mtime_ns: Time of its last change.
        file_sha256: SHA-256 of its content.
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
) -> list[Row]:
    """The rows of checkpoints; converts files that are not converted yet.

    Args:
        words: ``PATH`` or ``ID=PATH``, with ``random:BACKBONE`` for random weights in place
            of the path.
            Facts that the user states may follow a path: ``,method=mae,data=in1k,labels=none``.
        folder: Folder of the converted files, ``<id>.pth``, and their facts.
        suite: The suite whose configs the rows run.
        backbone: Backbone of all checkpoints, instead of that read from the weights.
        taken: Ids of other rows.

    Raises:
        ConfigError: Two rows would have one id, or no config is for the backbone.
        ConversionError: A file's format is not recognised.
    """
    rows: list[Row] = []
    for word in words:
        row = _row(word, folder, suite, backbone)
        if row.id in {*taken, *(other.id for other in rows)}:
            raise ConfigError(
                f'{word}: another row is named {row.id!r}. Name this one: --checkpoint ID={word}'
            )
        rows.append(row)
    return rows


def facts_of(
    path: Path, folder: Path, checkpoint_id: str, stated: Mapping[str, Any] | None = None
) -> Facts:
    """Convert a checkpoint unless it is converted, and return its facts.

    Args:
        path: In any layout that ``mim-bench convert`` recognises, canonical ones too.
        folder: Gets ``<id>.pth`` and ``<id>.json``.
        checkpoint_id: Id of its row.
        stated: Facts that the user states, by field of a record's checkpoint.

    Raises:
        ConfigError: Another checkpoint has that id in the folder, or there is no such file.
        ConversionError: The format is not recognised.
    """
    if not path.is_file():
        raise ConfigError(f'--checkpoint {path}: there is no such file. Check the path.')
    stated = dict(stated or {})
    folder.mkdir(parents=True, exist_ok=True)
    with wait_for_lock(folder / f'.{checkpoint_id}.lock'):
        converted, described = folder / f'{checkpoint_id}.pth', folder / f'{checkpoint_id}.json'
        stat, where = path.stat(), str(path.resolve())
        known = _read(described) if converted.is_file() else None
        seen = (where, stat.st_size, stat.st_mtime_ns)
        is_same = known is not None and known.stated == stated
        if is_same and (known.path, known.size, known.mtime_ns) == seen:
            return known
        digest = file_sha256(path)
        if is_same and known.file_sha256 == digest:  # moved, or touched
            facts = replace(known, path=where, size=stat.st_size, mtime_ns=stat.st_mtime_ns)
        elif known and known.path != where and known.file_sha256 != digest:
            raise ConfigError(
                f'{path}: {folder} has results of another checkpoint {checkpoint_id!r}, '
                f'{known.path}. Name this one: --checkpoint ID={path}, or choose another --out.'
            )
        else:
            facts = _convert(path, converted, seen, digest, stated)
        write_atomically({described: (json.dumps(asdict(facts), indent=2) + '\n').encode()})
        return facts


def _row(word: str, folder: Path, suite: Suite, backbone: str | None) -> Row:
    word, stated = _split_facts(word)
    name, equals, place = word.partition('=')
    if not equals or Path(word).exists():
        is_random = word.startswith(f'{RANDOM}:')
        name, place = word.replace(':', '_') if is_random else Path(word).stem, word
    checkpoint_id = re.sub(r'[^\w.+-]+', '_', name).strip('._') or 'checkpoint'
    if place.startswith(f'{RANDOM}:') and not Path(place).exists():
        untrained = place.removeprefix(f'{RANDOM}:')
        _check_named(suite, untrained, word)
        return Row(checkpoint_id, RANDOM, untrained)
    facts = facts_of(Path(place), folder, checkpoint_id, stated)
    network = Network(backbone or facts.backbone, facts.family)
    _check_known(suite, network, f'{place} ({facts.arch})')
    return Row(
        id=checkpoint_id,
        method=facts.method,
        backbone=str(network),
        start=folder / f'{checkpoint_id}.pth',
        sha256=facts.sha256,
        labels=None if facts.labels is None else tuple(facts.labels),
        family=facts.family,
    )


def _split_facts(word: str) -> tuple[str, dict[str, Any]]:
    """Split ``[ID=]PATH`` from the facts after it; a path may contain commas."""
    if Path(word).exists() or Path(word.partition('=')[2]).exists():
        return word, {}
    word, *facts = re.split(r',(?=\w+=)', word)
    return word, parse_facts(facts, '--checkpoint')


def _check_named(suite: Suite, name: str, word: str) -> None:
    """Refuse a backbone that has neither a config in the suite nor a size in a family."""
    named = {b for entry in suite.entries if not entry.fit for b in entry.configs}
    fitted = [
        (f, path) for entry in suite.entries if entry.fit for f, path in entry.configs.items()
    ]
    sizes = dict(_families().values())
    for family, path in fitted:
        named |= {Path(path).stem.split('_')[1], *(f'{family}-{size}' for size in sizes[family])}
    if name not in named:
        raise ConfigError(
            f'{word}: no backbone of the suite {suite.name!r} is named {name!r}.'
            f'{near(name, sorted(named))} Known: {", ".join(sorted(named))}.'
        )


def _check_known(suite: Suite, network: Network, where: str) -> None:
    """Refuse a backbone that no entry of the suite can measure."""
    if any(entry.config_of(network) for entry in suite.entries):
        return
    known = list(dict.fromkeys(b for entry in suite.entries for b in entry.configs))
    raise ConfigError(
        f'{where}: the backbone is {network}; the suite {suite.name!r} has configs for '
        f'{", ".join(known)}. Say --backbone NAME if it is one of these, or add configs.'
    )


def _convert(
    path: Path, converted: Path, seen: tuple[str, int, int], digest: str, stated: dict[str, Any]
) -> Facts:
    from mim_bench.conversion.convert import convert_checkpoint  # imports torch
    from mim_bench.conversion.provenance import meta_names

    meta = convert_checkpoint(path, converted, facts=meta_names(stated)).meta
    if meta.get('backbone_type') is None:
        raise ConversionError(
            f'{path}: holds no backbone of a family that mim_bench has configs for.'
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
    is_beit = arch.get('rel_pos_bias', 'none') != 'none'
    found = _families().get((meta.get('backbone_type'), is_beit))
    if found is None:
        return None, None
    family, sizes = found
    for size, table in sizes.items():
        keys = [key for key in ('embed_dims', 'num_layers', 'depths') if key in table]
        if all(_plain(arch.get(key)) == _plain(table[key]) for key in keys):
            return family, f'{family}-{size}'
    return family, None


def _families() -> dict[tuple[str, bool], tuple[str, Mapping[str, dict]]]:
    """Name and sizes of each family, by class of the backbone and whether it is BEiT-type."""
    from mim_bench.conversion.architecture import SWIN, UMMAE_PVT, UMMAE_SWIN, VIT
    from mim_bench.models.backbones import swin, ummae_pvt, ummae_swin, vit

    return {
        (VIT, False): ('vit', vit.ARCHITECTURES),
        (VIT, True): ('beit-vit', vit.ARCHITECTURES),
        (SWIN, False): ('swin', swin.ARCHITECTURES),
        (UMMAE_SWIN, False): ('ummae-swin', ummae_swin.ARCHITECTURES),
        (UMMAE_PVT, False): ('ummae-pvt', ummae_pvt.ARCHITECTURES),
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _read(path: Path) -> Facts | None:
    """Read the facts; None if the file is incomplete or of another version."""
    try:
        data = json.loads(path.read_text('utf-8'))
        return Facts(**data) if data.get('format') == _FORMAT else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None
