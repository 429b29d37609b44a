"""The backbone-dependent part of a protocol: rates by size, taps and necks by family.

One protocol measures a ViT, a Swin and a ConvNet of any size. Settings that must differ are listed
in a table of the protocol, ``by_backbone``, which is public and part of the hash::

    protocol = dict(
        name='ade20k-upernet',
        by_backbone={
            'plain': {'model.backbone.out_indices': ['1/3', '1/2', '2/3', '1']},
            'plain-large': {'model.backbone.drop_path_rate': 0.2},
            'Swin': {'model.backbone.out_norms': True},
        },
    )

A row applies to a backbone that has its name as a tag: the kind (``plain``: all maps have one
stride; ``pyramid``), kind and size (``plain-base``) or the class (``ViT``). Later rows win. A row
sets dotted keys of the config, and nothing else in the config may set them.

Anywhere in the model, these words are replaced by facts of the backbone:

- ``'widths'``, ``'widths[2]'``, ``'sum(widths)'``: channels of the maps of ``out_indices``, and
  ``'strides'``, ``'strides[2]'`` their strides in pixels;
- ``'1/3'`` in ``out_indices``: the block or stage at that share of the depth;
- ``'all'``: the number of blocks or stages, for ``frozen_stages``;
- ``'checkpoint'``: whether the checkpoint has a norm that only some methods train.
"""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS

from mim_bench.conversion.backbone_config import backbone_config
from mim_bench.conversion.inspection import file_facts
from mim_bench.errors import ConfigError
from mim_bench.recipe.image_size import largest_side
from mim_bench.recipe.tree import plain, read_key
from mim_bench.recipe.tta import network_settings as network_of

BACKBONE = 'model.backbone'
ALL = 'all'
CHECKPOINT = 'checkpoint'
# Smallest number of parameters of a size, in millions: ViT-S and Swin-T are small, ViT-B, Swin-S
# and Swin-B base, ViT-L and Swin-L large.
SIZES = (('tiny', 0), ('small', 15), ('base', 45), ('large', 150), ('huge', 450))
_MAPS = re.compile(r'(widths|strides)(?:\[(-?\d+)\])?|(sum)\(widths\)')
_SHARE = re.compile(r'\d+(?:/\d+)?')


@dataclass(frozen=True)
class BackboneFacts:
    """Facts of a backbone's architecture that a table depends on.

    Attributes:
        tags: Names of the table rows that apply.
        widths: Channels after each block or stage.
        strides: Stride of the map after each, in pixels.
    """

    tags: tuple[str, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...]


def backbone_facts(backbone: Mapping[str, Any]) -> BackboneFacts:
    """The facts of a backbone, from the arguments that a checkpoint fixes.

    Raises:
        ConfigError: The class does not exist, or has no attribute for the widths of its maps.
    """
    fixed = {k: v for k, v in backbone.items() if k == 'type' or is_fixed(backbone, k)}
    return _facts(json.dumps(fixed, sort_keys=True))


@cache
def _facts(fixed: str) -> BackboneFacts:
    config = json.loads(fixed)
    name = str(config['type']).rpartition('.')[2]
    with torch.device('meta'):
        network = MODELS.build({**config, 'out_indices': (0,)})
        for member in ('num_outputs', 'out_channels', 'strides'):
            if not hasattr(network, member):
                raise ConfigError(
                    f'model.backbone: {name} has no {member}, which a protocol with by_backbone '
                    'needs to set it up. Use a backbone of mim_bench, or add the member.'
                )
        depth = network.num_outputs
        network = MODELS.build({**config, 'out_indices': tuple(range(depth))})
    kind = 'plain' if len(set(network.strides)) == 1 else 'pyramid'
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    size = next(name for name, least in reversed(SIZES) if millions >= least)
    return BackboneFacts(
        (kind, f'{kind}-{size}', name), tuple(network.out_channels), tuple(network.strides)
    )


