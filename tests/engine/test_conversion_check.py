"""``convert --verify``: a forward pass against timm's network."""

import pytest
import timm
import torch

from mim_bench.cli.main import main
from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint, write_checkpoint
from mim_bench.engine.conversion_check import verify_against_timm
from mim_bench.errors import ConversionError

SIZES = dict(embed_dim=16, depth=2, num_heads=2, img_size=32)
SWIN = dict(embed_dim=8, depths=(2, 2), num_heads=(1, 2), img_size=64, window_size=4)


def saved(name, folder, **args):
    torch.manual_seed(0)
    path = folder / f'{name}.pth'
    torch.save(timm.create_model(name, num_classes=0, **args).state_dict(), path)
    return path


@pytest.mark.parametrize(
    ('name', 'args', 'source'),
    [
        ('vit_tiny_patch16_224', SIZES, dict(source='timm', arch={'num_heads': 2})),
        ('beit_base_patch16_224', SIZES, dict(source='timm')),
        ('swin_tiny_patch4_window7_224', SWIN, dict(source='timm')),
        ('test_vit', {}, dict(timm='test_vit')),
        ('test_convnext', {}, dict(timm='test_convnext')),
    ],
)
def test_conversion_gives_what_timms_network_gives(name, args, source, tmp_path):
    file = convert_checkpoint(saved(name, tmp_path, **args), tmp_path / 'a.pth', **source)
    assert verify_against_timm(file.path) < 1e-5


def test_what_differs_is_refused_and_what_is_assumed_is_noted(tmp_path):
    path = saved('vit_tiny_patch16_224', tmp_path, **SIZES)
    file = convert_checkpoint(path, tmp_path / 'a.pth', source='timm')
    content = read_checkpoint(file.path)
    assert file.meta['assumed'] == ['num_heads']
    assert any('num_heads=1 is assumed' in note for note in content['meta']['notes'])
    content['meta']['arch']['norm_eps'] = 0.1  # of norms that are not the file's
    write_checkpoint(content, tmp_path / 'bad.pth')
    with pytest.raises(ConversionError, match='differs'):
        verify_against_timm(tmp_path / 'bad.pth')


def test_verify_is_an_option_of_the_command(tmp_path, capsys):
    path = saved('test_vit', tmp_path)
    words = [str(path), str(tmp_path / 'a.pth'), '--timm', 'test_vit', '--verify']
    assert main(['convert', *words]) == 0
    assert 'verified: the last map' in capsys.readouterr().out
