from dataclasses import replace

import numpy as np
import pytest

from mim_bench.report import tables
from mim_bench.report.board import DASH
from mim_bench.report.build import build_leaderboard
from mim_bench.report.page import render_html
from mim_bench.report.tables import class_tables
from mim_bench.results.collection import collect
from mim_bench.results.outcomes import ClassAreas, Detections, ImageSet, MatchedDetections
from mim_bench.results.outcomes_file import write_outcomes
from mim_bench.results.record import Artifacts
from mim_bench.results.store import write_record
from mim_bench.testing.records import make_checkpoint, make_record

IMAGES = ImageSet(2, 'ab' * 32)
NAMES = ('wall', 'sky', '<img src=x onerror=alert(1)>')


def areas(intersection):
    """Two images: walls in both, sky in the second, the third class nowhere."""
    return ClassAreas(
        IMAGES,
        3,
        image=np.array([0, 1, 1]),
        category=np.array([0, 0, 1]),
        intersection=np.array(intersection),
        predicted=np.array([10, 10, 10]),
        labelled=np.array([10, 10, 10]),
        class_names=NAMES,
    )


def mean_iou(outcomes):
    return float(np.nanmean(outcomes.class_scores()['mIoU']))


@pytest.fixture
def collection_of(tmp_path):
    def build(*entries):
        """(checkpoint id, seed, outcomes) -> the collection of their runs."""
        for name, seed, outcomes in entries:
            record = make_record(
                'ade20k-upernet',
                {'mIoU': round(mean_iou(outcomes), 2)},
                make_checkpoint(id=name, sha256=f'{len(name):064x}'),
                seed=seed,
                run_id=f'{name}-s{seed}',
                artifacts=Artifacts(outcomes='outcomes.npz'),
            )
            write_record(record, tmp_path)
            write_outcomes(outcomes, tmp_path / record.run_id)
        return collect(tmp_path)

    return build


def class_table(board):
    (table,) = class_tables(board)
    return table


def test_class_scores_of_a_detector_by_hand():
    # Category 0: its one object is found first; category 1: one of two, after a wrong one.
    found = MatchedDetections(
        image=np.array([0, 0, 1]),
        category=np.array([0, 1, 1]),
        matched=np.array([1, 0, 1], dtype=np.uint16),
        ignored=np.zeros(3, dtype=np.uint16),
        truth_image=np.array([0, 0, 1]),
        truth_category=np.array([0, 1, 1]),
        truth_count=np.array([1, 1, 1]),
    )
    detections = Detections(IMAGES, 3, np.array([0.5]), {'bbox': found})
    scores = detections.class_scores()['bbox_mAP']
    # Precision 1/2 up to recall 1/2: at 51 of the 101 recalls.
    assert scores[:2] == pytest.approx([100.0, 100 * 51 * 0.5 / 101])
    assert np.isnan(scores[2])


def test_class_tables_hold_a_column_a_checkpoint_and_the_mean_of_its_seeds(collection_of):
    collection = collection_of(
        ('one', 0, areas([10, 10, 10])),
        ('one', 1, areas([0, 0, 0])),
        ('other', 0, areas([10, 10, 5])),
    )
    table = class_table(build_leaderboard(collection, []))
    assert table.title == 'UPerNet IoU: 3 classes'
    assert list(table.frame) == ['Class', 'other', 'one']
    assert table.frame.to_numpy().tolist() == [
        [NAMES[0], '100.0', '50.0'], [NAMES[1], '33.3', '50.0'], [NAMES[2], DASH, DASH],
    ]  # fmt: skip
    assert table.best.tolist() == [
        [True, False], [False, True], [False, False],
    ]  # fmt: skip


def test_class_tables_damaged_outcomes_are_named_and_left_out(collection_of, tmp_path):
    collection = collection_of(('one', 0, areas([9, 9, 9])), ('other', 0, areas([5, 5, 5])))
    (tmp_path / 'one-s0' / 'outcomes.npz').write_bytes(b'PK')
    board = build_leaderboard(collection)
    table = class_table(board)
    assert list(table.frame) == ['Class', 'other']
    assert [file.path for file in board.damaged] == ['one-s0/outcomes.npz']


def test_class_tables_show_the_best_rows_and_count_the_others(collection_of, monkeypatch):
    monkeypatch.setattr(tables, 'MOST_CHECKPOINTS', 2)
    entries = [('x' * (i + 1), 0, areas([10, 10, i])) for i in range(4)]
    collection = collection_of(*entries)
    table = class_table(build_leaderboard(collection, []))
    assert list(table.frame) == ['Class', 'xxxx', 'xxx']
    assert '2 further checkpoints not shown' in table.note


def test_class_tables_without_outcomes_are_none(board_of):
    record = make_record('ade20k-upernet', {'mIoU': 40.0})
    assert list(class_tables(board_of(record, replace(record, run_id='b', seed=1)))) == []


def test_render_html_class_names_stay_text(collection_of):
    collection = collection_of(('one', 0, areas([10, 5, 5])))
    page = render_html(build_leaderboard(collection))
    assert '<img src=x' not in page
    assert '&lt;img src=x onerror=alert(1)&gt;</th>' in page
