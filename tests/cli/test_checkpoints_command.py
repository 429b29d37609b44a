import hashlib
import http.server
import threading

import pytest
import torch
import yaml

from mim_bench.cli.main import main

KNOWN = hashlib.sha256(b'weights').hexdigest()
ENTRY = {
    'id': 'a',
    'method': 'mae',
    'backbone': 'vit-base-p16',
    'source': 'mae',
    'pretrain_epochs': 800,
    'pretrain_data': 'in1k',
    'place': 'somewhere',
    'content': 'encoder',
}


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')


@pytest.fixture
def manifest(tmp_path):
    """Releases with a hash, without one, and with the beginnings of hashes."""
    known = {'file': 'known.pth', 'sha256': KNOWN, 'licence': 'CC-BY-NC-4.0'}
    begins = 'md5:' + hashlib.md5(b'third').hexdigest()[:6]  # noqa: S324
    entries = [
        {**ENTRY, **known, 'published_top1': 83.3, 'published_place': 'a table'},
        {**ENTRY, 'id': 'b', 'method': 'conmim', 'file': 'new.pth'},
        {**ENTRY, 'id': 'c', 'file': 'third.pth', 'checksum': begins},
        {**ENTRY, 'id': 'd', 'checksum': 'sha256:' + hashlib.sha256(b'fourth').hexdigest()[:8]},
    ]
    path = tmp_path / 'manifest.yml'
    path.write_text(yaml.safe_dump(entries))
    return path


def verify(manifest, *paths):
    words = ['checkpoints', 'verify', *map(str, paths), '--manifest', str(manifest)]
    return main(words)


def test_checkpoints_list_shows_what_is_known(manifest, capsys):
    assert main(['checkpoints', 'list', '--manifest', str(manifest)]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(line for line in lines if 'mae' in line)
    second = next(line for line in lines if 'conmim' in line)
    assert all(text in first for text in ('83.3', '800', 'CC-BY-NC-4.0', 'whole'))
    assert all(text in second for text in ('not stated', 'no '))


def test_checkpoints_list_of_one_method(manifest, capsys):
    words = ['checkpoints', 'list', '--manifest', str(manifest), '--method']
    assert main([*words, 'conmim']) == 0
    assert 'mae' not in capsys.readouterr().out
    assert main([*words, 'dino']) == 1
    assert 'Known: conmim, mae' in capsys.readouterr().err


def test_checkpoints_verify_tells_the_cases(manifest, tmp_path, capsys):
    folder = tmp_path / 'files'
    folder.mkdir()
    (folder / 'renamed.pth').write_bytes(b'weights')
    (folder / 'new.pth').write_bytes(b'other')
    (folder / 'third.pth').write_bytes(b'third')
    (folder / 'renamed-too.pth').write_bytes(b'fourth')
    (folder / 'more.safetensors').write_bytes(b'more')
    (folder / 'notes.txt').write_text('no checkpoint')
    (folder / 'folder.pth').mkdir()
    assert verify(manifest, folder) == 0
    lines = dict(line.split(': ', 1) for line in capsys.readouterr().out.splitlines())
    assert lines[str(folder / 'renamed.pth')] == f'match: a (sha256 {KNOWN})'
    assert lines[str(folder / 'new.pth')].startswith('not yet verified: named as b.')
    assert hashlib.sha256(b'other').hexdigest() in lines[str(folder / 'new.pth')]
    assert lines[str(folder / 'third.pth')].startswith('match: c (md5:')
    assert lines[str(folder / 'renamed-too.pth')].startswith('match: d (sha256:')
    assert lines[str(folder / 'more.safetensors')].startswith('unknown: ')
    assert str(folder / 'notes.txt') not in lines


@pytest.mark.parametrize(
    ('name', 'expected'), [('known', f'a has sha256 {KNOWN}'), ('third', 'c has md5:')]
)
def test_checkpoints_verify_other_content_under_the_name_fails(
    manifest, tmp_path, name, expected, capsys
):
    (tmp_path / f'{name}.pth').write_bytes(b'tampered')
    assert verify(manifest, tmp_path / f'{name}.pth') == 1
    assert f'mismatch: {expected}' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['missing.pth', 'empty'])
