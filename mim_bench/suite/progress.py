"""Progress of a run, read from the end of its log."""

import re
from pathlib import Path

_TAIL_BYTES = 16_384
# 'Epoch(train) [3][20/46]', 'Iter(val) [ 50/300]': lines of mmengine.
_POSITION = re.compile(r'(?:Epoch|Iter)\((\w+)\)\s+((?:\[\s*\d+(?:/\d+)?\]\s*)+)')
_ETA = re.compile(r'eta: ((?:\d+ days?, )?[\d:]+)')
_FEATURES = re.compile(r'Features of the (\w+) data (\[\d+/\d+\])')


def describe_progress(log: Path) -> str:
    """Position and expected time, for example ``train [3][20/46], 0:01:10 left``.

    Args:
        log: Log file; may be missing or contain other lines.

    Returns:
        '' where the log states neither.
    """
    found = ''
    for line in _tail(log).splitlines():
        if match := _POSITION.search(line):
            eta = _ETA.search(line)
            place = re.sub(r'\s+', '', match[2])
            found = f'{match[1]} {place}' + (f', {eta[1]} left' if eta else '')
        elif match := _FEATURES.search(line):
            found = f'features of {match[1]} {match[2]}'
    return found


def _tail(log: Path) -> str:
    try:
        with log.open('rb') as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - _TAIL_BYTES, 0))
            return file.read().decode(errors='replace')
    except OSError:
        return ''
