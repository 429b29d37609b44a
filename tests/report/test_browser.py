"""The page in a real browser: it sorts, filters, fits a phone, keeps its state in the address."""

import csv
import os
import shutil
from dataclasses import dataclass, field, replace
from functools import cache
from unittest.mock import patch

import pytest
from PIL import Image

from mim_bench.report import page as page_module
from mim_bench.report.write import write_report
from mim_bench.results.record import Artifacts
from mim_bench.results.store import record_to_json
from mim_bench.testing.many_records import write_many_records
from mim_bench.testing.records import (
    make_checkpoint,
    make_pretraining_record,
    make_protocol,
    make_record,
)

pytest.importorskip('playwright', reason='playwright is not installed')
# A headless Chromium of the system: that of MIM_BENCH_CHROMIUM, else the first one found.
OWN = os.environ.get('MIM_BENCH_CHROMIUM')
NAMES = (OWN,) if OWN else ('chromium', 'chromium-browser', 'google-chrome')
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='no Chromium: apt-get install chromium')

IMAGE = '<img src=x onerror=alert(1)>'
FORMULA = '=HYPERLINK("http://x")'
# Fewer than a page shows at first, since a page of hundreds takes a second for each test.
ROWS_SHOWN = 32
NUM_ROWS = ROWS_SHOWN + 10
PAGE = 'leaderboard.html'


def write_plainly(record, folder):
    """Without a sync to the disk for each."""
    path = folder / record.run_id / 'record.json'
    path.parent.mkdir(parents=True)
    path.write_text(record_to_json(record), 'utf-8')


def awkward_records():
    """Rows with names that are markup, formulas and other scripts, and very many plain ones."""
    names = [IMAGE, FORMULA, 'モデル größe', 'long-name-' * 20, '"><script>alert(2)</script>']
    names += [f'plain-{number:03d}' for number in range(NUM_ROWS - len(names))]
    full, smoke = make_protocol('in1k-ft'), make_protocol('in1k-knn', tier='smoke')
    for number, name in enumerate(names):
        method = ('mae', 'simmim', FORMULA)[number % 3]
        backbone = ('vit-base', 'swin-tiny')[number % 2]
        checkpoint = make_checkpoint(
            id=name, method=method, backbone=backbone, sha256=f'{number:064x}', pretrain_epochs=800
        )
        changes = {'checkpoint': checkpoint, 'run_id': f'run-{number}'}
        ft = make_record('in1k-ft', {'top1': 60 + number / 10}, protocol=full, **changes)
        failed = {'status': 'failed', 'metrics': {}, 'primary_metric': None, 'error': IMAGE}
        yield ft if number else replace(ft, **failed)
        if number % 2:
            knn = make_record('in1k-knn', {'knn_top1': 50 - number / 10}, protocol=smoke, **changes)
            yield replace(knn, run_id=f'knn-{number}')
        yield make_pretraining_record(checkpoint, run_id=f'pre-{number}', artifacts=Artifacts())


@pytest.fixture(scope='module')
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp('board')
    for record in awkward_records():
        write_plainly(record, folder / 'results')
    with patch.dict(page_module._environment().globals, rows_shown=ROWS_SHOWN):
        write_report(folder / 'results', folder)
    return (folder / PAGE).as_uri()


@pytest.fixture(scope='module')
def browser():
    from playwright.sync_api import sync_playwright

    # Its sandbox refuses to run as root, which containers do; the pages are our own.
    arguments = ['--no-sandbox'] if os.geteuid() == 0 else []
    arguments.append('--renderer-process-limit=1')  # all pages in one process
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@dataclass
class Heard:
    """All that a page said or asked for."""

    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def listen(self, page):
        page.on('console', lambda message: self.messages.append(message.text))
        page.on('pageerror', lambda error: self.messages.append(str(error)))
        page.on('dialog', self._dismiss)
        page.on('request', lambda request: self.requests.append(request.url))

    def _dismiss(self, dialog):
        self.messages.append(f'dialog: {dialog.message}')
        dialog.dismiss()


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture(scope='module')
def context_of(browser):
    """Contexts by their settings: a new one for each test would take half of its time."""

    @cache
    def make(width, scheme):
        context = browser.new_context(
            viewport={'width': width, 'height': 844}, color_scheme=scheme, offline=True
        )
        context.set_default_timeout(10_000)
        return context

    return make


