"""Imports all modules of a package, so that no list has to name them."""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType


def import_modules(package: str, path: Iterable[str]) -> list[ModuleType]:
    """Import every module of a package, so that its classes register themselves.

    Args:
        package: The package's ``__name__``.
        path: The package's ``__path__``.

    Returns:
        The modules, sorted by name.
    """
    found = pkgutil.walk_packages(path, prefix=f'{package}.')
    return [importlib.import_module(name) for name in sorted(info.name for info in found)]
