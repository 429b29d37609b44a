"""The weights in a checkpoint's dictionary: under which name they stand, and their prefixes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from mim_bench.conversion.files import WEIGHT_KEYS, state_dict_of
from mim_bench.errors import ConversionError

# Averages of weights: of MAE-type repositories, timm, mmengine.
EMA_KEYS = ('model_ema', 'state_dict_ema', 'ema_state_dict')
TOP_LEVEL = 'top level'
_WRAPPERS = ('module.', 'model.')


@dataclass(frozen=True)
class Weights:
    """Weights of a file.

    Attributes:
        state: By name, without wrappers' prefixes.
        container: Under which name they stood, or ``TOP_LEVEL``.
        others: Names of further weights in the file, which were not taken.
    """

    state: dict[str, torch.Tensor]
    container: str
    others: list[str]


def open_container(content: Mapping, where: str, *, use_ema: bool = False) -> Weights:
    """Find the weights in a file's dictionary.

    Args:
        content: What the file holds.
        where: The file, for messages.
        use_ema: Take the average of the weights.

    Raises:
        ConversionError: There are none, or no average where one is asked for.
    """
    found = [key for key in (*WEIGHT_KEYS, *EMA_KEYS) if isinstance(content.get(key), Mapping)]
    names = [key for key in found if (key in EMA_KEYS) == use_ema]
    if use_ema and not names:
        raise ConversionError(
            f'{where}: holds no average of the weights (looked for {", ".join(EMA_KEYS)}; found '
            f'{", ".join(found) or "bare weights"}). Leave --use-ema out.'
        )
    container = names[0] if names else TOP_LEVEL
    state = _unwrapped(state_dict_of(dict(content[container]) if names else dict(content)))
    if use_ema:
        state.pop('steps', None)  # mmengine's counter
    if not state:
        raise ConversionError(
            f'{where}: no weights under {", ".join(WEIGHT_KEYS)} or at its top level; it holds '
            f'{", ".join(map(str, list(content)[:8])) or "nothing"}.'
        )
    return Weights(state, container, [key for key in found if key != container])


def _unwrapped(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Without the prefixes that every key has because a wrapper held the network."""
    for prefix in _WRAPPERS:
        if state and all(key.startswith(prefix) for key in state):
            return _unwrapped({key.removeprefix(prefix): value for key, value in state.items()})
    return state
