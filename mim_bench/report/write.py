"""Writes every form of the leaderboard into one folder, all of them or none; once, or on change."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
from mim_bench.report.merge import MergedFolders, merge_folders
from mim_bench.report.page import render_html
from mim_bench.report.tables import summary_line
from mim_bench.results.atomic import write_atomically
from mim_bench.results.store import Collection, collect, record_files

# An open page asks for itself again as often as the records are looked at, but not at every blink.
_FASTEST_RELOAD = 10


@dataclass(frozen=True)
class ReportOptions:
    """What a report is told beside its records.

    Attributes:
        source_url: Where the leaderboard will stand, for the files of the Hugging Face Hub.
        hub: Folder for the files of each checkpoint's model repository; none if None.
        links: As in :func:`~mim_bench.report.build.build_leaderboard`.
    """

    source_url: str | None = None
    hub: Path | None = None
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def collect_folders(folders: Sequence[Path]) -> Collection | MergedFolders:
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
    options: ReportOptions = ReportOptions(),
    *,
    reload_seconds: int | None = None,
) -> tuple[Leaderboard, list[Path]]:
    """Collect the records below folders and write every form of their leaderboard.

    ``leaderboard.html``, ``.md``, ``.csv`` and ``.tex``, ``model-index.yml`` for model cards,
    ``published.csv`` with the numbers of others, and ``runs.csv`` with a line for each run.

    Args:
        results: Folder that holds the records, at any depth; several are merged.
        out: Folder to write to; made if missing.
        options: Further wishes.
        reload_seconds: How often an open page asks for itself again; never if None.

    Returns:
        The leaderboard and the files written.

    Raises:
        RecordError: No record can be read; an earlier report is untouched.
        MimBenchError: The disk refuses; an earlier report is untouched.
    """
    collection = collect_folders(_as_list(results))
    board = build_leaderboard(collection, links=options.links)
    contents = {
        'leaderboard.html': render_html(board, collection, reload_seconds),
        'leaderboard.md': render_markdown(board),
        'leaderboard.csv': render_csv(board),
        'leaderboard.tex': render_latex(board),
        'model-index.yml': render_model_index(board, options.source_url),
        'published.csv': render_published_csv(board),
        'runs.csv': render_runs_csv(board),
    }
    files = {Path(out) / name: text for name, text in contents.items()}
    if options.hub is not None:
        hub = hub_files(board, options.source_url)
        files |= {Path(options.hub) / name: text for name, text in hub.items()}
    write_atomically({path: text.encode('utf-8') for path, text in files.items()})
    return board, list(files)


def _as_list(results: Path | Sequence[Path]) -> list[Path]:
    return [Path(results)] if isinstance(results, str | Path) else list(map(Path, results))


@dataclass(frozen=True)
class Refresh:
    """One writing of the report, as a line to print.

    ``is_written`` is False if it failed, ``is_final`` if the same records may work later.
    """

    line: str
    is_written: bool = True
    is_final: bool = True


def watch_report(
    results: Path | Sequence[Path],
    out: Path,
    options: ReportOptions = ReportOptions(),
    *,
    every: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Refresh]:
    """Write the report now and after every change of a record, until the iterator is closed.

    The page of a watched report loads itself again; closing the iterator writes it once more
    without that. A folder without records, or a full disk, is told and tried again.

    Args:
        results: Folders that hold the records; they may not exist yet.
        out: Folder to write to.
        options: As in :func:`write_report`.
        every: Seconds between two looks at the records.
        sleep: Waits for so many seconds.
    """

    def write(reload_seconds: int | None) -> Refresh:
        try:
            board, _ = write_report(results, out, options, reload_seconds=reload_seconds)
        except MimBenchError as error:
            # A disk may have space at the next look; records stay as damaged as they are.
            is_final = isinstance(error, RecordError)
            return Refresh(' '.join(str(error).split()), is_written=False, is_final=is_final)
        return Refresh(summary_line(board))

    seen: object = None
    is_written = False
    try:
        while True:
            found = [state for folder in _as_list(results) for state in _state_of(folder)]
            if found != seen:
                refresh = write(max(_FASTEST_RELOAD, round(every)))
                is_written = is_written or refresh.is_written
                seen = found if refresh.is_final else None
                yield refresh
            sleep(every)
    finally:
        if is_written:
            write(None)


def _state_of(results: Path) -> Iterator[tuple[str, int, int]]:
    """Which records there are, and when each was written."""
    for path in record_files(results):
        try:
            status = path.stat()
        except OSError:
            # Gone between two calls; the next look sees it.
            continue
        yield str(path), status.st_mtime_ns, status.st_size
