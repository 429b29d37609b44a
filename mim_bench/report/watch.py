"""Writes the report again whenever records change, until whoever asked for it stops it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mim_bench.errors import MimBenchError, RecordError
from mim_bench.report.wording import summary_line
from mim_bench.report.write import write_report
from mim_bench.results.store import record_files

# An open page asks for itself again as often as the records are looked at, but not at every blink.
_FASTEST_RELOAD = 10


@dataclass(frozen=True)
class Refresh:
    """One writing of the report, as a line to print.

    ``is_written`` is False if it failed, ``is_final`` if the same records may work later.
    """

    line: str
    is_written: bool = True
    is_final: bool = True


def watch_report(
    results: Path,
    out: Path,
    *,
    every: float,
    source_url: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Refresh]:
    """Write the report now and after every change of a record, for ever.

    The page of a watched report loads itself again; closing the iterator writes it once more
    without that. A folder without records, or a full disk, is told and tried again.

    Args:
        results: Folder that holds the records; it may not exist yet.
        out: Folder to write to.
        every: Seconds between two looks at the records.
        source_url: As in :func:`~mim_bench.report.write.write_report`.
        sleep: Waits for so many seconds.
    """
    seen: object = None
    is_written = False
    try:
        while True:
            found = _state_of(results)
            if found != seen:
                refresh = _write(results, out, source_url, max(_FASTEST_RELOAD, round(every)))
                is_written = is_written or refresh.is_written
                seen = found if refresh.is_final else None
                yield refresh
            sleep(every)
    finally:
        if is_written:
            _write(results, out, source_url, None)


def _state_of(results: Path) -> tuple[tuple[str, int, int], ...]:
    """Which records there are, and when each was written."""
    found = []
    for path in record_files(results):
        try:
            status = path.stat()
        except OSError:
            # Gone between two calls; the next look sees it.
            continue
        found.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(found)


def _write(results: Path, out: Path, source_url: str | None, reload_seconds: int | None) -> Refresh:
    try:
        board, _ = write_report(results, out, source_url=source_url, reload_seconds=reload_seconds)
    except MimBenchError as error:
        # A disk may have space at the next look; records stay as damaged as they are.
        is_final = isinstance(error, RecordError)
        return Refresh(' '.join(str(error).split()), is_written=False, is_final=is_final)
    return Refresh(summary_line(board))
