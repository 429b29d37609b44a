"""Installed OpenMMLab libraries and their distribution; needs no torch.

The maintained fork (``onedl-*``) and the original packages have the same import
names, so pip lets one overwrite the other's files; only the metadata differ.
"""

from dataclasses import dataclass
from importlib import metadata

from mim_bench.errors import StackError

# Import name -> names on the package index, by distribution.
_PACKAGES = {
    'mmengine': {'onedl': ('onedl-mmengine',), 'openmmlab': ('mmengine', 'mmengine-lite')},
    'mmcv': {'onedl': ('onedl-mmcv',), 'openmmlab': ('mmcv', 'mmcv-lite', 'mmcv-full')},
    'mmpretrain': {'onedl': ('onedl-mmpretrain',), 'openmmlab': ('mmpretrain',)},
    'mmseg': {'onedl': ('onedl-mmsegmentation',), 'openmmlab': ('mmsegmentation',)},
    'mmdet': {'onedl': ('onedl-mmdetection',), 'openmmlab': ('mmdet',)},
}
LIBRARIES = tuple(_PACKAGES)


@dataclass(frozen=True)
class Library:
    """An installed OpenMMLab library."""

    import_name: str
    package: str
    """Its name on the package index."""
    version: str
    distribution: str
    """``onedl`` or ``openmmlab``."""


@dataclass(frozen=True)
class Stack:
    """The installed OpenMMLab libraries; no import name occurs twice."""

    libraries: tuple[Library, ...]

    @property
    def distribution(self) -> str:
        """``onedl``, ``openmmlab``, ``none``, or both joined by ``+``."""
        return '+'.join(sorted({library.distribution for library in self.libraries})) or 'none'


def describe_stack() -> Stack:
    """Read the installed packages' metadata.

    Raises:
        StackError: Several packages provide the same import name.
    """
    found = [library for name in LIBRARIES for library in _providers(name)]
    doubled = sorted({a.import_name for a in found for b in found if _is_rival(a, b)})
    if doubled:
        rivals = [library for library in found if library.import_name in doubled]
        raise StackError(_mixture(doubled, rivals))
    return Stack(tuple(found))


def _providers(import_name: str) -> list[Library]:
    return [
        Library(import_name, package, installed[0].version, distribution)
        for distribution, packages in _PACKAGES[import_name].items()
        for package in packages
        if (installed := list(metadata.distributions(name=package)))
    ]


def _is_rival(a: Library, b: Library) -> bool:
    return a.import_name == b.import_name and a.package != b.package


def _mixture(doubled: list[str], rivals: list[Library]) -> str:
    packages = ' '.join(library.package for library in rivals)
    listed = ', '.join(f'{library.package} {library.version}' for library in rivals)
    return (
        f'{", ".join(doubled)}: installed more than once, by {listed}; the files of one have '
        f"overwritten those of the other. Run 'pip uninstall -y {packages}', then "
        "'pip install -e .[onedl]' (or .[openmmlab]) in the checkout of mim-bench."
    )