def test_checkpoints_verify_nothing_to_verify_is_one_message(manifest, tmp_path, name, capsys):
    (tmp_path / 'empty').mkdir()
    assert verify(manifest, tmp_path / name) == 1
    assert str(tmp_path / name) in capsys.readouterr().err


@pytest.fixture
def publish(tmp_path):
    """Serves a folder, and writes a list with one release in it; what it gives downloads that."""
    folder = tmp_path / 'server'
    folder.mkdir()
    torch.save({'model': {'weight': torch.ones(2)}}, folder / 'weights.pth')
    (folder / 'page.pth').write_text('<html>Not found</html>')

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def do_GET(self):
            if self.path != '/cut.pth':
                return super().do_GET()
            self.send_response(200)
            self.send_header('Content-Length', '1000')
            self.end_headers()
            return self.wfile.write(b'half')

        def log_message(self, *_):
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def download(name, **facts):
        entry = {**ENTRY, 'url': f'http://127.0.0.1:{server.server_port}/{name}', **facts}
        (tmp_path / 'm.yml').write_text(yaml.safe_dump([entry]))
        words = ['--to', str(tmp_path / 'to'), '--manifest', str(tmp_path / 'm.yml')]
        return main(['checkpoints', 'download', 'a', *words])

    yield download
    server.shutdown()
    server.server_close()


def facts_of(path):
    data = path.read_bytes()
    return {
        'size': len(data),
        'checksum': f'md5:{hashlib.md5(data).hexdigest()[:6]}',  # noqa: S324
        'sha256': hashlib.sha256(data).hexdigest(),
    }


@pytest.mark.parametrize('known', [('sha256',), ('checksum',), ('size', 'checksum')])
def test_checkpoints_download_fetches_and_verifies(publish, tmp_path, known, capsys):
    facts = facts_of(tmp_path / 'server' / 'weights.pth')
    for _ in range(2):  # the second time it is there
        assert publish('weights.pth', **{key: facts[key] for key in known}) == 0
        assert f'{tmp_path}/to/weights.pth: match: a (' in capsys.readouterr().out
    assert facts_of(tmp_path / 'to' / 'weights.pth') == facts


def test_checkpoints_download_says_that_no_hash_is_known(publish, tmp_path, capsys):
    assert publish('weights.pth', file='named.pth') == 0
    printed = capsys.readouterr().out
    assert f'{tmp_path}/to/named.pth: not yet verified: named as a.' in printed
    assert facts_of(tmp_path / 'server' / 'weights.pth')['sha256'] in printed


@pytest.mark.parametrize(
    ('name', 'facts', 'message'),
    [
        ('weights.pth', {'sha256': KNOWN}, f'mismatch: a has sha256 {KNOWN}'),
        ('weights.pth', {'checksum': 'md5:000000'}, 'mismatch: a has md5:000000'),
        ('weights.pth', {'size': 7, 'checksum': 'md5:000000'}, 'and 7 bytes'),
        ('page.pth', {}, 'a web page'),
        ('cut.pth', {}, 'broke off after 4 of 1000 bytes'),
        ('missing.pth', {}, 'cannot be fetched (HTTP Error 404'),
        ('', {'url': None}, 'the file is not known. Get it from somewhere'),
        ('', {'url': 'https://drive.google.com/file/d/x/view'}, 'is a page, not a file'),
    ],
)
def test_checkpoints_download_of_something_else_keeps_nothing(
    publish, tmp_path, name, facts, message, capsys
):
    assert publish(name, **facts) == 1
    assert message in ' '.join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.glob('to/*')] == []


def test_checkpoints_download_keeps_a_file_of_that_name(publish, tmp_path, capsys):
    (tmp_path / 'to').mkdir()
    (tmp_path / 'to' / 'weights.pth').write_bytes(b'mine')
    assert publish('weights.pth', sha256=KNOWN) == 1
    assert 'mismatch' in capsys.readouterr().out
    assert (tmp_path / 'to' / 'weights.pth').read_bytes() == b'mine'


def test_checkpoints_download_unknown_name_says_the_nearest(capsys):
    assert main(['checkpoints', 'download', 'vit-base-p16.mae-1600-in1k']) == 1
    assert "Did you mean 'vit-base-p16.mae-1600e-in1k'?" in ' '.join(
        capsys.readouterr().err.split()
    )
