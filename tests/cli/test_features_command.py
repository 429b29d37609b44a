"""``mim-bench features`` and ``draw --features`` on small networks."""

import re
import zipfile

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import mim_bench
from mim_bench.cli.main import main
from mim_bench.errors import DataError
from mim_bench.report.build import build_leaderboard
from mim_bench.report.page import picture_strips
from mim_bench.results.collection import collect
from mim_bench.results.store import write_record
from mim_bench.testing.records import make_checkpoint, make_record


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    (folder / 'b').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ('a.png', 'b/c.png'):
        pixels = rng.integers(0, 255, (70, 90, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_features_of_a_folder_an_archive_and_a_file_are_those_of_the_network(photos, tmp_path):
    archive = tmp_path / 'photos.zip'
    with zipfile.ZipFile(archive, 'w') as file:
        file.write(photos / 'a.png', 'a.png')
    out = tmp_path / 'out.npz'
    words = [str(photos), str(archive), str(photos / 'a.png'), '--size', '64', '--workers', '0']
    words += ['--maps', '--batch-size', '3', '--out', str(out)]
    assert main(['features', 'timm:test_vit', *words]) == 0
    with np.load(out) as content:
        found = {key: content[key] for key in content}
    assert [name.removeprefix(str(tmp_path)) for name in found['names']] == [
        '/photos/a.png',
        '/photos/b/c.png',
        '/photos.zip/a.png',
        '/photos/a.png',
    ]
    assert found['maps'].shape == (4, 64, 4, 4)
    assert np.allclose(found['maps'].mean((2, 3)), found['features'], atol=1e-5)
    assert np.array_equal(found['features'][0], found['features'][2])
    same = mim_bench.features('timm:test_vit', [photos / 'a.png'], size=64)
    assert np.allclose(same.features[0], found['features'][0], atol=1e-5)


def test_load_gives_the_networks_last_map_with_its_norm(tmp_path):
    torch.manual_seed(1)
    net = timm.create_model('test_vit', num_classes=0).eval()
    torch.save({'model': net.state_dict()}, tmp_path / 'mine.pth')
    backbone = mim_bench.load(tmp_path / 'mine.pth', timm='test_vit')
    images = torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        tokens = net.forward_features(images)[:, net.num_prefix_tokens :]
        (found,) = backbone(images)
    assert not backbone.training
    assert torch.allclose(found, tokens.transpose(1, 2).unflatten(2, (10, 10)), atol=1e-5)


def test_features_of_a_plain_module_are_its_averages(photos):
    module = torch.nn.Conv2d(3, 8, 16, 16)
    found = mim_bench.features(module, photos, size=64, maps=True)
    assert torch.allclose(found.maps.mean((2, 3)), found.features, atol=1e-5)
    assert found.maps.shape == (2, 8, 4, 4)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['timm:test_vit', 'absent', '--out', 'a.npz'], 'absent: there is no such image'),
        (['timm:test_vit', 'FOLDER', '--out', 'a.h5'], 'must end in .npz or .safetensors'),
        (['timm:test_vat', 'FOLDER', '--out', 'a.npz'], "Did you mean 'test_vit'"),
    ],
)
def test_features_slip_is_one_clear_error(words, message, photos, capsys, monkeypatch):
    monkeypatch.chdir(photos)
    words = [str(photos) if word == 'FOLDER' else word for word in words]
    assert main(['features', *words, '--size', '32', '--workers', '0']) == 1
    assert message in ' '.join(capsys.readouterr().err.split())


def test_features_of_a_file_that_is_no_image_is_told_without_the_workers_traceback(photos, capsys):
    (photos / 'z.png').write_text('text')
    words = [str(photos), '--out', str(photos / 'a.npz'), '--size', '32', '--workers', '1']
    assert main(['features', 'timm:test_vit', *words]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f'error: {photos / "z.png"}: does not decode')
    assert 'Traceback' not in told


def test_features_of_a_line_of_pixels_are_refused_as_a_file_and_as_an_image(photos, capsys):
    line = Image.new('RGB', (1, 5000))
    line.save(photos / 'z.png')
    words = [str(photos), '--out', str(photos / 'a.npz'), '--size', '32', '--workers', '0']
    assert main(['features', 'timm:test_vit', *words]) == 1
    assert capsys.readouterr().err.startswith(f'error: {photos / "z.png"}: is 1 x 5000 pixels')
    with pytest.raises(DataError, match='images: one: is 1 x 5000 pixels'):
        mim_bench.features('timm:test_vit', line, size=32)


@pytest.mark.parametrize(
    ('device', 'reason'), [('nonsense', 'Expected one of cpu'), ('cuda:99', r'torch sees \d+ GPUs')]
)
@pytest.mark.parametrize('command', ['features', 'profile', 'knn'])
def test_device_that_is_not_there_is_one_clear_error(
    command, device, reason, photos, tmp_path, capsys
):
    words = {
        'features': ['timm:test_vit', str(photos), '--out', str(tmp_path / 'a.npz')],
        'profile': ['configs/demo/mae_vit-toy_1xb32-coslr-16e_toy-in1k-64px.py'],
        'knn': ['--train', '8', '--val', '2', '--dim', '2', '--k', '1'],
    }[command]
    assert main([command, *words, '--device', device]) == 1
    assert re.match(rf"error: device '{device}': {reason}", capsys.readouterr().err)


def test_draw_features_of_two_checkpoints_of_one_name_is_refused(photos, tmp_path, capsys):
    words = [
        '--checkpoint',
        'a=timm:test_vit',
        'a=timm:test_convnext',
        '--out',
        str(tmp_path / 'x'),
    ]
    assert main(['draw', '--features', str(photos), *words]) == 1
    assert "--checkpoint: two are called 'a'" in capsys.readouterr().err


@pytest.mark.parametrize(
    'words',
    [
        ['draw', 'a.py', 'a.png', '--out', 'b.png', '--seed', '-1'],
        ['train', 'a.py', '--seed', '4294967296'],
        ['run', '--checkpoint', 'random:vit-toy', '--seeds', '0,-1'],
    ],
)
def test_seed_that_no_generator_takes_is_used_wrongly(words, capsys):
    with pytest.raises(SystemExit, match='2'):
        main(words)
    assert 'is not a whole number from 0 to 4294967295' in capsys.readouterr().err


def test_draw_features_has_a_column_for_each_checkpoint(photos, tmp_path):
    out = tmp_path / 'components.png'
    words = ['--checkpoint', 'a=timm:test_vit', 'b=timm:test_convnext', '--size', '64']
    assert main(['draw', '--features', str(photos), *words, '--out', str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.width == 3 * 192 + 2 * 2
        assert picture.height > 2 * 192


def test_draw_features_into_a_folder_shows_on_the_board(photos, tmp_path):
    write_record(make_record(checkpoint=make_checkpoint(id='a')), tmp_path)
    words = ['--checkpoint', 'a=timm:test_vit', '--size', '64', '--out', str(tmp_path / 'features')]
    assert main(['draw', '--features', str(photos), *words]) == 0
    (strip,), damaged = picture_strips(build_leaderboard(collect(tmp_path)))
    assert (strip.label, strip.title, damaged) == ('a', 'Patch features', [])
    assert len(strip.pictures) == 1
