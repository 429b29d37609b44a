"""Checks that a run resumes with the settings of its checkpoint."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from mim_bench.errors import ConfigError, first_of
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.recipe.tree import plain
from mim_bench.results.protocol_file import setting_differences

RESUME_KEY = 'settings'
_MOST = 6


def resume_settings(cfg: Config) -> dict[str, Any]:
    """What a run that resumes must have in common with the one that wrote a checkpoint."""
    return {
        'settings': protocol_settings(cfg),
        'start': plain(cfg.get('protocol_start') or {}),
        'weights': plain(cfg.get('start_weights') or {}),
        'data': plain(cfg.get('protocol_data') or {}),
    }


def check_resumable(path: str, meta: Mapping[str, Any] | None, cfg: Config) -> None:
    """Refuse to go on with other settings than a checkpoint was trained with.

    Weights, schedule and optimiser come out of the checkpoint, so that other settings, or other
    weights to start from, would have no effect, or half of one, and the record would state them all
    the same.

    Args:
        path: Path of the checkpoint, for messages.
        meta: Meta data of the checkpoint.
        cfg: Config of the run that resumes.

    Raises:
        ConfigError: Names the settings that differ, with both values.
    """
    stated = ((meta or {}).get('mim_bench') or {}).get(RESUME_KEY)
    if stated is None:
        print_log(f'{path}: does not say the settings of its run; not compared.', logger='current')
        return
    now = resume_settings(cfg)
    if not (now['data'] and stated['data']):  # only the main process reads them
        now, stated = now | {'data': {}}, stated | {'data': {}}
    found = [
        f'{d.key.removeprefix("settings.")} was {d.first or "not set"} and is '
        f'{d.second or "not set"}'
        for d in setting_differences(stated, now)
    ]
    # mmengine would take the old seed back, but the order and crops of images have the new one.
    seeds = (meta or {}).get('seed'), (cfg.get('randomness') or {}).get('seed')
    if None not in seeds and seeds[0] != seeds[1]:
        found.insert(0, f'the seed was {seeds[0]} and is {seeds[1]}')
    if found:
        raise ConfigError(
            f'{path}: was trained with other settings: {first_of(found, _MOST, "; ")}. Resume '
            'with the settings it had, or start anew with another --work-dir.'
        )
