"""Finds the weights in a checkpoint's dictionary, under any key and prefix."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mim_bench.conversion.files import WEIGHT_KEYS, state_dict_of
from mim_bench.errors import ConversionError

# Averages of weights: of MAE-type repositories, timm, mmengine.
EMA_KEYS = ('model_ema', 'state_dict_ema', 'ema_state_dict')
# First the evaluated network of methods that train two (I-JEPA, DINO); then keys of Hiera and of
# users' own files.
NETWORK_KEYS = (
    'target_encoder', 'teacher', 'model_state', 'weights', 'net', 'network', 'student', 'encoder',
)  # fmt: skip
TOP_LEVEL = 'top level'
_WRAPPERS = ('module.', 'model.')
_IS_WEIGHT = re.compile(r'(?:.*[._])?(?:weight|bias)').fullmatch
_IS_ADAPTER = re.compile(r'(?:.*\.)?(?:lora_\w+|base_layer|original_layer)(?:\..+)?').fullmatch
# The first weights of networks, by which a network inside of a larger one is found.
_ANCHORS = (
    'patch_embed.proj.weight',
    'patch_embed.projection.weight',
    'patch_embed.weight',
    'stem.0.weight',
    'downsample_layers.0.0.weight',
    'embeddings.patch_embeddings.projection.weight',
)


@dataclass(frozen=True)
class Weights:
    """Weights of a file by name, without wrappers' prefixes.

    Attributes:
        container: Key under which they were, or ``TOP_LEVEL``.
        others: Keys of further weights in the file, which were not taken.
        prefix: Prefix that the names of the taken network had in the file.
    """

    state: dict[str, torch.Tensor]
    container: str
    others: list[str]
    prefix: str = ''

    def under(self, prefix: str) -> 'Weights':
        """The weights whose names start with a prefix, without it; the others are left out."""
        state = {k.removeprefix(prefix): v for k, v in self.state.items() if k.startswith(prefix)}
        beside = sorted({k.split('.')[0] for k in self.state if not k.startswith(prefix)})
        return replace(
            self, state=state, prefix=self.prefix + prefix, others=[*self.others, *beside]
        )

    def inner_prefixes(self) -> list[str]:
        """Prefixes of networks inside a larger one."""
        found = {k.removesuffix(a) for k in self.state for a in _ANCHORS if k.endswith('.' + a)}
        return sorted(found)


def open_container(
    content: Mapping,
    where: str,
    *,
    use_ema: bool = False,
    container: str | None = None,
    prefix: str | None = None,
) -> Weights:
    """Find the weights in a file's dictionary.

    Args:
        content: What the file holds.
        where: The file, for messages.
        use_ema: Take the averaged weights.
        container: Take the weights under this key; dots lead into nested dictionaries.
        prefix: Take the weights whose names start with this prefix, and remove it.

    Raises:
        ConversionError: There are none, no average, or nothing of that name.
    """
    keys = (*WEIGHT_KEYS, *NETWORK_KEYS, *EMA_KEYS)
    found = [key for key in keys if isinstance(content.get(key), Mapping)]
    if container is not None:
        weights = Weights(_named(content, container, where), container, found)
    else:
        weights = _chosen(content, where, found, use_ema)
    weights = replace(weights, others=[key for key in found if key != weights.container])
    return weights if prefix is None else _under(weights, prefix, where)


def check_numbers(state: Mapping[str, torch.Tensor], where: str | Path) -> None:
    """Refuse weights in bytes, which are other numbers without their scales, and complex ones."""
    found = {
        key: value.dtype
        for key, value in state.items()
        if _IS_WEIGHT(key) and (value.element_size() == 1 or value.is_complex())
    }
    if found:
        key, dtype = next(iter(found.items()))
        raise ConversionError(
            f'{where}: {len(found)} weights are quantised or complex, for example {key} ({dtype}). '
            'Give the file that they were made from, or save them as floating-point numbers.'
        )


def check_whole(state: Mapping[str, torch.Tensor], where: str | Path) -> None:
    """Refuse adapters that are not merged into the network."""
    if found := [key for key in state if _IS_ADAPTER(key)]:
        raise ConversionError(
            f'{where}: {len(found)} weights are adapters of a fine-tuning (LoRA), for example '
            f'{found[0]}. Merge them into the network (peft: model.merge_and_unload()), and save '
            'its weights.'
        )


def not_finite(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the tensors that hold infinities or values that are no numbers."""
    floating = {k: v for k, v in state.items() if v.is_floating_point() and v.element_size() > 1}
    return [k for k, v in floating.items() if not v.isfinite().all()]