@pytest.fixture
def open_page(context_of, heard):
    """Opens pages, and afterwards holds them to silence."""
    pages = []

    def open_one(address, width=1280, scheme='light'):
        page = context_of(width, scheme).new_page()
        pages.append(page)
        heard.listen(page)
        page.goto(address)
        return page

    yield open_one
    for page in pages:
        page.close()
    assert heard.messages == []


def names(page, part='own'):
    """The rows that a reader sees, by the labels of their checkpoints."""
    table = page.locator('table.sortable').first
    labels = f'tbody[data-part={part}] tr:visible .name .label'
    return table.locator(labels).all_inner_texts()


def heading(page, metric):
    return page.locator(f'table.sortable button[data-column$=".{metric}"]').first


def counted(page):
    return page.locator('.filters output').inner_text()


def shows(page, text):
    """Waits for the filter, which does not answer every key at once."""
    page.wait_for_function(
        'text => document.querySelector(".filters output").textContent === text', arg=text
    )


def address_has(page, text):
    # As a function: the page's policy forbids to evaluate text.
    page.wait_for_function('text => location.hash.includes(text)', arg=text)


def test_page_shows_awkward_names_as_text_and_asks_for_nothing(open_page, heard, address):
    page = open_page(address)
    assert heard.requests == [address]
    page.fill('[name=q]', 'img src')
    shows(page, f'1 of {NUM_ROWS} checkpoints')
    assert names(page) == [IMAGE]
    assert page.locator('img').count() == 0
    assert page.locator('script').count() == 1


def test_page_shows_the_first_rows_and_more_on_demand(open_page, address):
    page = open_page(address)
    assert len(names(page)) == ROWS_SHOWN
    more = page.locator('[data-more=own]').first
    assert more.inner_text().split('\n')[-1].endswith(f'{ROWS_SHOWN} of {NUM_ROWS} shown')
    more.locator('button').click()
    assert len(names(page)) == NUM_ROWS
    assert not more.is_visible()


def test_heading_click_sorts_and_says_so(open_page, address):
    page = open_page(address)
    best = f'plain-{NUM_ROWS - 6:03d}'
    assert names(page)[0] == best
    button = heading(page, 'top1')
    button.click()
    assert button.locator('..').get_attribute('aria-sort') == 'descending'
    button.click()
    assert button.locator('..').get_attribute('aria-sort') == 'ascending'
    assert names(page)[0] == FORMULA
    page.locator('[data-more=own] button').first.click()
    # The failed one has no value: it stays last in both directions.
    assert names(page)[-1] == IMAGE
    button.click()
    assert (names(page)[0], names(page)[-1]) == (best, IMAGE)


@pytest.mark.parametrize('key', ['Enter', ' '])
def test_heading_sorts_by_keyboard_with_a_visible_focus(open_page, address, key):
    page = open_page(address)
    page.locator('.filters summary').focus()
    page.keyboard.press('Tab')  # the scrolling region
    page.keyboard.press('Tab')  # the first heading
    focused = page.evaluate_handle('document.activeElement').as_element()
    assert focused.get_attribute('data-column') == 'name'
    assert page.evaluate('e => getComputedStyle(e).outlineStyle', focused) == 'solid'
    page.keyboard.press(key)
    assert page.evaluate('e => e.parentElement.ariaSort', focused) == 'ascending'
    shown = page.locator('table.sortable').first.locator('tbody[data-part=own] tr:visible th')
    assert shown.first.inner_text().startswith('=HYPERLINK')


