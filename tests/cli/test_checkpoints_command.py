import hashlib

import pytest
import yaml

from mim_bench.cli.main import main

KNOWN = hashlib.sha256(b'weights').hexdigest()


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')


@pytest.fixture
def manifest(tmp_path):
    """Two releases: one whose hash is known, one whose is not."""
    entry = {
        'id': 'a',
        'method': 'mae',
        'backbone': 'vit-base-p16',
        'config': None,
        'source': 'mae',
        'pretrain_epochs': 800,
        'pretrain_data': 'in1k',
        'labels': [],
        'file': 'known.pth',
        'place': 'somewhere',
        'content': 'encoder',
        'url': None,
        'sha256': KNOWN,
        'licence': 'CC-BY-NC-4.0',
        'published_top1': 83.3,
        'published_place': 'a table',
    }
    other = {**entry, 'id': 'b', 'method': 'conmim', 'file': 'new.pth', 'sha256': None}
    other |= {'licence': None, 'published_top1': None, 'published_place': None}
    path = tmp_path / 'manifest.yml'
    path.write_text(yaml.safe_dump([entry, other]))
    return path


def verify(manifest, *paths):
    words = ['checkpoints', 'verify', *map(str, paths), '--manifest', str(manifest)]
    return main(words)


def test_checkpoints_list_shows_what_is_known(manifest, capsys):
    assert main(['checkpoints', 'list', '--manifest', str(manifest)]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(line for line in lines if 'mae' in line)
    second = next(line for line in lines if 'conmim' in line)
    assert all(text in first for text in ('83.3', '800', 'CC-BY-NC-4.0', 'known'))
    assert all(text in second for text in ('not stated', 'no '))


def test_checkpoints_list_of_this_project_names_every_release(capsys):
    assert main(['checkpoints', 'list']) == 0
    assert 'swin-tiny.ummae-800e-in1k' in capsys.readouterr().out


def test_checkpoints_list_of_one_method(manifest, capsys):
    words = ['checkpoints', 'list', '--manifest', str(manifest), '--method']
    assert main([*words, 'conmim']) == 0
    assert 'mae' not in capsys.readouterr().out
    assert main([*words, 'dino']) == 1
    assert 'Known: conmim, mae' in capsys.readouterr().err


def test_checkpoints_verify_tells_the_four_cases(manifest, tmp_path, capsys):
    folder = tmp_path / 'files'
    folder.mkdir()
    (folder / 'renamed.pth').write_bytes(b'weights')
    (folder / 'new.pth').write_bytes(b'other')
    (folder / 'third.safetensors').write_bytes(b'third')
    (folder / 'notes.txt').write_text('no checkpoint')
    assert verify(manifest, folder) == 0
    lines = dict(line.split(': ', 1) for line in capsys.readouterr().out.splitlines())
    assert lines[str(folder / 'renamed.pth')] == 'match: a'
    assert lines[str(folder / 'new.pth')].startswith('not yet verified: named as b.')
    assert hashlib.sha256(b'other').hexdigest() in lines[str(folder / 'new.pth')]
    assert lines[str(folder / 'third.safetensors')].startswith('unknown: ')
    assert str(folder / 'notes.txt') not in lines


def test_checkpoints_verify_other_content_under_the_name_fails(manifest, tmp_path, capsys):
    (tmp_path / 'known.pth').write_bytes(b'tampered')
    assert verify(manifest, tmp_path / 'known.pth') == 1
    printed = capsys.readouterr().out
    assert 'mismatch: a has sha256 ' + KNOWN in printed


@pytest.mark.parametrize('name', ['missing.pth', 'empty'])
def test_checkpoints_verify_nothing_to_verify_is_one_message(manifest, tmp_path, name, capsys):
    (tmp_path / 'empty').mkdir()
    assert verify(manifest, tmp_path / name) == 1
    assert str(tmp_path / name) in capsys.readouterr().err
