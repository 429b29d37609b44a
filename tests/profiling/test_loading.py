"""The measure of loading: its sums, its steps, its made-up photographs, its command."""

import json
import os

import pytest

from mim_bench.cli.main import main
from mim_bench.profiling.loading import PHOTO_BYTES, Loading, make_photos, step_shares

MAE = 'configs/pretrain/mae/mae_vit-base_8xb512-amp-coslr-400e_in1k-224px.py'


def test_rates_are_medians_of_turns():
    loading = Loading('a', 30, cpu_s=[1.0, 2.0, 9.0], wall_s=[2.0, 4.0, 5.0])
    loading.steps_s = {'read': 3.0, 'crop': 1.0}
    assert loading.img_per_s_core == 5
    assert loading.img_per_s_process == 2.5
    assert loading.cores_for(2000) == 400
    assert dict(step_shares(loading)) == {'read': 0.75, 'crop': 0.25}


def test_photographs_have_the_size_of_imagenets(tmp_path):
    (path,) = make_photos(tmp_path, 1)
    assert 0.9 * PHOTO_BYTES < os.path.getsize(path) <= PHOTO_BYTES
    before = os.stat(path)
    assert make_photos(tmp_path, 1) == [path]
    assert os.stat(path) == before


def test_two_ways_of_loading_are_measured_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr('mim_bench.profiling.loading.NUM_PHOTOS', 2)
    monkeypatch.setattr('mim_bench.profiling.loading.make_photos.__defaults__', (2,))
    words = ['--loader', '--images', '2', '--repeats', '1']
    files = ['--json', str(tmp_path / 'l.json'), '--markdown', str(tmp_path / 'l.md')]
    assert main(['profile', MAE, '--variant', MAE, 'loading=plain', *words, *files]) == 0
    content = json.loads((tmp_path / 'l.json').read_text())
    fused, plain = content['loading']
    assert list(plain['steps_s'])[:2] == ['LoadImage', 'RandomResizedCrop']
    assert next(iter(fused['steps_s'])) == 'FusedLoading'
    assert plain['images'] == fused['images'] == 2
    assert len((tmp_path / 'l.md').read_text().splitlines()) == 4


def test_data_sets_with_annotations_are_not_made_up(capsys):
    config = 'configs/segmentation/upernet/upernet_vit-base_8xb2-amp-mae-160k_ade20k-512px.py'
    assert main(['profile', config, '--loader']) == 1
    assert '--data-root' in ' '.join(capsys.readouterr().err.split())


@pytest.mark.parametrize('words', [['--data-root', 'x'], ['--workers', '2']])
def test_options_of_the_loader_alone_are_refused(words, capsys):
    assert main(['profile', MAE, *words]) == 1
    assert '--loader' in capsys.readouterr().err