def one_valued(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the weight matrices that hold a single value, if they are most of them.

    A matrix has two sides or more that are longer than 1. A few matrices of a single value are
    usual: tables of positions, or heads, that start at 0.
    """
    matrices = {
        k: v for k, v in state.items() if v.numel() and sum(side > 1 for side in v.shape) > 1
    }
    flat = [k for k, v in matrices.items() if (v == v.flatten()[0]).all()]
    return flat if 2 * len(flat) > len(matrices) else []


def _chosen(content: Mapping, where: str, found: list[str], use_ema: bool) -> Weights:
    names = [key for key in found if (key in EMA_KEYS) == use_ema and content[key]]
    if use_ema and not names:
        raise ConversionError(
            f'{where}: holds no average of the weights (looked for {", ".join(EMA_KEYS)}; found '
            f'{", ".join(found) or "bare weights"}). Leave --use-ema out.'
        )
    container = names[0] if names else TOP_LEVEL
    held = dict(content[container]) if names else dict(content)
    state = _unwrapped(state_dict_of(held))
    if use_ema:
        state.pop('steps', None)  # mmengine's counter
    if not state:
        if arrays := [key for key, value in held.items() if isinstance(value, np.ndarray)]:
            raise ConversionError(
                f'{where}: holds NumPy arrays ({", ".join(map(str, arrays[:3]))}). Save them as '
                'tensors: `torch.save({k: torch.from_numpy(v) for k, v in state.items()}, FILE)`.'
            )
        averages = [key for key in found if key in EMA_KEYS]
        advice = (
            f'{averages[0]}, an average, with `mim-bench convert --use-ema`'
            if averages
            else 'them with `mim-bench convert --container KEY`'
        )
        raise ConversionError(
            f'{where}: has no weights under {", ".join(WEIGHT_KEYS)} or at its top level; it has '
            f'{", ".join(map(str, list(content)[:8])) or "nothing"}. Take {advice}.'
        )
    return Weights(state, container, [])


def _named(content: Mapping, container: str, where: str) -> dict[str, torch.Tensor]:
    node: object = content
    for part in (container,) if container in content else container.split('.'):
        if not isinstance(node, Mapping) or part not in node:
            known = ', '.join(map(str, node)) if isinstance(node, Mapping) else type(node).__name__
            raise ConversionError(
                f'{where}: --container {container}: there is no {part!r}. Give one of '
                f'{known[:300]}.'
            )
        node = node[part]
    state = _unwrapped(state_dict_of(dict(node))) if isinstance(node, Mapping) else {}
    if not state:
        raise ConversionError(
            f'{where}: --container {container}: there are no weights under this key. Give the key '
            'of a state dict.'
        )
    return state


def _under(weights: Weights, prefix: str, where: str) -> Weights:
    prefix = prefix if prefix.endswith('.') else f'{prefix}.'
    chosen = weights.under(prefix)
    if not chosen.state:
        known = sorted({key.partition('.')[0] for key in weights.state})
        raise ConversionError(
            f'{where}: --prefix {prefix}: no weight has a name that starts so. Give one of '
            f'{", ".join(known[:20])}.'
        )
    return chosen


def _unwrapped(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Remove the prefixes that wrappers of the network gave to every key."""
    for prefix in _WRAPPERS:
        if state and all(key.startswith(prefix) for key in state):
            return _unwrapped({key.removeprefix(prefix): value for key, value in state.items()})
    return state
