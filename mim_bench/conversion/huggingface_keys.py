"""Names that networks share in Hugging Face's transformers."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from mim_bench.conversion.files import SIDECAR
from mim_bench.errors import ConversionError

PARTS_OF_QKV = ('query', 'key', 'value')
# From canonical names.
LAYER_PARTS = {
    'ln1': 'layernorm_before',
    'ln2': 'layernorm_after',
    'attn.proj': 'attention.output.dense',
    'ffn.layers.0.0': 'intermediate.dense',
    'ffn.layers.1': 'output.dense',
}
# Mean and standard deviation of the images, from 0 to 1, that most weights were trained on.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def hub_settings(content: Mapping) -> dict:
    """The settings beside the weights; those of a vision tower or a backbone inside come first."""
    settings = content.get(SIDECAR) or {}
    inner = settings.get('vision_config') or settings.get('backbone_config')
    return {**settings, **inner} if isinstance(inner, Mapping) else dict(settings)


def stated_pixels(mean: Any, std: Any) -> dict[str, list[float]]:
    """``mean`` and ``std``, from 0 to 1, by which images were normalised in training.

    Empty for ImageNet's, or what is none of three channels.
    """
    if any(not isinstance(value, list | tuple) or len(value) != 3 for value in (mean, std)):
        return {}
    if (tuple(mean), tuple(std)) == _IMAGENET:
        return {}
    return {'mean': list(mean), 'std': list(std)}


def checked_pixels(value: Any, where: str) -> dict[str, list[float]]:
    """What a user states as ``pixels``.

    Raises:
        ConversionError: It is no mean and standard deviation of three channels.
    """
    pixels = dict(value) if isinstance(value, Mapping) else {}
    numbers = [x for entry in pixels.values() if isinstance(entry, list | tuple) for x in entry]
    is_numbers = len(numbers) == 6 and all(isinstance(x, int | float) for x in numbers)
    if pixels.keys() != {'mean', 'std'} or not is_numbers or not min(pixels['std']) > 0:
        raise ConversionError(
            f'{where}: --arch pixels={value!r}: give mean and standard deviation of three channels '
            "from 0 to 1: pixels={'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5]}."
        )
    return {key: list(entry) for key, entry in pixels.items()}


def check_settings(content: Mapping, where: str, *, activation: str, eps: float | None) -> None:
    """Refuse a network that computes otherwise than ours, by the settings beside its weights.

    ``eps`` None: ours has that of the settings.
    """
    settings = hub_settings(content)
    wanted = {'hidden_act': activation} | ({} if eps is None else {'layer_norm_eps': eps})
    for key, value in wanted.items():
        if settings.get(key, value) != value:
            raise ConversionError(
                f'{where}: {SIDECAR} says {key}={settings[key]}, but mim_bench builds this network '
                f'with {value} only. Give weights of that kind.'
            )


def joined_qkv(
    state: Mapping[str, torch.Tensor], where: str, *, apart: bool = False
) -> dict[str, torch.Tensor]:
    """``q_proj``, ``k_proj`` and ``v_proj`` one after the other as ``qkv``.

    Keys without biases get zeros; with ``apart`` the other biases are ``q_bias`` and ``v_bias``.

    Raises:
        ConversionError: One of them is not there.
    """
    joined: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        match = re.fullmatch(r'(.+\.)([qkv])_proj\.(weight|bias)', key)
        if match is None:
            joined[key] = value
            continue
        attention, part, leaf = match.groups()
        q, k, v = (state.get(f'{attention}{name}_proj.{leaf}') for name in 'qkv')
        if leaf == 'bias' and k is None and q is not None:
            if apart:
                joined[f'{attention}{part}_bias'] = value
                continue
            k = torch.zeros_like(q)
        if q is None or k is None or v is None:
            raise ConversionError(
                f'{where}: lacks query, key or value of {attention}qkv.{leaf}. Fetch the file '
                'again.'
            )
        if part == 'q':
            joined[f'{attention}qkv.{leaf}'] = torch.cat((q, k, v))
    return joined
