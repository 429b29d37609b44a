import pytest
import torch

from mim_bench.cli.main import main


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')


def test_inspect_official_file_shows_format_sizes_and_epoch(official, capsys):
    assert main(['inspect', str(official)]) == 0
    printed = capsys.readouterr().out
    for text in ('ummae', "'embed_dims': 4", "'num_heads': [1, 2]"):
        assert text in printed
    rows = dict(line.strip('│ ').split('│', 1) for line in printed.splitlines() if '│' in line)
    rows = {key.strip(): value.strip() for key, value in rows.items()}
    assert (rows['tensors'], rows['epoch']) == ('16', '9')
    state = torch.load(official, weights_only=False)['model']
    assert rows['parameters'] == f'{sum(t.numel() for t in state.values()):,}'


def test_inspect_canonical_file_shows_where_it_comes_from(official, tmp_path, capsys):
    main(['convert', str(official), str(tmp_path / 'swin.pth')])
    capsys.readouterr()
    assert main(['inspect', str(tmp_path / 'swin.pth')]) == 0
    printed = capsys.readouterr().out
    for text in ('mmpretrain', 'source_sha256', 'CC-BY-NC-4.0', 'mim_bench.UMMAESwin'):
        assert text in printed


def test_inspect_tensors_lists_each(official, capsys):
    main(['inspect', str(official), '--tensors'])
    assert 'blocks.1.attn.qkv.weight (24, 8) torch.float32' in capsys.readouterr().out


def test_inspect_unknown_format_says_so(tmp_path, capsys):
    torch.save({'weight': torch.ones(2)}, tmp_path / 'x.pth')
    assert main(['inspect', str(tmp_path / 'x.pth')]) == 0
    assert 'unknown' in capsys.readouterr().out


def test_inspect_runs_no_code_from_the_file(tmp_path, capsys):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / 'written').write_text, ('by the file',)

    torch.save({'model': Bomb()}, tmp_path / 'bomb.pth')
    assert main(['inspect', str(tmp_path / 'bomb.pth')]) == 1
    assert 'error:' in capsys.readouterr().err
    assert not (tmp_path / 'written').exists()


def test_inspect_missing_file_is_one_message(tmp_path, capsys):
    assert main(['inspect', str(tmp_path / 'missing.pth')]) == 1
    assert 'there is no such checkpoint file' in capsys.readouterr().err
