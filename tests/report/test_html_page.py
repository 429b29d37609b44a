import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from mim_bench.report import page as html
from mim_bench.report.build import build_leaderboard
from mim_bench.results.collection import collect
from mim_bench.results.record import Artifacts, Curve, Picture
from mim_bench.results.store import write_curves, write_record
from mim_bench.testing.records import make_checkpoint, make_pretraining_record, make_record

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
VOID = {'meta', 'img', 'link', 'br', 'input'}


class _Page(HTMLParser):
    """The elements of a page; refuses tags that do not close in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ''
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture
def page_of(tmp_path):
    def render(*records):
        for record in records:
            write_record(record, tmp_path / 'results')
        return html.render_html(build_leaderboard(collect(tmp_path / 'results'), []))

    return render


def _save_picture(tmp_path, record, name='0.png', size=(24, 8)):
    path = tmp_path / 'results' / record.run_id / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, (200, 30, 30)).save(path)


def _with_pictures(*names):
    shown = [Picture(name, 'reconstruction', f'caption of {name}') for name in names]
    return make_pretraining_record(artifacts=Artifacts(None, shown))


def test_render_html_needs_nothing_from_outside(page_of, tmp_path):
    record = _with_pictures('0.png')
    _save_picture(tmp_path, record)
    page = _Page(page_of(record, make_record()))
    for tag, attrs in page.elements:
        # A link waits for a click; anything else is fetched at once.
        allowed = ('#', 'https://', 'runs.csv') if tag == 'a' else ('#', 'data:image/')
        for name in ('src', 'href', 'action', 'data'):
            target = attrs.get(name)
            assert target is None or target.startswith(allowed)
    assert page.all('link') == []


def test_render_html_policy_names_the_style_and_script_of_the_page(page_of):
    text = page_of(make_record())
    policy = _Page(text).all('meta')[1]['content']
    for tag in ('style', 'script'):
        content = re.search(f'<{tag}>(.*?)</{tag}>', text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_render_html_hostile_names_stay_text(page_of, tmp_path):
    checkpoint = make_checkpoint(id=HOSTILE, method=HOSTILE, backbone=HOSTILE)
    shown = [Picture('0.png', 'detection', HOSTILE)]
    record = make_record(
        HOSTILE,
        {HOSTILE: 1.0},
        checkpoint,
        run_id='<img src=x onerror=alert(1)>',
        artifacts=Artifacts(None, shown),
    )
    _save_picture(tmp_path, record)
    page = _Page(page_of(record, make_record('in1k-ft', error=HOSTILE)))
    assert len(page.all('script')) == 1
    assert [attrs['src'][:11] for attrs in page.all('img')] == ['data:image/']
    assert not any(name.startswith('on') for _, attrs in page.elements for name in attrs)
    assert HOSTILE in page.text


def test_render_html_cells_carry_unrounded_values_and_their_run(page_of):
    page = _Page(page_of(make_record(metrics={'knn_top1': 51.123456})))
    (cell,) = [attrs for attrs in page.all('td') if attrs.get('data-value') == '51.123456']
    assert 'in1k-knn-swin-tiny.ummae-10e-s0, seed 0, 2026-01-01' in cell['title']


def test_render_html_facts_that_no_row_knows_are_no_numbers(page_of):
    checkpoint = make_checkpoint(params=None, img_size=None, pretrain_epochs=None)
    page = _Page(page_of(make_record(checkpoint=checkpoint)))
    row, *_ = [a for a in page.all('tr') if a.get('data-row') == '0']
    assert row['data-size'] == 'not known'
    values = {a['data-value'] for a in page.all('td') if 'data-value' in a}
    assert all(value.replace('.', '').isdigit() for value in values)


def test_render_html_failed_cell_leads_to_its_error(page_of):
    page = _Page(page_of(make_record(error='loss is nan')))
    assert any(a.get('href') == '#failed-1' for a in page.all('a'))
    assert any(a.get('id') == 'failed-1' for a in page.all('tr'))
    assert 'loss is nan' in page.text


def test_render_html_every_inner_link_has_its_target(page_of):
    page = _Page(page_of(make_record(), make_pretraining_record(), make_record('x', error='boom')))
    ids = {attrs['id'] for _, attrs in page.elements if 'id' in attrs}
    inner = {a['href'][1:] for a in page.all('a') if a['href'].startswith('#')}
    assert inner <= ids


def test_render_html_draws_curves_with_legend_and_ticks(page_of, tmp_path):
    record = make_pretraining_record(artifacts=Artifacts('curves.json'))
    curves = [
        Curve('loss', 'epoch', [[1, 0.9], [2, 0.5]]),
        Curve('knn_top1', 'epoch', [[1, 40.0], [2, 60.0]]),
        Curve('nothing', 'epoch', []),
    ]
    write_curves(curves, tmp_path / 'results' / record.run_id)
    page = _Page(page_of(record))
    for text in ('Pre-training loss of UM-MAE', 'k-NN top-1 during pre-training', 'Epoch 2: 60'):
        assert text in page.text
    labels = [a.get('aria-label') for a in page.all('svg') if a.get('role') == 'img']
    assert labels == [
        'k-NN top-1 during pre-training: k-NN top-1 (%) over Epoch',
        'Pre-training loss of UM-MAE: Loss over Epoch',
    ]


def test_render_html_damaged_curves_and_pictures_are_named(page_of):
    shown = [Picture('missing.png', 'detection', 'x')]
    record = make_record(artifacts=Artifacts('curves.json', shown))
    page = _Page(page_of(record))
    assert f'{record.run_id}: curves' in page.text
    assert f'{record.run_id}: missing.png' in page.text
    assert page.all('img') == []


def test_render_html_picture_that_is_cut_off_is_named(page_of, tmp_path):
    record = _with_pictures('0.png')
    _save_picture(tmp_path, record, size=(64, 64))
    path = tmp_path / 'results' / record.run_id / '0.png'
    path.write_bytes(path.read_bytes()[:60])
    assert '0.png: no picture that can be read' in page_of(record)


def test_render_html_more_pictures_than_fit_are_counted(page_of, tmp_path):
    names = [f'{index}.png' for index in range(html.MOST_PER_ROW + 2)]
    record = _with_pictures(*names)
    for name in names:
        _save_picture(tmp_path, record, name)
    page = _Page(page_of(record))
    assert len(page.all('img')) == html.MOST_PER_ROW
    assert '2 more pictures in the folders' in page.text


def test_embed_picture_large_noise_is_shrunk(tmp_path):
    path = tmp_path / 'noise.png'
    Image.effect_noise((1400, 700), 90).save(path)
    kind, _, data = html.embed_picture(path)[0].partition(';base64,')
    assert kind == 'data:image/jpeg'
    with Image.open(io.BytesIO(base64.b64decode(data))) as shown:
        assert shown.size == (html.LONGEST_SIDE, html.LONGEST_SIDE // 2)


def test_embed_picture_small_one_is_kept_exactly(tmp_path):
    path = tmp_path / 'small.png'
    Image.effect_noise((40, 20), 90).convert('RGB').save(path)
    uri, _ = html.embed_picture(path)
    shown = Image.open(io.BytesIO(base64.b64decode(uri.partition(';base64,')[2])))
    assert shown.tobytes() == Image.open(path).tobytes()


def test_render_html_shows_pictures_of_the_best_rows_of_each_kind(page_of, tmp_path, monkeypatch):
    monkeypatch.setattr(html, 'MOST_ROWS', 3)
    records = []
    for index in range(5):
        shown = [Picture('0.png', kind, 'caption') for kind in ('segmentation', 'detection')]
        record = make_record(
            metrics={'knn_top1': 10.0 + index},
            checkpoint=make_checkpoint(id=f'c{index}', sha256=f'{index:064x}'),
            run_id=f'r{index}', artifacts=Artifacts(None, shown),
        )  # fmt: skip
        _save_picture(tmp_path, record)
        records.append(record)
    page = _Page(page_of(*records))
    kinds = [attrs['alt'].split(' of ')[0] for attrs in page.all('img')]
    assert kinds == ['Segmentations'] * 3 + ['Detections'] * 3
