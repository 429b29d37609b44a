import pytest

from mim_bench.errors import ConfigError
from mim_bench.suite.checkpoint_words import parse_timm, parse_word


@pytest.mark.parametrize(
    ('word', 'expected'),
    [
        ('a=timm:test_vit', ('a', 'timm', 'test_vit')),
        ('timm:test_vit.r160_in1k', ('timm_test_vit.r160_in1k', 'timm', 'test_vit.r160_in1k')),
        ('random:vit-base', ('random_vit-base', 'random', 'vit-base')),
        ('mine=folder/a b.pth', ('mine', 'file', 'folder/a b.pth')),
        ('folder/a b.pth', ('a_b', 'file', 'folder/a b.pth')),
    ],
)
def test_word_names_a_row(word, expected):
    parsed = parse_word(word)
    assert (parsed.id, parsed.kind, parsed.place) == expected


def test_word_says_how_a_file_is_read_and_what_is_stated_of_it():
    parsed = parse_word('a=x.pth,timm=test_vit,container=teacher,method=dino,labels=none')
    assert parsed.reading == {'timm': 'test_vit', 'container': 'teacher'}
    assert parsed.stated == {'method': 'dino', 'labels': []}


def test_id_that_is_no_name_of_a_file_is_refused():
    with pytest.raises(ConfigError, match=r'has 300 bytes.* ID=a\.pth'):
        parse_word(f'{"x" * 300}=a.pth')


@pytest.mark.parametrize('word', ['', 'mine=', 'mine=,method=mae'])
def test_word_without_a_path_is_not_the_current_folder(word):
    with pytest.raises(ConfigError, match='names no file'):
        parse_word(word)


def test_network_of_timm_is_of_every_file_or_of_one():
    assert parse_word('a=x.pth', parse_timm(['test_vit'])).reading == {'timm': 'test_vit'}
    assert parse_word('a=x.pth', parse_timm(['b=test_vit'])).reading == {}
    assert parse_word('a=timm:test_vit', parse_timm(['other'])).reading == {}


def test_reading_of_what_is_no_file_is_refused():
    with pytest.raises(ConfigError, match='container are for files'):
        parse_word('a=timm:test_vit,container=teacher')
