"""Which checkpoint a run that was cut off goes on from."""

import re
from pathlib import Path

POINTER_FILE = 'last_checkpoint'  # mmengine's name
_CHECKPOINT = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """The newest checkpoint of a work directory; None if it has none.

    mmengine names it in a file that it does not replace in one step: a run that is killed
    then, or whose disk is full, leaves the file empty. The checkpoints themselves are whole or
    absent, so the one with the highest number is taken then.

    Args:
        work_dir: It may have been moved since the run: only names count.
    """
    folder = Path(work_dir)
    pointer = folder / POINTER_FILE
    text = pointer.read_text('utf-8', errors='replace') if pointer.is_file() else ''
    name = Path(text.strip()).name
    if name and (folder / name).is_file():
        return folder / name
    numbered = {
        int(match[1]): path
        for path in folder.glob('*.pth')
        if (match := _CHECKPOINT.fullmatch(path.name))
    }
    return numbered[max(numbered)] if numbered else None