def test_search_finds_rows_by_all_words(open_page, address):
    page = open_page(address)
    page.fill('[name=q]', 'SimMIM  Swin-Tiny plain-01')
    address_has(page, 'q=')
    wanted = [f'plain-{n - 5:03d}' for n in range(5, NUM_ROWS) if n % 6 == 1 and 10 <= n - 5 < 20]
    assert sorted(names(page)) == wanted
    page.click('button[type=reset]')
    shows(page, f'{NUM_ROWS} of {NUM_ROWS} checkpoints')


def test_filters_stand_in_the_address_and_outlive_a_reload(open_page, address):
    page = open_page(address)
    page.select_option('[name=method]', 'SimMIM')
    page.select_option('[name=tier]', 'smoke')
    address_has(page, 'tier=')
    heading(page, 'knn_top1').click()
    heading(page, 'knn_top1').click()
    before = names(page), counted(page)
    assert before[1] == f'{NUM_ROWS // 6} of {NUM_ROWS} checkpoints'
    again = open_page(page.url)
    assert (names(again), counted(again)) == before
    assert not heading(again, 'top1').is_visible()
    assert heading(again, 'knn_top1').locator('..').get_attribute('aria-sort') == 'ascending'


def test_task_and_column_boxes_hide_columns_and_rows_without_results(open_page, address):
    page = open_page(address)
    page.select_option('[name=task]', 'in1k-knn')
    shows(page, f'{NUM_ROWS // 2} of {NUM_ROWS} checkpoints')
    assert not heading(page, 'top1').is_visible()
    page.click('button[type=reset]')
    shows(page, f'{NUM_ROWS} of {NUM_ROWS} checkpoints')
    page.locator('.filters summary').click()
    page.locator('[name=group][data-task=in1k-knn]').uncheck()
    address_has(page, 'hide=in1k-knn')
    assert heading(page, 'top1').is_visible()
    assert not heading(page, 'knn_top1').is_visible()


def test_published_rows_stand_apart_and_can_be_hidden(open_page, address):
    page = open_page(address)
    assert names(page, 'published')
    heading(page, 'top1').click()
    parts = page.locator('tr[data-row^=p]').locator('xpath=..')
    assert {part.get_attribute('data-part') for part in parts.all()} == {'published'}
    page.uncheck('[name=published]')
    address_has(page, 'published=0')
    assert names(page, 'published') == []
    assert not page.locator('.divider').is_visible()


def test_charts_and_their_legend_follow_the_filters(open_page, address):
    page = open_page(address)
    page.fill('[name=q]', 'plain-001')  # without k-NN, so that one chart has it
    shows(page, f'1 of {NUM_ROWS} checkpoints')
    for what in ('.mark', '.legend li'):
        assert page.locator(f'#cost {what}:visible').count() == 1


def test_a_link_to_a_failed_run_leads_there_and_keeps_the_rows(open_page, address):
    page = open_page(address)
    page.fill('[name=q]', 'onerror')
    shows(page, f'1 of {NUM_ROWS} checkpoints')
    page.locator('td a.failed:visible').first.click()
    assert page.url.endswith('#failed-1')
    assert names(page) == [IMAGE]


def test_page_on_a_phone_scrolls_only_downwards(open_page, address):
    page = open_page(address, width=390)
    for summary in page.locator('summary').all():
        summary.click()
    assert page.evaluate('document.documentElement.scrollWidth') == 390
    assert page.locator('.filters [name=q]').is_visible()


@pytest.mark.parametrize(('scheme', 'is_dark'), [('light', False), ('dark', True)])
def test_page_follows_the_colour_scheme(open_page, address, scheme, is_dark):
    page = open_page(address, scheme=scheme)
    colours = page.evaluate(
        '() => ["backgroundColor", "color"].map(name => getComputedStyle(document.body)[name])'
    )
    paper, ink = (sum(map(int, colour[4:-1].split(','))) / 3 for colour in colours)
    assert (paper < ink) == is_dark
    assert abs(paper - ink) > 180


