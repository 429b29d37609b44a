"""Networks of timm as canonical files: with timm's own weights, or with none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mim_bench.conversion.architecture import TIMM
from mim_bench.conversion.convert import Conversion, convert_checkpoint
from mim_bench.conversion.files import write_checkpoint
from mim_bench.conversion.key_table import BACKBONE
from mim_bench.conversion.provenance import FACTS
from mim_bench.conversion.timm_models import check_name, has_tag, tagged_settings
from mim_bench.conversion.weight_files import FOLDER_FILES
from mim_bench.errors import CheckpointError
from mim_bench.files.hashing import file_sha256
from mim_bench.results.record import RANDOM_METHOD


def timm_checkpoint(
    name: str, path: Path, *, download: bool = False, facts: Mapping[str, Any] | None = None
) -> Conversion:
    """Write the canonical file of a network of timm.

    Args:
        name: With a tag: timm's weights of it. Without: weights that nobody trained.
        path: The file to write.
        download: Fetch weights that are not in timm's cache.
        facts: What the user states of the weights.

    Raises:
        CheckpointError: The weights are not there, or are no weights of timm's kind.
        ConversionError: timm has no such network, or its weights do not fit it.
    """
    if not has_tag(name):
        return untrained(name, path)
    weights = cached_weights(name, download=download)
    licence = tagged_settings(name, f'timm:{name}').license
    known = {**({'licence': licence} if licence else {}), **(facts or {})}
    return convert_checkpoint(weights, path, timm=name, facts=known)


def cached_weights(name: str, *, download: bool = False) -> Path:
    """The file with timm's weights of a name, in the caches that timm uses.

    Raises:
        CheckpointError: It is in none, or cannot be fetched.
    """
    from huggingface_hub import try_to_load_from_cache

    settings = tagged_settings(name, f'timm:{name}')
    if settings.custom_load:
        raise CheckpointError(
            f'timm:{name}: these weights are in a format of their own (.npz). Save them by timm, '
            'and give that file with --timm.'
        )
    files = [settings.hf_hub_filename] if settings.hf_hub_filename else list(FOLDER_FILES)
    repository, url = settings.hf_hub_id, settings.url
    found = [try_to_load_from_cache(repository, file) for file in files if repository]
    found += [Path(torch.hub.get_dir()) / 'checkpoints' / url.rpartition('/')[2]] if url else []
    for path in found:
        if isinstance(path, str | Path) and Path(path).is_file():
            return Path(path)
    place = f'huggingface.co/{repository}' if repository else url
    if not place:
        raise CheckpointError(
            f'timm:{name}: timm has no weights of that name. timm.list_pretrained() lists them.'
        )
    if not download:
        raise CheckpointError(
            f"timm:{name}: its weights are not in timm's cache. Fetch them from {place} with "
            '--download, or leave the tag out for random weights.'
        )
    return _fetched(name, repository, url, files)


def _fetched(name: str, repository: str | None, url: str, files: list[str]) -> Path:
    """The first of the hub's files that is there, or the file of an address."""
    from huggingface_hub import hf_hub_download
    from timm.models._hub import download_cached_file

    error: Exception | None = None
    for file in files if repository else (url,):
        try:
            return Path(
                hf_hub_download(repository, file) if repository else download_cached_file(url)
            )
        except Exception as failed:  # the hub has many kinds; the next name may be there
            error = failed
    raise CheckpointError(
        f'timm:{name}: cannot be fetched from {repository or url}: {error}. Check the network.'
    ) from error


def untrained(name: str, path: Path, args: Mapping[str, Any] | None = None) -> Conversion:
    """Write the canonical file of a network of timm, as ``args`` change it, that nobody trained."""
    import timm

    name = check_name(name, f'timm:{name}')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = timm.create_model(name, num_classes=0, **(args or {})).state_dict()
    meta = {
        'source': TIMM.rpartition('.')[2],
        'arch': {'name': name, **(args or {})},
        'backbone_type': TIMM,
        'assumed': [],
        **dict.fromkeys(FACTS),
        'method': RANDOM_METHOD,
        'labels': [],
        'known_from': {'method': 'file', 'labels': 'file'},
        'params': sum(v.numel() for v in state.values() if v.is_floating_point()),
    }
    weights = {f'{BACKBONE}{key}': value for key, value in state.items()}
    write_checkpoint({'state_dict': weights, 'meta': meta}, path)
    meta['origin_sha256'] = file_sha256(path)
    write_checkpoint({'state_dict': weights, 'meta': meta}, path)
    return Conversion(path, 'timm', meta, len(state), [], [])
