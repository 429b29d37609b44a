"""The folders that ship with the package: inside of it when installed, beside it in a clone."""

from pathlib import Path

from mim_bench.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def shipped_folder(name: str) -> Path:
    """``configs`` or ``checkpoints``.

    Raises:
        ConfigError: It is in neither place.
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
    """A config as a user names it: a file, else one of ours, named from ``configs/`` on."""
    path = Path(path)
    if path.exists() or path.is_absolute() or path.parts[:1] != ('configs',):
        return path
    return shipped_folder('configs').parent / path
