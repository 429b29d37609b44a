import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from mim_bench.cli._board_view import print_leaderboard
from mim_bench.files.hashing import protocol_hash
from mim_bench.published.numbers import load_published
from mim_bench.report import tables
from mim_bench.report.build import build_leaderboard
from mim_bench.report.formats import render_markdown, render_published_csv
from mim_bench.report.page import render_html
from mim_bench.results.collection import collect
from mim_bench.results.protocol_file import write_protocol
from mim_bench.results.record import Artifacts, Batch, ConfigFile, Metric, Protocol
from mim_bench.results.store import write_record
from mim_bench.testing.records import make_checkpoint, make_protocol, make_published, make_record

RESULT = make_published()
CONFIG = 'configs/classification/finetune_vit-base_8xb128-amp-mae-100e_in1k-224px.py'
MAE = make_checkpoint(
    id='vit-base.mae-1600e', method='mae', backbone='vit-base-p16', pretrain_epochs=1600
)
HOSTILE = '<img src=x onerror=alert(1)>'


def ours(value=83.7, checkpoint=MAE, name='in1k-ft-mae-100e', **changes):
    """A run of the very protocol that RESULT has."""
    task = changes.pop('task', 'in1k-ft')
    metric = changes.pop('metric', 'top1')
    tier = changes.pop('tier', 'full')
    config = ConfigFile(changes.pop('config', CONFIG), 'cd' * 32)
    protocol = make_protocol(name, tier=tier)
    return make_record(
        task, {metric: value}, checkpoint, protocol=protocol, config=config, **changes
    )


def words_of(pair):
    """The verdict, and what differs."""
    return ': '.join(filter(None, (pair.verdict, '; '.join(pair.differences))))


@pytest.fixture
def board_with(tmp_path):
    def build(records, results=(RESULT,)):
        for record in records:
            write_record(record, tmp_path / 'results')
        collection = collect(tmp_path / 'results')
        return build_leaderboard(collection, tuple(results))

    return build


@pytest.fixture
def verdict_of(board_with):
    """The verdict on one run beside one published result."""

    def run(record, result=RESULT):
        (pair,) = board_with([record], [result]).pairs
        return words_of(pair)

    return run


@pytest.mark.parametrize(
    ('value', 'verdict', 'difference'),
    [
        (83.7, 'reproduced', '+0.00'),
        (83.4, 'reproduced', '-0.30'),
        (84.0, 'reproduced', '+0.30'),
        (83.39, 'below', '-0.31'),
        (84.01, 'above', '+0.31'),
    ],
)
def test_verdict_of_top1_is_within_three_tenths(board_with, value, verdict, difference):
    (pair,) = board_with([ours(value)]).pairs
    assert (words_of(pair), f'{pair.difference:+.2f}') == (verdict, difference)


@pytest.mark.parametrize(
    ('task', 'metric', 'value', 'verdict'),
    [
        ('ade20k-upernet', 'mIoU', 47.6, 'reproduced'),
        ('ade20k-upernet', 'mIoU', 47.5, 'below'),
        ('coco-mask-rcnn', 'bbox_mAP', 48.4, 'reproduced'),
        ('coco-mask-rcnn', 'bbox_mAP', 48.5, 'above'),
        ('coco-mask-rcnn', 'segm_mAP', 47.7, 'below'),
    ],
)
def test_verdict_has_a_tolerance_for_each_kind_of_metric(verdict_of, task, metric, value, verdict):
    protocol = {'task': task, 'ours': 'p', 'epochs': None, 'resolution': None}
    result = make_published(metric=metric, value=48.1, protocol=protocol)
    assert verdict_of(ours(value, name='p', task=task, metric=metric, config=''), result) == verdict


def test_comparison_takes_the_mean_over_seeds(board_with):
    records = [ours(83.6), ours(84.2, seed=1, run_id='other')]
    (pair,) = board_with(records).pairs
    assert (round(pair.ours, 6), len(pair.runs), pair.difference) == (83.9, 2, 0.2)