def is_fixed(backbone: Mapping[str, Any], argument: str) -> bool:
    """Whether a checkpoint fixes an argument of a backbone's config at its value."""
    names = fixed_arguments(str(backbone.get('type')))
    return argument in names or f'{argument}={backbone.get(argument)}' in names


def decides_architecture(cfg: Config, key: str) -> bool:
    """Whether a dotted key of a config is an argument that a checkpoint fixes."""
    if not key.startswith(f'{BACKBONE}.'):
        return False
    argument = key.split('.')[2]
    names = {name.partition('=')[0] for name in fixed_arguments(str(cfg.model.backbone.type))}
    return argument == 'type' or argument in names


@cache
def fixed_arguments(kind: str) -> frozenset[str]:
    """Arguments that a checkpoint fixes: names, or ``name=value`` where only some values are.

    Args:
        kind: Name of the class in configs.

    Returns:
        The empty set if the class states none; then every argument is part of the recipe.
    """
    cls = MODELS.get(kind)
    return getattr(cls, 'FIXED_BY_CHECKPOINT', frozenset())


def take_backbone(cfg: Config, checkpoint: str | Path) -> dict[str, bool]:
    """Replace a config's backbone by that of a canonical checkpoint; recipe arguments stay.

    Args:
        cfg: Changed in place, before :func:`apply_by_backbone`.
        checkpoint: A canonical file.

    Returns:
        Values of the word ``'checkpoint'`` by argument: whether the file has the norm.

    Raises:
        ConfigError: The config is for another class and has no table for others.
        ConversionError: The file does not state its architecture.
    """
    old = cfg.model.backbone
    found = backbone_config(file_facts(checkpoint).stored)
    if found['type'] != old.type and not (cfg.get('protocol') or {}).get('by_backbone'):
        raise ConfigError(
            f'{cfg.filename}: is for {old.type}, but {checkpoint} holds a {found["type"]}. '
            'Use a config whose backbone is that, or one of a common protocol.'
        )
    recipe = {k: v for k, v in old.items() if k != 'type' and not is_fixed(old, k)}
    taken = {k: v for k, v in found.items() if k == 'type' or is_fixed(found, k)}
    cfg.model.backbone = ConfigDict({**recipe, **taken})
    return {argument: bool(found.get(argument)) for argument in ('final_norm', 'out_norms')}


def apply_by_backbone(cfg: Config, norms: Mapping[str, bool] | None = None) -> None:
    """Apply the protocol's table to a config, and replace words by facts of the backbone.

    Args:
        cfg: Changed in place. Afterwards ``protocol.words`` lists the keys that depend on the
            backbone; a config that already has it, from an earlier run, is left unchanged.
        norms: Result of :func:`take_backbone`; None: the checkpoint has every norm.

    Raises:
        ConfigError: The config itself sets a key of the table, or a word has no meaning there.
    """
    protocol = cfg.get('protocol') or {}
    if 'words' in protocol or not isinstance(cfg.get('model'), dict):
        return
    words = dict(_words('model', cfg.model))
    table = protocol.get('by_backbone')
    if not words and not table:
        return
    facts = backbone_facts(cfg.model.backbone)
    rows = rows_of(table or {}, facts.tags)
    for key, value in rows.items():
        present = read_key(cfg, key)
        if present is not None and plain(present) != plain(value):
            raise ConfigError(
                f'{cfg.filename}: {key} is {present!r}, and {value!r} in protocol.by_backbone for '
                f'{facts.tags[-1]}. Set it in one place.'
            )
        _write_key(cfg, key, deepcopy(value))
    for key, word in list(_words('model', cfg.model)):
        if word == CHECKPOINT:
            value = (norms or {}).get(key.rpartition('.')[2], True)
        else:
            value = resolved(word, cfg.model.backbone, facts)
        _write_key(cfg, key, value)
    if needs_image_size(cfg.model.backbone) and (side := largest_side(cfg)):
        cfg.model.backbone.img_size = side
    cfg.protocol.words = ConfigDict(words)


