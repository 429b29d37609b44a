"""Writes every form of the leaderboard into one folder, all of them or none."""

from pathlib import Path

from mim_bench.errors import RecordError
from mim_bench.report.build import build_leaderboard
from mim_bench.report.csv_table import render_csv
from mim_bench.report.html_page import render_html
from mim_bench.report.latex import render_latex
from mim_bench.report.leaderboard import Leaderboard
from mim_bench.report.markdown import render_markdown
from mim_bench.report.model_index import render_model_index
from mim_bench.report.published_csv import render_published_csv
from mim_bench.report.runs_csv import render_runs_csv
from mim_bench.results.atomic import write_atomically
from mim_bench.results.store import collect


def write_report(
    results: Path, out: Path, *, source_url: str | None = None, reload_seconds: int | None = None
) -> tuple[Leaderboard, list[Path]]:
    """Collect the records below a folder and write every form of their leaderboard.

    ``leaderboard.html``, ``.md``, ``.csv`` and ``.tex``, ``model-index.yml`` for model cards,
    ``published.csv`` with the numbers of others, and ``runs.csv`` with a line for each run.

    Args:
        results: Folder that holds the records, at any depth.
        out: Folder to write to; made if missing.
        source_url: Where the leaderboard will stand, for ``model-index.yml``.
        reload_seconds: How often an open page asks for itself again; never if None.

    Returns:
        The leaderboard and the files written.

    Raises:
        RecordError: No record can be read; an earlier report is untouched.
        MimBenchError: The disk refuses; an earlier report is untouched.
    """
    collection = collect(results)
    if not collection.records:
        damaged = ''.join(f'\n  {file.path}: {file.reason}' for file in collection.damaged)
        reason = f'every record is damaged:{damaged}' if damaged else 'no record.json below it.'
        raise RecordError(f'{results}: {reason}\nRun a task first, or give another folder.')
    board = build_leaderboard(collection)
    contents = {
        Path(out) / 'leaderboard.html': render_html(board, collection, reload_seconds),
        Path(out) / 'leaderboard.md': render_markdown(board),
        Path(out) / 'leaderboard.csv': render_csv(board),
        Path(out) / 'leaderboard.tex': render_latex(board),
        Path(out) / 'model-index.yml': render_model_index(board, source_url),
        Path(out) / 'published.csv': render_published_csv(board),
        Path(out) / 'runs.csv': render_runs_csv(board),
    }
    write_atomically({path: text.encode('utf-8') for path, text in contents.items()})
    return board, list(contents)