@pytest.mark.parametrize(
    'change',
    [
        {'method': 'beit'},
        {'backbone': 'vit-large'},
        {'pretrain': {'epochs': 800}},
        {'metric': 'mIoU'},
        {'protocol': {'task': 'in1k-linear'}},
    ],
    ids=str,
)
def test_comparison_needs_same_method_backbone_epochs_task_metric(board_with, change):
    board = board_with([ours()], [make_published(**change)])
    assert not board.pairs


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'ours': None}, 'not known to be the same recipe'),
        ({'ours': 'in1k-ft-beit-100e'}, 'not known to be the same recipe'),
        ({'test': 'multi-scale'}, 'test single-scale here, multi-scale there'),
        ({'split': 'test-dev'}, 'split val here, test-dev there'),
        ({'init': 'after COCO-Stuff'}, 'start pre-trained weights here, after COCO-Stuff there'),
    ],
    ids=lambda case: str(case)[:30],
)
def test_verdict_other_protocol_says_what_differs(verdict_of, change, reason):
    result = make_published(protocol=change)
    assert verdict_of(ours(), result) == f'other protocol: {reason}'


@pytest.fixture
def verdict_with_settings(tmp_path):
    """The verdict on a run that kept the settings of its protocol."""

    def run(settings, result):
        protocol = Protocol('in1k-ft-mae-100e', '1', protocol_hash(settings), 'full')
        record = replace(
            ours(),
            protocol=protocol,
            artifacts=Artifacts(protocol='protocol.json'),
        )
        path = write_record(record, tmp_path / 'results')
        write_protocol(settings, path.parent)
        board = build_leaderboard(collect(tmp_path / 'results'), [result])
        (pair,) = board.pairs
        return words_of(pair)

    return run


def test_verdict_settings_of_the_protocol_count_more_than_the_name_of_the_config(
    verdict_with_settings,
):
    result = make_published(protocol={'epochs': 50})
    settings = {'train_cfg': {'max_epochs': 50}, 'effective_batch_size': 1024}
    assert verdict_with_settings(settings, result) == 'reproduced'
    result = make_published(protocol={'epochs': 50, 'batch': 2048})
    reason = 'batch 1,024 here, 2,048 there'
    assert verdict_with_settings(settings, result) == f'other protocol: {reason}'


def test_verdict_settings_of_another_protocol_are_not_taken(verdict_with_settings, tmp_path):
    result = make_published(protocol={'epochs': 50})
    path = tmp_path / 'results' / 'in1k-ft-vit-base.mae-1600e-s0'
    verdict_with_settings({'train_cfg': {'max_epochs': 50}}, result)
    (path / 'protocol.json').write_text('{"train_cfg": {"max_epochs": 60}}')
    (pair,) = build_leaderboard(collect(tmp_path / 'results'), [result]).pairs
    # Without settings the name of the protocol decides.
    assert words_of(pair) == 'reproduced'


def test_verdict_augmented_test_is_held_against_a_multi_scale_one_only(verdict_of):
    record = ours(name='in1k-ft-mae-100e-tta')
    assert verdict_of(record, make_published(protocol={'test': 'multi-scale'})) == 'reproduced'
    assert verdict_of(record) == 'other protocol: test multi-scale here, single-scale there'


@pytest.mark.parametrize('tier', ['smoke', 'proxy'])
def test_verdict_lower_tier_is_never_compared(verdict_of, tier):
    assert verdict_of(ours(tier=tier)) == f'other protocol: tier {tier} here, full there'


def test_verdict_one_seed_with_another_batch_hinders_comparing(board_with):
    batch = Batch(1, 128, 1, 128, 1024, 'off', 'linear', 1.0, 2e-3)
    records = [ours(batch=batch), ours(seed=1, run_id='b', batch=batch), ours(seed=2, run_id='c')]
    (pair,) = board_with(records).pairs
    assert list(pair.differences) == ['batch 128 here, 1,024 in the recipe']


def test_verdict_recipe_changed_by_hand_is_not_compared(verdict_of):
    record = replace(ours(), config=ConfigFile(CONFIG, 'cd' * 32, changed=True))
    assert verdict_of(record) == 'other protocol: settings changed by hand here'


