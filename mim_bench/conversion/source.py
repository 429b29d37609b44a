"""The interface of a source format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

import torch

from mim_bench.conversion.architecture import stated_network
from mim_bench.conversion.key_table import Converted
from mim_bench.conversion.swin_keys import reorder_mergings
from mim_bench.conversion.timm_models import TimmModel, through_timm
from mim_bench.errors import ConversionError

StateDict = Mapping[str, torch.Tensor]
# A network of timm and the weights as timm's loader takes them.
Network = tuple[TimmModel, dict[str, torch.Tensor]]


class Fit(IntEnum):
    """How well a file fits a format. The best fit wins; of two equal ones the user must choose."""

    NO = 0
    LAYOUT = 1  # its keys are those of the format, which shares them with others
    MARK = 2  # a key, or what the file says of itself, is this format's alone


@dataclass(frozen=True)
class Source:
    """A checkpoint format.

    Attributes:
        name: What ``--source`` takes.
        detect: The fit of weights and of the file's dictionary around them.
        rename: Takes the weights and the file's name; renames the whole model's keys.
        method: Pre-training method that the format implies, or a function that finds it in the
            weights; None: unknown.
        licence: Licence of the official weights, as their repository states it; None if unknown.
        merge_orders: For Swin: how the weights of a merging order the 2x2 neighbours, by the
            names that ``--merge-order`` takes, the usual one first.
        backbone_names: Names of parts of the whole model that belong to the backbone -> their
            names in it.
        unseen_settings: Arguments of a backbone's class that leave no trace in the weights and
            that the official code fixes, by the name of the class.
        order_settings: The same by merge order, where the official codes differ.
        network: Takes the weights, the file's dictionary and its name; returns the network of
            timm, or None for one of this project.
        pos_resize: How the official code resizes absolute positions, unless by plain bicubic
            interpolation.
        bias_interpolation: How it resizes relative positions, unless as BEiT's code.
    """

    name: str
    detect: Callable[[StateDict, Mapping], Fit]
    rename: Callable[[StateDict, str], Converted] | None = None
    method: str | Callable[[StateDict], str | None] | None = None
    licence: str | None = None
    merge_orders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    backbone_names: Mapping[str, str] = field(default_factory=dict)
    unseen_settings: Mapping[str, Mapping] = field(default_factory=dict)
    order_settings: Mapping[str, Mapping] = field(default_factory=dict)
    network: Callable[[StateDict, Mapping, str], Network | None] | None = None
    pos_resize: Mapping = field(default_factory=dict)
    bias_interpolation: str | None = None

    def convert(
        self,
        state: StateDict,
        where: str,
        *,
        merge_order: str | None = None,
        content: Mapping | None = None,
    ) -> Converted:
        """The whole model under canonical names.

        Raises:
            ConversionError: Keys without a rule, no weight of a backbone, or an order that the
                format or the network does not have.
        """
        try:
            found = self.network(state, content or {}, where) if self.network else None
            renamed = self.rename(state, where) if found is None and self.rename else None
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            fault = f'it lacks {error}' if isinstance(error, KeyError) else str(error)
            raise ConversionError(
                f'{where}: is not a checkpoint of {self.name}: {fault}. Name the right --source.'
            ) from error
        if found is not None:
            converted = through_timm(*found, where)
        elif renamed is not None:
            converted = renamed
            if (built := stated_network(content or {})) is not None:
                converted = replace(converted, built=built)
        else:
            raise ConversionError(
                f'{where}: is not a checkpoint of {self.name}. Name the right --source.'
            )
        if merge_order is not None and merge_order not in self.merge_orders:
            raise ConversionError(
                f'{where}: source {self.name!r} has no merge order {merge_order!r} (known: '
                f'{sorted(self.merge_orders) or "none"}). Correct --merge-order or leave it out.'
            )
        if self.merge_orders and found is None:
            order = merge_order or next(iter(self.merge_orders))
            converted = reorder_mergings(converted, self.merge_orders[order])
        if merge_order is not None and not converted.reordered:
            raise ConversionError(
                f'{where}: --merge-order {merge_order} is for Swins, and this network merges no '
                'patches. Leave it out.'
            )
        if not converted.backbone:
            raise ConversionError(
                f'{where}: has no weights of a backbone, only of other parts. Give the file of the '
                'whole model.'
            )
        return converted

    def method_of(self, state: StateDict) -> str | None:
        """The pre-training method of these weights, as far as the format tells."""
        return self.method(state) if callable(self.method) else self.method


def is_under_model(content: Mapping) -> bool:
    """Whether the weights are under ``model``, as MAE's and related repositories store them."""
    return isinstance(content.get('model'), Mapping)
