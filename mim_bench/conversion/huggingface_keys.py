"""Names that networks share in Hugging Face's transformers."""

from collections.abc import Mapping

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


def check_settings(content: Mapping, where: str, *, activation: str, eps: float | None) -> None:
    """Refuse a network that computes otherwise than ours, by the settings beside its weights.

    Args:
        content: The file's dictionary.
        where: The file, for messages.
        activation: Of the MLPs.
        eps: Of the norms; None: ours has that of the settings.

    Raises:
        ConversionError: The settings name another activation or eps.
    """
    settings = content.get(SIDECAR) or {}
    wanted = {'hidden_act': activation} | ({} if eps is None else {'layer_norm_eps': eps})
    for key, value in wanted.items():
        if settings.get(key, value) != value:
            raise ConversionError(
                f'{where}: {SIDECAR} says {key}={settings[key]}, but mim_bench builds this network '
                f'with {value} only. Give weights of that kind.'
            )


def joined_qkv(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """``q_proj``, ``k_proj`` and ``v_proj`` one after the other as ``qkv``.

    Biases of keys that are not there are zeros.
    """
    joined = {}
    for key, value in state.items():
        attention, _, leaf = key.rpartition('.q_proj.')
        if attention:
            parts = [state.get(f'{attention}.{part}_proj.{leaf}') for part in 'qkv']
            parts = [torch.zeros_like(value) if part is None else part for part in parts]
            joined[f'{attention}.qkv.{leaf}'] = torch.cat(parts)
        elif not any(f'.{part}_proj.' in key for part in 'kv'):
            joined[key] = value
    return joined