def test_verdict_collected_run_is_not_compared(verdict_of):
    reason = 'collected here, so its settings may have been changed'
    assert verdict_of(ours(origin='collected')) == f'other protocol: {reason}'


def test_comparison_needs_the_same_unit(board_with):
    record = ours(0.837)
    metrics = {'top1': replace(record.metrics['top1'], unit='')}
    assert not board_with([replace(record, metrics=metrics)]).pairs


def test_verdict_batch_kept_by_accumulation_is_compared(verdict_of):
    batch = Batch(1, 128, 8, 1024, 1024, 'accumulate', 'linear', 1.0, 2e-3)
    assert verdict_of(ours(batch=batch)) == 'reproduced'


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'epochs': None}, 'pre-training epochs not stated there'),
        ({'epochs': 3200, 'counts_views': True}, 'pre-training epochs there may count views'),
        ({'labels': 'ImageNet-22K'}, 'labels seen there: ImageNet-22K'),
    ],
    ids=str,
)
def test_verdict_other_pretraining_says_what_differs(verdict_of, change, reason):
    assert verdict_of(ours(), make_published(pretrain=change)) == f'other protocol: {reason}'


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'pretrain_data': 'in22k'}, 'pre-training data ImageNet-22K here, ImageNet-1K there'),
        ({'pretrain_data': None}, 'pre-training data not known here, ImageNet-1K there'),
        ({'labels': ['in22k']}, 'labels seen here: ImageNet-22K'),
        ({'labels': None}, 'not known whether labels were seen here'),
    ],
    ids=str,
)
def test_verdict_pretraining_of_ours_says_what_differs(verdict_of, change, reason):
    assert verdict_of(ours(checkpoint=replace(MAE, **change))) == f'other protocol: {reason}'


@pytest.mark.parametrize('method', ['random', 'supervised-in1k'])
def test_verdict_without_mim_needs_no_epochs(verdict_of, method):
    result = make_published(method=method, pretrain={'epochs': None})
    checkpoint = replace(MAE, method=method, pretrain_epochs=None)
    assert verdict_of(ours(checkpoint=checkpoint), result) == 'reproduced'


@pytest.mark.parametrize(
    ('checkpoint_id', 'verdicts'),
    [
        ('swin.localmim-hog-400e', {'hog': 'reproduced', 'pixel': 'hog here, pixel there'}),
        ('swin.localmim-pixel', {'hog': 'pixel here, hog there', 'pixel': 'reproduced'}),
        ('swin.localmim', {'hog': 'not named here', 'pixel': 'not named here'}),
    ],
)
def test_verdict_variant_is_that_of_the_id_of_the_checkpoint(board_with, checkpoint_id, verdicts):
    results = [make_published(variant=variant) for variant in ('hog', 'pixel')]
    board = board_with([ours(checkpoint=replace(MAE, id=checkpoint_id))], results)
    found = {p.result.variant: words_of(p) for p in board.pairs}
    assert all(words in found[variant] for variant, words in verdicts.items()), found


def test_comparison_linear_probe_by_a_classifier_has_the_same_metric(verdict_of):
    protocol = {'task': 'in1k-linear', 'ours': 'in1k-linear-mae-90e'}
    result = make_published(value=67.8, protocol=protocol)
    record = ours(67.7, name='in1k-linear-mae-90e', task='in1k-linear', config='')
    assert verdict_of(record, result) == 'reproduced'


def test_comparison_of_a_failed_run_does_not_exist(board_with):
    assert not board_with([ours(error='loss is nan')]).pairs


def test_comparison_ours_on_another_split_is_not_compared(verdict_of):
    record = replace(ours(), metrics={'top1': Metric(83.7, '%', True, 'test')})
    assert verdict_of(record) == 'other protocol: split test here, val there'


