"""From folders of records to files: all forms of the leaderboard or none."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mim_bench.files.atomic import write_atomically
from mim_bench.report.board import Board
from mim_bench.report.build import build_leaderboard
from mim_bench.report.formats import (
    hub_files,
    render_csv,
    render_latex,
    render_markdown,
    render_model_index,
    render_published_csv,
    render_runs_csv,
)
from mim_bench.report.page import render_html
from mim_bench.results.merging import collect_folders


def write_report(
    results: Path | Sequence[Path],
    out: Path,
    *,
    links: Mapping[str, Mapping[str, str]] | None = None,
    hub: Path | None = None,
    source_url: str | None = None,
) -> tuple[Board, list[Path]]:
    """Collect the records below folders and write every form of their leaderboard.

    Args:
        results: Folder that holds the records, at any depth; several are merged.
        out: Folder to write to; made if missing.
        links: As in :func:`~mim_bench.report.build.build_leaderboard`.
        hub: Folder for the files of each checkpoint's model repository; none if None.
        source_url: Where the leaderboard will stand, for the files of the Hugging Face Hub.

    Raises:
        RecordError: No record can be read; an earlier report is untouched.
        MimBenchError: The disk refuses; an earlier report is untouched.
    """
    folders = [results] if isinstance(results, str | Path) else results
    board = build_leaderboard(collect_folders(folders), links=links)
    contents = {
        'leaderboard.html': render_html(board),
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
