import ast

import pytest
import torch

from mim_bench.cli.main import main
from mim_bench.registry import MODELS


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')


def test_inspect_official_file_shows_format_sizes_and_epoch(official, capsys):
    assert main(['inspect', str(official)]) == 0
    printed = capsys.readouterr().out
    size = f'{official.stat().st_size:,} bytes'
    sizes = ("'embed_dims': 4", "'num_heads': [1, 2]", '16 float32', size)
    for text in ('ummae', 'mim_bench.UMMAESwin', 'CC-BY-NC-4.0', *sizes):
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
    for text in ('mmpretrain', 'origin_sha256', 'CC-BY-NC-4.0', 'mim_bench.UMMAESwin'):
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


def test_inspect_says_what_shares_the_keys(tmp_path, capsys):
    keys = ('pos_embed', 'patch_embed.proj.weight', 'blocks.0.attn.qkv.bias', 'fc_norm.weight')
    torch.save({'model': dict.fromkeys((*keys, 'cls_token'), torch.ones(1))}, tmp_path / 'a.pth')
    assert main(['inspect', str(tmp_path / 'a.pth')]) == 0
    printed = capsys.readouterr().out
    assert 'localmim, mae, ummae' in printed
    assert 'convert with --source' in printed


def test_inspect_unknown_key_is_a_problem_not_a_failure(official, capsys):
    content = torch.load(official, weights_only=False)
    content['model']['surprise.weight'] = torch.ones(1)
    torch.save(content, official)
    assert main(['inspect', str(official)]) == 0
    assert 'surprise.weight' in capsys.readouterr().out


def test_inspect_config_builds_the_backbone(official, capsys):
    assert main(['inspect', str(official), '--config']) == 0
    printed = capsys.readouterr().out
    assert printed.startswith('backbone = {')
    config = ast.literal_eval(printed.removeprefix('backbone = '))
    assert type(MODELS.build(config)).__name__ == 'UMMAESwin'


def test_inspect_config_of_an_unknown_backbone_is_one_message(tmp_path, capsys):
    torch.save({'state_dict': {'backbone.conv1.weight': torch.ones(1)}}, tmp_path / 'a.pth')
    assert main(['inspect', str(tmp_path / 'a.pth'), '--config']) == 1
    assert 'No backbone is known' in capsys.readouterr().err


def test_inspect_grid_of_positions_that_the_file_does_not_show(tmp_path, capsys):
    sizes = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32)
    vit = MODELS.build(dict(type='mim_bench.ViT', arch=sizes, img_size=(224, 256)))
    state = {f'backbone.{key}': value for key, value in vit.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'a.pth')
    assert main(['inspect', str(tmp_path / 'a.pth')]) == 0
    printed = capsys.readouterr().out
    assert '224 patches is of no square grid' in printed
    assert '--arch img_size=(height, width)' in printed


def test_inspect_checkpoint_of_a_run_shows_its_epoch_once(tmp_path, capsys):
    torch.save({'state_dict': {'a': torch.ones(2)}, 'meta': {'epoch': 2}}, tmp_path / 'epoch_2.pth')
    assert main(['inspect', str(tmp_path / 'epoch_2.pth')]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[3] for line in lines if line[1:2] == ['epoch']] == ['2']
