import pytest

from mim_bench.data.checks.options import REAL_COUNTS, CheckOptions, expected, locate, parse_expect
from mim_bench.errors import ConfigError, DataError


def test_expected_without_manifest_is_the_real_dataset(tmp_path):
    wanted = expected('imagenet', tmp_path, CheckOptions())

    assert wanted.counts == {'train': 1_281_167, 'val': 50_000}
    assert not wanted.is_toy
    assert REAL_COUNTS['ade20k'] == {'train': 20_210, 'val': 2_000}
    assert REAL_COUNTS['coco'] == {'train': 118_287, 'val': 5_000}


@pytest.mark.parametrize(
    ('dataset', 'folder', 'counts'),
    [
        ('imagenet', 'imagenet', {'train': 40, 'val': 20}),
        ('ade20k', 'ade/ADEChallengeData2016', {'train': 8, 'val': 4}),
        ('coco', 'coco', {'train': 8, 'val': 4}),
    ],
)
def test_expected_below_a_manifest_is_the_embedded_dataset(toy_root, dataset, folder, counts):
    wanted = expected(dataset, toy_root / folder, CheckOptions())

    assert wanted.counts == counts
    assert wanted.is_toy


def test_expected_option_wins_over_the_manifest(toy_root):
    wanted = expected('coco', toy_root / 'coco', CheckOptions(expect={'val': 3}))

    assert wanted.counts == {'val': 3}
    assert wanted.is_toy


def test_parse_expect_reads_one_or_both_splits():
    assert parse_expect('train=100,val=20') == {'train': 100, 'val': 20}
    assert parse_expect('val=7') == {'val': 7}


@pytest.mark.parametrize('text', ['100,20', 'train=-1', 'test=5', 'train=', 'train=5,'])
def test_parse_expect_anything_else_raises(text):
    with pytest.raises(ConfigError, match='Write --expect train=100,val=20'):
        parse_expect(text)


def test_locate_finds_the_dataset_itself_or_below(tmp_path):
    (tmp_path / 'ade/train').mkdir(parents=True)

    assert locate(tmp_path / 'ade', ('train',), ('ade',), '') == tmp_path / 'ade'
    assert locate(tmp_path, ('train',), ('ade',), '') == tmp_path / 'ade'


def test_locate_missing_folder_names_it_and_gives_advice(tmp_path):
    (tmp_path / 'train').mkdir()

    with pytest.raises(DataError, match=r'has no folder val\. Get it somewhere'):
        locate(tmp_path, ('train', 'val'), (), 'Get it somewhere')


def test_locate_no_folder_at_all_says_so(tmp_path):
    with pytest.raises(DataError, match=r'nowhere is not a folder\. Get it somewhere'):
        locate(tmp_path / 'nowhere', ('train',), (), 'Get it somewhere')