@pytest.mark.slow
def test_page_of_20000_records_opens_sorts_and_filters(open_page, tmp_path):
    write_many_records(tmp_path / 'results', 20_000)
    write_report(tmp_path / 'results', tmp_path)
    page = open_page((tmp_path / PAGE).as_uri())
    assert len(names(page)) == page_module.ROWS_SHOWN
    seconds = page.evaluate('performance.getEntriesByType("navigation")[0].loadEventEnd / 1000')
    assert seconds < 15
    heading(page, 'top1').click()
    page.select_option('[name=method]', 'SymMIM')
    address_has(page, 'method=SymMIM')
    assert all('symmim' in name for name in names(page))


@pytest.fixture(scope='module')
def merged_address(tmp_path_factory):
    """Two folders with a large and a small backbone, one of random weights."""
    folder = tmp_path_factory.mktemp('merged')
    sizes = {'mae': 86_000_000, 'simmim': 28_000_000, 'random': 28_000_000}
    for name in ('ours', 'theirs'):
        for number, (method, params) in enumerate(sizes.items()):
            checkpoint = make_checkpoint(
                id=method, method=method, params=params,
                sha256=None if method == 'random' else f'{number:064x}',
            )  # fmt: skip
            value = 50.0 + number + (name == 'theirs') / 10
            record = make_record(metrics={'knn_top1': value}, checkpoint=checkpoint)
            write_plainly(record, folder / name / 'results')
    write_report([folder / name / 'results' for name in ('ours', 'theirs')], folder)
    return (folder / PAGE).as_uri()


def test_merged_page_orders_filters_by_size_and_folder(open_page, merged_address):
    page = open_page(merged_address)
    order = ['simmim (theirs)', 'simmim (ours)', 'mae (theirs)', 'mae (ours)']
    baselines = ['random (theirs)', 'random (ours)']
    assert names(page) == [*order, *baselines]
    assert page.locator('tr.baseline td.best').count() == 0
    page.select_option('[name=folder]', 'ours')
    shows(page, '3 of 6 checkpoints')
    page.select_option('[name=size]', '50 to 150 M')
    shows(page, '1 of 6 checkpoints')
    assert names(page) == ['mae (ours)']
    address_has(page, 'size=50')
    again = open_page(page.url)
    assert names(again) == ['mae (ours)']


def test_page_saves_what_it_shows_as_csv(open_page, merged_address):
    page = open_page(merged_address)
    page.select_option('[name=folder]', 'theirs')
    page.uncheck('[name=published]')
    shows(page, '3 of 6 checkpoints')
    with page.expect_download() as download:
        page.click('[data-download=csv]')
    assert download.value.suggested_filename == 'leaderboard.csv'
    lines = list(csv.DictReader(download.value.path().open(newline='')))
    fields = ('Checkpoint', 'k-NN top-1 (%) ↑', 'Params (M)')
    assert [tuple(line[field] for field in fields) for line in lines] == [
        ('simmim (theirs)', '51.1', '28.0'),
        ('mae (theirs)', '50.1', '86.0'),
        ('random (theirs)', '52.1', '28.0'),
    ]


def test_page_saves_what_it_shows_as_a_picture(open_page, merged_address):
    page = open_page(merged_address)
    with page.expect_download() as download:
        page.click('[data-download=png]')
    box = page.locator('table.sortable').first.bounding_box()
    with Image.open(download.value.path()) as picture:
        assert picture.format == 'PNG'
        assert picture.size == (-(-2 * box['width'] // 1), -(-2 * box['height'] // 1))
        # Text on paper: neither empty nor filled.
        dark = sum(picture.convert('L').histogram()[:128]) / (picture.width * picture.height)
        assert 0.005 < dark < 0.3


def test_saved_csv_holds_no_formula(open_page, address):
    page = open_page(address)
    page.fill('[name=q]', 'hyperlink')
    address_has(page, 'q=')
    with page.expect_download() as download:
        page.click('[data-download=csv]')
    rows = list(csv.reader(download.value.path().open(newline='')))
    cells = [cell for row in rows for cell in row]
    assert "'" + FORMULA in cells
    assert not any(cell.startswith('=') for cell in cells)
