"""A table from a source's keys to canonical keys, in which every key must have a rule."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from mim_bench.errors import ConversionError, first_of

if TYPE_CHECKING:
    from mim_bench.conversion.architecture import Architecture

BACKBONE = 'backbone.'  # before the canonical names of a backbone's weights
# A canonical key, a function of the pattern's groups, or None: dropped on purpose.
Target = str | Callable[..., str] | None
Rules = tuple[tuple[str, Target], ...]


@dataclass(frozen=True)
class Converted:
    """Weights under canonical names.

    Attributes:
        backbone: Weights under ``backbone.``.
        rest: Other weights of the whole model: ``neck.``, ``head.``.
        dropped: Source keys that were dropped on purpose.
        reordered: Canonical keys whose numbers were brought into another order.
        expanded: Canonical keys made by repeating, splitting or padding a weight of the source.
        built: The architecture, if the source does not read it from canonical names.
    """

    backbone: dict[str, torch.Tensor] = field(default_factory=dict)
    rest: dict[str, torch.Tensor] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    expanded: list[str] = field(default_factory=list)
    built: 'Architecture | None' = None


@dataclass(frozen=True)
class KeyTable:
    r"""Rules in order; the first that matches a whole key decides.

    Attributes:
        source: Name of the format, for messages.
        rules: (regular expression, target). A string target may use ``\1``.
    """

    source: str
    rules: Rules

    def apply(self, state: Mapping[str, torch.Tensor], where: str) -> Converted:
        """Rename every key.

        Raises:
            ConversionError: Keys without a rule, all of them named, or two source keys
                with one target.
        """
        converted, unknown = Converted(), []
        for key, value in state.items():
            rule = self._rule(key)
            if rule is None:
                unknown.append(key)
                continue
            match, target = rule
            if target is None:
                converted.dropped.append(key)
                continue
            name = match.expand(target) if isinstance(target, str) else target(*match.groups())
            place = converted.backbone if name.startswith(BACKBONE) else converted.rest
            if name in place:
                raise ConversionError(
                    f'{where}: two keys become {name!r}, one of them {key!r}. Name the right '
                    '--source.'
                )
            place[name] = value
        if unknown:
            raise ConversionError(
                f'{where}: {len(unknown)} keys have no rule in source {self.source!r}: '
                f'{first_of(unknown, 20)}. Name the right --source, or add them to its key table '
                '(None drops them).'
            )
        return converted

    def _rule(self, key: str) -> tuple[re.Match, Target] | None:
        for pattern, target in self.rules:
            if match := _compiled(pattern).fullmatch(key):
                return match, target
        return None


@functools.cache
def _compiled(pattern: str) -> re.Pattern:
    return re.compile(pattern)


def count(keys: Iterable[str], pattern: str = r'blocks\.(\d+)\.') -> int:
    """One more than the highest number that the group of a pattern takes."""
    found = {int(m[1]) for key in keys if (m := re.match(pattern, key))}
    return max(found, default=-1) + 1
