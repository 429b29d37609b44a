"""Replaces what mmengine 0.10.7 and mmpretrain ask of other packages.

mmengine's queries of packages need ``pkg_resources``, which setuptools 82 dropped; the replacements
use ``importlib.metadata``. Each config is formatted by yapf only once. mmpretrain's multimodal
models, which nothing here uses, cannot be imported with transformers 5. Debugging lines of imports
are not printed.
"""

import functools
import importlib.util
import json
import logging
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any


def mend(package_utils: ModuleType) -> None:
    """Replace the queries of ``mmengine.utils.package_utils`` if ``pkg_resources`` is missing.

    Args:
        package_utils: The module, freshly imported.
    """
    source = Path(package_utils.__file__).read_text(encoding='utf-8')
    if 'pkg_resources' in source and importlib.util.find_spec('pkg_resources') is None:
        package_utils.is_installed = is_installed
        package_utils.get_installed_path = get_installed_path
        package_utils.package2module = package2module


def mend_multimodal(dependency: ModuleType) -> None:
    """Leave mmpretrain's multimodal models out where transformers 5 or later is installed.

    Args:
        dependency: ``mmpretrain.utils.dependency``, freshly imported.
    """
    try:
        major = int(metadata.version('transformers').partition('.')[0])
    except metadata.PackageNotFoundError:
        return
    if major >= 5:
        dependency.WITH_MULTIMODAL = False


def mend_print_log(logger: ModuleType) -> None:
    """Print no debugging line where no logger is given: libraries tell of OneDL at each import.

    Args:
        logger: ``mmengine.logging.logger``, freshly imported.
    """
    print_log = logger.print_log

    @functools.wraps(print_log)
    def print_from_info(msg: Any, logger: Any = None, level: int = logging.INFO) -> None:
        if logger is not None or level >= logging.INFO:
            print_log(msg, logger, level)

    logger.print_log = print_from_info


def is_installed(package: str) -> bool:
    """Whether a distribution or a module of that name is installed."""
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None
    return True


def get_installed_path(package: str) -> str:
    """The folder of a package, by the name of its distribution or its module.

    Raises:
        PackageNotFoundError: Neither exists.
    """
    for name in (package, _module_of(package)):
        spec = importlib.util.find_spec(name) if name else None
        if spec is not None and spec.origin is not None:
            return str(Path(spec.origin).parent)
    raise metadata.PackageNotFoundError(package)


def package2module(package: str) -> str:
    """The import name of a distribution.

    Raises:
        PackageNotFoundError: It is not installed or does not state its import name.
    """
    module = _module_of(package)
    if module is None:
        raise metadata.PackageNotFoundError(package)
    return module


def _module_of(package: str) -> str | None:
    try:
        names = metadata.distribution(package).read_text('top_level.txt') or ''
    except metadata.PackageNotFoundError:
        return None
    return names.split()[0] if names.split() else None


def mend_yapf(module: ModuleType) -> None:
    """Let yapf format a text only once; a run writes its config four times, half a second each."""
    whole = module.FormatCode

    @functools.lru_cache(maxsize=8)
    def format_once(text: str, style: str) -> tuple[str, bool]:
        return whole(text, style_config=json.loads(style))

    @functools.wraps(whole)
    def format_code(text: str, style_config: object = None, **more: object) -> tuple[str, bool]:
        if more or not isinstance(style_config, dict):
            return whole(text, style_config=style_config, **more)
        return format_once(text, json.dumps(style_config, sort_keys=True))

    module.FormatCode = format_code