def needs_image_size(backbone: Mapping[str, Any]) -> bool:
    """Whether a backbone is built for images of one size, which the task decides."""
    cls = MODELS.get(str(backbone.get('type')))
    return bool(getattr(cls, 'needs_image_size', lambda _: False)(backbone))


def expected_settings(cfg: Config) -> dict[str, Any]:
    """Values that the backbone decides in a loaded config, by dotted key.

    Raises:
        ConfigError: See :func:`backbone_facts`.
    """
    protocol = cfg.get('protocol') or {}
    if 'words' not in protocol:
        return {}
    backbone = network_of(cfg).backbone
    facts = backbone_facts(backbone)
    rows = rows_of(protocol.get('by_backbone') or {}, facts.tags)
    return {
        key: resolved(plain(value), backbone, facts)
        for key, value in {**protocol.words, **rows}.items()
    }


def rows_of(table: Mapping[str, Mapping[str, Any]], tags: tuple[str, ...]) -> dict[str, Any]:
    """The keys that the rows of a table set for a backbone; later rows win."""
    return {k: v for name, row in table.items() if name in tags for k, v in row.items()}


def resolved(value: Any, backbone: Mapping[str, Any], facts: BackboneFacts) -> Any:
    """Replace the words in a value by facts of the backbone; CHECKPOINT stays.

    Raises:
        ConfigError: A word names a map that does not exist.
    """
    if isinstance(value, Mapping):
        return {k: resolved(v, backbone, facts) for k, v in value.items()}
    if isinstance(value, list | tuple):
        if value and all(isinstance(v, str) and _SHARE.fullmatch(v) for v in value):
            return taps(value, len(facts.widths))
        return [resolved(v, backbone, facts) for v in value]
    if value == ALL:
        return len(facts.widths)
    if isinstance(value, str) and (match := _MAPS.fullmatch(value)):
        return _of_maps(match, backbone, facts)
    return value


def taps(shares: list[str], depth: int) -> list[int]:
    """The blocks at shares of the depth, for example 3, 5, 7, 11 at thirds and a half of 12.

    Raises:
        ConfigError: Two shares fall on one block.
    """
    found = [max(round(Fraction(share) * depth), 1) - 1 for share in shares]
    if len(set(found)) < len(found):
        raise ConfigError(
            f'out_indices {shares} of a backbone of {depth} blocks fall on the blocks {found}. '
            'It is too shallow for this protocol; leave the task out.'
        )
    return found


def _write_key(cfg: Config, key: str, value: Any) -> None:
    *parents, last = key.split('.')
    node = cfg._cfg_dict
    for part in parents:
        node = node[int(part)] if isinstance(node, list | tuple) else node.setdefault(part, {})
    if isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = ConfigDict(value) if isinstance(value, dict) else value


def _words(key: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Dotted keys below a node whose values are words."""
    is_shares = isinstance(node, list | tuple) and node
    if is_shares and all(isinstance(v, str) and _SHARE.fullmatch(v) for v in node):
        yield key, list(node)
    elif isinstance(node, Mapping):
        for name, value in list(node.items()):
            yield from _words(f'{key}.{name}', value)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _words(f'{key}.{index}', value)
    elif isinstance(node, str) and (node in (ALL, CHECKPOINT) or _MAPS.fullmatch(node)):
        yield key, node


def _of_maps(match: re.Match[str], backbone: Mapping[str, Any], facts: BackboneFacts) -> Any:
    chosen = resolved(backbone.get('out_indices', -1), backbone, facts)
    chosen = [chosen] if isinstance(chosen, int) else chosen
    try:
        values = [(facts.strides if match[1] == 'strides' else facts.widths)[i] for i in chosen]
        if match[3]:
            return sum(values)
        return values if match[2] is None else values[int(match[2])]
    except IndexError:
        raise ConfigError(
            f'{match[0]!r}: the backbone {facts.tags[-1]} returns the maps {chosen} of '
            f'{len(facts.widths)}. Correct out_indices, or the word.'
        ) from None
