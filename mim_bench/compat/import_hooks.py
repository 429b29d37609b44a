"""Import hooks that supply ``mmcv._ext`` where none is installed, and patch modules.

Hooks cost nothing until their module is imported, so ``import mim_bench`` stays
free of torch and mmengine. Nothing is written to disk.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

EXTENSION = 'mmcv._ext'

# Module -> function that patches it, as "module:function" so that nothing heavy
# is imported before it is needed.
_MENDS = {
    'mmengine.logging.logger': 'mim_bench.compat.packages:mend_print_log',
    'mmengine.runner.checkpoint': 'mim_bench.compat.checkpoints:mend',
    'mmengine.utils.package_utils': 'mim_bench.compat.packages:mend',
    'mmpretrain.utils.dependency': 'mim_bench.compat.packages:mend_multimodal',
    'mmseg.models.losses.accuracy': 'mim_bench.compat.segmentation_losses:mend_accuracy',
    'mmseg.models.losses.cross_entropy_loss': 'mim_bench.compat.segmentation_losses:mend',
    'yapf.yapflib.yapf_api': 'mim_bench.compat.packages:mend_yapf',
}


class ExtensionFinder(MetaPathFinder):
    """Finder of the replacement of ``mmcv._ext``; the last one, so a compiled one is preferred."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of ``mmcv._ext``; None for other modules."""
        if fullname != EXTENSION:
            return None
        return ModuleSpec(fullname, _ExtensionLoader(), origin='mim_bench.compat')


class _ExtensionLoader(Loader):
    def exec_module(self, module: ModuleType) -> None:
        from mim_bench.compat.extension import fill

        fill(module)


class MendingFinder(MetaPathFinder):
    """Finder that patches modules right after their code has run.

    It is first, because a module must be patched before another one copies
    its functions with ``from module import function``.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that has a patch, with its loader wrapped."""
        if fullname not in _MENDS:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _MendingLoader(spec.loader, _MENDS[fullname])
                return spec
        return None


class _MendingLoader(Loader):
    def __init__(self, loader: Loader, mend: str) -> None:
        self._loader = loader
        self._mend = mend

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps its own loader, which tools read its source by.
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _resolve(self._mend)(module)


def install() -> None:
    """Install the hooks; calling it again does nothing.

    Modules that are imported already are patched at once.
    """
    installed = {type(finder) for finder in sys.meta_path}
    if ExtensionFinder not in installed:
        sys.meta_path.append(ExtensionFinder())
    if MendingFinder not in installed:
        sys.meta_path.insert(0, MendingFinder())
        for name, mend in _MENDS.items():
            if name in sys.modules:
                _resolve(mend)(sys.modules[name])


def _resolve(reference: str) -> Callable[[ModuleType], None]:
    module, function = reference.split(':')
    return getattr(importlib.import_module(module), function)
