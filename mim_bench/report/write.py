"""Writes every form of the leaderboard into one folder, all of them or none; once, or on change."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mim_bench.errors import MimBenchError, RecordError
from mim_bench.report.board import Leaderboard
from mim_bench.report.build import build_leaderboard
from mim_bench.report.formats import (
    render_csv,
    render_latex,
    render_markdown,
    render_published_csv,
    render_runs_csv,
)
from mim_bench.report.hub import hub_files, render_model_index
from mim_bench.report.merge import merge_folders
from mim_bench.report.page import render_html
from mim_bench.report.tables import summary_line
from mim_bench.results.atomic import write_atomically
from mim_bench.results.store import Collection, collect, record_files

# An open page asks for itself again as often as the records are looked at, but not at every blink.
_FASTEST_RELOAD = 10


def collect_folders(folders: Sequence[Path]) -> Collection:
    """The records of one folder, or of several that are merged.

    Raises:
        RecordError: A folder does not exist, or no record can be read.
    """
    collection = collect(folders[0]) if len(folders) == 1 else merge_folders(folders)
    if not collection.records:
        names = ', '.join(map(str, folders))
        damaged = ''.join(f'\n  {file.path}: {file.reason}' for file in collection.damaged)
        reason = f'every record is damaged:{damaged}' if damaged else 'no record.json below it.'
        raise RecordError(f'{names}: {reason}\nRun a task first, or give another folder.')
    return collection


def write_report(
    results: Path | Sequence[Path],
    out: Path,
    *,
    links: Mapping[str, Mapping[str, str]] | None = None,
    hub: Path | None = None,
    source_url: str | None = None,
    reload_seconds: int | None = None,
) -> tuple[Leaderboard, list[Path]]:
    """Collect the records below folders and write every form of their leaderboard.

    Args:
        results: Folder that holds the records, at any depth; several are merged.
        out: Folder to write to; made if missing.
        links: As in :func:`~mim_bench.report.build.build_leaderboard`.
        hub: Folder for the files of each checkpoint's model repository; none if None.
        source_url: Where the leaderboard will stand, for the files of the Hugging Face Hub.
        reload_seconds: How often an open page asks for itself again; never if None.

    Returns:
        The leaderboard and the files written.

    Raises:
        RecordError: No record can be read; an earlier report is untouched.
        MimBenchError: The disk refuses; an earlier report is untouched.
    """
    board = build_leaderboard(collect_folders(_as_list(results)), links=links)
    contents = {
        'leaderboard.html': render_html(board, reload_seconds),
        'leaderboard.md': render_markdown(board),
        'leaderboard.csv': render_csv(board),
        'leaderboard.tex': render_latex(board),
        'model-index.yml': render_model_index(board, source_url),
        'published.csv': render_published_csv(board),
        'runs.csv': render_runs_csv(board),
    }
    files = {Path(out) / name: text for name, text in contents.items()}
    if hub is not None:
        files |= {Path(hub) / name: text for name, text in hub_files(board, source_url).items()}
    write_atomically({path: text.encode() for path, text in files.items()})
    return board, list(files)


def _as_list(results: Path | Sequence[Path]) -> list[Path]:
    return [Path(results)] if isinstance(results, str | Path) else list(map(Path, results))


def watch_report(
    results: Path | Sequence[Path],
    out: Path,
    *,
    every: float,
    sleep: Callable[[float], None] = time.sleep,
    **options: Any,
) -> Iterator[tuple[str, bool]]:
    """Write the report now and after every change of a record, until the iterator is closed.

    The page of a watched report loads itself again; closing the iterator writes it once more
    without that. A folder without records, or a full disk, is told and tried again.

    Args:
        results: Folders that hold the records; they may not exist yet.
        out: Folder to write to.
        every: Seconds between two looks at the records.
        sleep: Waits for so many seconds.
        options: As in :func:`write_report`.

    Yields:
        A line to print for every writing, and whether it succeeded.
    """
    reload_seconds = max(_FASTEST_RELOAD, round(every))
    seen: object = None
    is_written = False
    try:
        while True:
            found = [state for folder in _as_list(results) for state in _states(folder)]
            if found != seen:
                seen = found
                try:
                    board, _ = write_report(results, out, reload_seconds=reload_seconds, **options)
                    line, is_good = summary_line(board), True
                except MimBenchError as error:
                    line, is_good = ' '.join(str(error).split()), False
                    if not isinstance(error, RecordError):
                        seen = None  # records stay damaged, but a disk may have space again
                is_written = is_written or is_good
                yield line, is_good
            sleep(every)
    finally:
        if is_written:
            with contextlib.suppress(MimBenchError):
                write_report(results, out, **options)


def _states(results: Path) -> Iterator[tuple[str, int, int]]:
    """Which records there are, and when each was written."""
    for path in record_files(results):
        with contextlib.suppress(OSError):  # gone between two calls; the next look sees it
            status = path.stat()
            yield str(path), status.st_mtime_ns, status.st_size