def test_packaged_numbers_stand_beside_a_run_of_ours(board_with):
    pairs = board_with([ours(83.5)], load_published()).pairs
    verdicts = {(p.result.label, p.result.value): words_of(p) for p in pairs}
    official = 'facebookresearch/mae@efb2a80, FINETUNE.md'
    assert verdicts[official, 83.664] == verdicts[official, 83.57] == 'reproduced'
    own = 'open-mmlab/mmpretrain@ee7f2e8, configs/mae/metafile.yml'
    assert verdicts[own, 83.5] == 'other protocol: not known to be the same recipe'


def test_render_html_marks_published_and_links_its_source(board_with):
    text = render_html(board_with([ours(83.9)]))
    section = text[text.index('id="published"') : text.index('id="protocols"')]
    assert '<a href="https://github.com/owner/mae/blob/ababab' in section
    assert '<td class="number">83.90</td>' in section
    assert '<td class="number">+0.20</td>' in section
    assert '<span class="chip reproduced">reproduced</span>' in section
    assert 'owner/mae@abababa, FINETUNE.md' in section
    assert '<small>ViT-B | 83.7</small>' in section


def test_renderers_keep_hostile_text_as_text(board_with):
    protocol = {'command': '=HYPERLINK("x")', 'note': HOSTILE}
    result = make_published(protocol=protocol, note=HOSTILE, row=HOSTILE, by=HOSTILE)
    board = board_with([ours()], [result])
    assert HOSTILE not in render_html(board)
    assert '&lt;img src=x' in render_html(board)
    assert HOSTILE not in render_markdown(board)
    (line,) = csv.DictReader(io.StringIO(render_published_csv(board)))
    assert line['protocol_command'] == '\'=HYPERLINK("x")'


def test_render_markdown_has_a_line_for_each_comparison(board_with, lines_of):
    text = render_markdown(board_with([ours(83.2)]))
    (line,) = [line for line in lines_of(text) if 'FINETUNE.md' in line]
    assert '| Fine-tune top-1 | 83.20 | 83.7 | -0.50 | below |' in line
    assert 'owner/mae@abababa, FINETUNE.md](https://github.com/owner/mae/blob/' in line
    assert 'within 0.3 points of top-1, 0.5 of mIoU or 0.3 of AP' in text


def test_render_markdown_without_comparisons_says_nothing(board_with):
    assert 'published' not in render_markdown(board_with([ours()], []))


def test_renderers_show_the_first_pairs_and_count_the_rest(board_with, monkeypatch):
    monkeypatch.setattr(tables, 'MOST_PAIRS', 2)
    files = [f'table-{number}' for number in range(5)]
    board = board_with([ours()], [make_published(file=file) for file in files])
    console = Console(width=200, file=io.StringIO(), color_system=None)
    print_leaderboard(board, console)
    for text in (render_html(board), render_markdown(board), console.file.getvalue()):
        assert '3 further pairs in published.csv.' in text
    assert render_markdown(board).count('@abababa, table-') == 2
    lines = list(csv.DictReader(io.StringIO(render_published_csv(board))))
    assert len(lines) == len(files)


def test_render_published_csv_has_pairs_first_and_then_all_others(board_with):
    other = make_published(method='beit', value=83.2)
    board = board_with([ours(83.9)], [other, RESULT])
    pair, rest = csv.DictReader(io.StringIO(render_published_csv(board)))
    assert (pair['ours'], pair['value'], pair['difference']) == ('83.9', '83.7', '0.2')
    assert (pair['verdict'], pair['checkpoint']) == ('reproduced', 'vit-base.mae-1600e')
    assert pair['link'].endswith('/FINETUNE.md')
    assert (pair['row'], pair['protocol_epochs'], pair['pretrain_labels']) == (
        'ViT-B | 83.7',
        '100',
        'none',
    )
    assert (rest['method'], rest['ours'], rest['verdict']) == ('beit', '', '')


@pytest.mark.parametrize('width', [60, 200])
def test_print_leaderboard_shows_ours_published_and_difference(board_with, width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_leaderboard(board_with([ours(83.2)]), console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for part in ('83.20', '83.7', '-0.50', 'below'):
        assert part in text
