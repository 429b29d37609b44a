"""Index of this package's backbones and their named sizes."""

import inspect
import re
import sys
from dataclasses import dataclass

from mmpretrain.models.backbones.base_backbone import BaseBackbone

from mim_bench.registry import MODELS

_HOME = 'mim_bench.models.'
# Markup of the documentation, for example :class:`ViT` or ``ViT``.
_ROLE = re.compile(r'(?::\w+:)?`+([^`]+)`+')


@dataclass(frozen=True)
class BackboneEntry:
    """A registered backbone class.

    Attributes:
        name: Name in configs.
        archs: Named sizes that the argument ``arch`` accepts.
        also: A class of mmpretrain whose named sizes it accepts too.
        use: ``pre-training`` for a class that takes a mask or targets beside images.
        summary: First line of its documentation.
    """

    name: str
    archs: tuple[str, ...]
    also: str | None
    use: str
    summary: str


def index_backbones() -> list[BackboneEntry]:
    """All backbones that configs name as ``mim_bench.X``, those of downstream tasks first."""
    MODELS.import_from_location()
    own = {n: c for n, c in MODELS.module_dict.items() if _is_own_backbone(c)}
    entries = [_entry(name, cls) for name, cls in own.items()]
    return sorted(entries, key=lambda entry: (entry.use != 'downstream', entry.name))


def _is_own_backbone(cls: type) -> bool:
    is_class = isinstance(cls, type)  # registries hold functions, too
    return is_class and issubclass(cls, BaseBackbone) and cls.__module__.startswith(_HOME)


def _entry(name: str, cls: type) -> BackboneEntry:
    classes = [c for c in cls.__mro__ if c.__module__.startswith(_HOME)]
    tables = [vars(sys.modules[c.__module__]).get('ARCHITECTURES') for c in classes]
    foreign = [c.__name__ for c in cls.__mro__ if 'arch_zoo' in vars(c) and c not in classes]
    # The first argument is the images.
    given = list(inspect.signature(cls.forward).parameters)[2:]
    return BackboneEntry(
        name=f'mim_bench.{name}',
        archs=tuple(next((table for table in tables if table), ())),
        also=foreign[0] if foreign else None,
        use='pre-training' if given else 'downstream',
        summary=_ROLE.sub(r'\1', (cls.__doc__ or '').strip().partition('\n')[0]),
    )
