import pytest

from mim_bench.suite.config_index import CONFIGS
from mim_bench.suite.config_tables import MARK, TOOL, settings_source, stale_tables

CONFIG = """# A recipe (owner/name@1234567, configs/
# file.py): 12 epochs.
protocol = dict(task='coco-mask-rcnn', name='coco-mask-rcnn-cae-12e', version='1', tier='full')
"""


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / 'detection' / 'mask_rcnn'
    place.mkdir(parents=True)
    (place / 'mask-rcnn_beit-vit-base_x.py').write_text(CONFIG)
    (place / 'mask-rcnn_vit-base_x.py').write_text("_base_ = './mask-rcnn_beit-vit-base_x.py'\n")
    return place


def rows_of(text):
    return [line.strip('| ').split(' | ') for line in text.splitlines() if line.startswith('| [')]


def test_every_folder_of_configs_has_its_table():
    stale = [path.relative_to(CONFIGS).as_posix() for path in stale_tables()]
    assert stale == [], f'run python {TOOL}'
    folders = {path.parent for path in CONFIGS.rglob('*_*.py')}
    wanted = {f for f in folders if '_base_' not in f.relative_to(CONFIGS).parts}
    assert {path.parent for path in CONFIGS.rglob('README.md')} == wanted


def test_stale_tables_give_a_row_a_config_with_source_and_published_number(folder):
    (text,) = stale_tables(folder.parents[1]).values()
    beit, plain = rows_of(text)
    assert beit[0] == '[mask-rcnn_beit-vit-base_x](mask-rcnn_beit-vit-base_x.py)'
    assert beit[1:3] == [
        '`coco-mask-rcnn-cae-12e`',
        'A recipe (owner/name@1234567, configs/file.py): 12 epochs.',
    ]
    assert 'Box AP 48.3, Mask AP 42.7 (CAE, 300 epochs; Atten4Vis/CAE@a7fd162' in beit[3]
    # CAE's network has BEiT's kind of attention.
    assert plain[2:] == ['As mask-rcnn_beit-vit-base_x.', '-']


def test_stale_tables_keep_what_stands_above_the_mark(folder):
    (folder / 'README.md').write_text(f'# Title\n\nBy hand.\n\n{MARK}\n\nold')
    ((path, text),) = stale_tables(folder.parents[1]).items()
    assert text.startswith(f'# Title\n\nBy hand.\n\n{MARK}\n\n| config')
    path.write_text(text)
    assert stale_tables(folder.parents[1]) == {}


def test_settings_source_joins_a_path_over_two_lines(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text('# One a/\n# b.py\n# two.\nx = 1\n# Not this.\n')
    assert settings_source(path) == 'One a/b.py two.'
