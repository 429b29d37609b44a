"""Locates the shipped folders: inside the package when installed, beside it in a clone."""

from pathlib import Path

from mim_bench.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def shipped_folder(name: str) -> Path:
    """The path of the folder ``configs`` or ``checkpoints``.

    Raises:
        ConfigError: The folder is in neither place.
    """
    inside, beside = _PACKAGE / name, _PACKAGE.parent / name
    folder = inside if inside.is_dir() else beside
    if not folder.is_dir():
        raise ConfigError(
            f'{inside}: the folder that ships with the package is missing, and so is {beside}. '
            'Install mim_bench again.'
        )
    return folder


def shipped_config(path: str | Path) -> Path:
    """The path of a config: the file itself, else a shipped config named from ``configs/`` on."""
    path = Path(path)
    if path.exists() or path.is_absolute() or path.parts[:1] != ('configs',):
        return path
    return shipped_folder('configs').parent / path
