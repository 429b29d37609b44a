import json
import os
import shutil
from dataclasses import replace

import pytest
import torch

from mim_bench.conversion import convert as conversion
from mim_bench.conversion.files import read_checkpoint
from mim_bench.conversion.weight_files import weights_sha256
from mim_bench.errors import ConfigError, ConversionError
from mim_bench.files.hashing import file_sha256
from mim_bench.suite.checkpoints import facts_of, name_backbone, rows_of
from mim_bench.suite.tasks import Network, load_suite

SMOKE, FULL = load_suite('smoke'), load_suite('full')
SWIN_TOY = dict(
    type='mim_bench.Swin',
    arch=dict(embed_dims=16, depths=(1, 1), num_heads=(1, 2)),
    window_size=4,
)


@pytest.fixture(scope='module')
def network():
    from mmengine.registry import DefaultScope

    from mim_bench.registry import MODELS

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(SWIN_TOY)


@pytest.fixture
def checkpoint(tmp_path, network):
    """A checkpoint of a run, under any name."""

    def write(name='run.pth', scale=1.0):
        state = {f'backbone.{k}': v * scale for k, v in network.state_dict().items()}
        (tmp_path / name).parent.mkdir(exist_ok=True)
        content = {'state_dict': state, 'meta': {'mim_bench': {'method': 'simmim', 'epochs': 12}}}
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return write


SHARD = 'pytorch_model-00001-of-00001.bin'


def _sharded(path, folder, name):
    """The index of a checkpoint whose weights lie in a file beside it."""
    folder = folder / str(name)
    folder.mkdir(parents=True)
    state = torch.load(path)['state_dict']
    torch.save(state, folder / SHARD)
    index = folder / 'pytorch_model.bin.index.json'
    index.write_text(json.dumps({'weight_map': dict.fromkeys(state, SHARD)}))
    return index


@pytest.fixture
def count_conversions(monkeypatch):
    calls = []
    real = conversion.convert_checkpoint

    def convert(*args, **options):
        calls.append(args)
        return real(*args, **options)

    monkeypatch.setattr(conversion, 'convert_checkpoint', convert)
    return calls


def test_rows_of_a_checkpoint_says_what_it_is(checkpoint, tmp_path):
    path = checkpoint()
    (row,) = rows_of([str(path)], tmp_path / 'out', SMOKE)
    assert (row.id, row.method, row.labels) == ('run', 'simmim', ())
    assert row.sha256 == file_sha256(path)
    # A size without a name.
    assert (row.backbone, row.family) == ('swin', 'swin')
    assert row.start == tmp_path / 'out' / 'run.pth'
    assert row.start.is_file()


def test_rows_of_moved_or_touched_file_converts_once(checkpoint, tmp_path, count_conversions):
    path = checkpoint()
    first = rows_of([f'a={path}'], tmp_path / 'out', SMOKE)
    os.utime(path, ns=(1, 1))
    assert rows_of([f'a={path}'], tmp_path / 'out', SMOKE) == first
    shutil.move(path, tmp_path / 'moved.pth')
    assert rows_of([f'a={tmp_path / "moved.pth"}'], tmp_path / 'out', SMOKE) == first
    assert len(count_conversions) == 1


def test_rows_of_changed_file_converts_again(checkpoint, tmp_path, count_conversions):
    (first,) = rows_of([str(checkpoint())], tmp_path / 'out', SMOKE)
    (second,) = rows_of([str(checkpoint(scale=2.0))], tmp_path / 'out', SMOKE)
    assert first.sha256 != second.sha256
    assert len(count_conversions) == 2


def test_rows_of_changed_shards_converts_again_though_their_index_is_the_same(
    checkpoint, tmp_path, count_conversions
):
    first, second = (_sharded(checkpoint(scale=s), tmp_path / 'hub', s) for s in (1.0, 2.0))
    assert first.read_bytes() == second.read_bytes()

    rows = [rows_of([f'a={path}'], tmp_path / 'out', SMOKE)[0] for path in (first, first)]
    with pytest.raises(ConfigError, match="results of another checkpoint 'a'"):
        rows_of([f'a={second}'], tmp_path / 'out', SMOKE)
    shutil.copy(second.with_name(SHARD), first.with_name(SHARD))
    rows += rows_of([f'a={first.with_name(SHARD)}'], tmp_path / 'out', SMOKE)

    assert rows[0] == rows[1] != rows[2]
    assert rows[2].sha256 == weights_sha256(second)
    assert len(count_conversions) == 2


@pytest.mark.parametrize('damage', ['{', '[]', '{"format": 0}', '{"format": 1}'])
def test_rows_of_damaged_description_converts_again(
    checkpoint, tmp_path, count_conversions, damage
):
    rows_of([str(checkpoint())], tmp_path / 'out', SMOKE)
    (tmp_path / 'out' / 'run.json').write_text(damage)
    rows_of([str(tmp_path / 'run.pth')], tmp_path / 'out', SMOKE)
    assert len(count_conversions) == 2
    assert json.loads((tmp_path / 'out' / 'run.json').read_text())['method'] == 'simmim'


def test_rows_of_another_file_of_the_same_name_is_refused_and_may_be_named(checkpoint, tmp_path):
    rows_of([str(checkpoint())], tmp_path / 'out', SMOKE)
    other = checkpoint('other/run.pth', scale=2.0)
    with pytest.raises(ConfigError, match=r"another checkpoint 'run', .*run\.pth\. Name this one"):
        rows_of([str(other)], tmp_path / 'out', SMOKE)
    (row,) = rows_of([f'second={other}'], tmp_path / 'out', SMOKE)
    assert row.id == 'second'


def test_rows_of_two_files_of_one_name_at_once_is_refused(checkpoint, tmp_path):
    words = [str(checkpoint()), str(checkpoint('other/run.pth'))]
    with pytest.raises(ConfigError, match=r"another row is named 'run'"):
        rows_of(words, tmp_path / 'out', SMOKE)


def test_rows_of_name_that_is_no_file_name_gives_a_valid_id(checkpoint, tmp_path):
    (row,) = rows_of([str(checkpoint('a b<c>.pth'))], tmp_path / 'out', SMOKE)
    assert row.id == 'a_b_c'


def test_rows_of_random_weights_need_no_file(tmp_path):
    (row,) = rows_of(['random:swin-tiny'], tmp_path / 'out', FULL)
    assert (row.id, row.method, row.start) == ('random_swin-tiny', 'random', None)
    (row,) = rows_of(['start=random:swin-tiny'], tmp_path / 'out', FULL)
    assert (row.id, row.backbone) == ('start', 'swin-tiny')


@pytest.mark.parametrize('name', ['vit-huge', 'ummae-pvt-small', 'swin-toy', 'beit-vit-large'])
def test_rows_of_random_weights_take_every_size_of_a_family_and_those_of_configs(name, tmp_path):
    suite = SMOKE if name.endswith('toy') else FULL
    assert rows_of([f'random:{name}'], tmp_path / 'out', suite)[0].backbone == name


def test_rows_of_size_without_a_name_may_be_said(checkpoint, tmp_path):
    path = str(checkpoint())
    (row,) = rows_of([path], tmp_path / 'out', FULL, backbone='swin-tiny')
    assert (row.backbone, row.family) == ('swin-tiny', 'swin')


def test_rows_of_file_that_is_no_checkpoint_raises(tmp_path):
    torch.save({'state_dict': {'foo': torch.zeros(1)}}, tmp_path / 'x.pth')
    with pytest.raises(ConversionError, match=r'x\.pth.*Give it as .*,source=NAME'):
        facts_of(tmp_path / 'x.pth', tmp_path / 'out', 'x')


VIT = {'embed_dims': 768, 'num_layers': 12, 'num_heads': 12, 'rel_pos_bias': 'none'}
PYRAMID = {'embed_dims': 96, 'depths': [2, 2, 18, 2]}


@pytest.mark.parametrize(
    ('kind', 'arch', 'name'),
    [
        ('mim_bench.ViT', VIT, 'vit-base'),
        ('mim_bench.ViT', {**VIT, 'rel_pos_bias': 'per_block'}, 'beit-vit-base'),
        ('mim_bench.ViT', {**VIT, 'embed_dims': 1024, 'num_layers': 24}, 'vit-large'),
        ('mim_bench.Swin', PYRAMID, 'swin-small'),
        ('mim_bench.UMMAESwin', {**PYRAMID, 'depths': (2, 2, 6, 2)}, 'ummae-swin-tiny'),
        (
            'mim_bench.UMMAEPvt',
            {'embed_dims': [64, 128, 320, 512], 'depths': [3, 4, 6, 3]},
            'ummae-pvt-small',
        ),
    ],
)
def test_name_backbone_of_known_sizes(kind, arch, name):
    found = name_backbone({'backbone_type': kind, 'arch': arch})
    assert found == (name.rpartition('-')[0], name)


def test_name_backbone_of_unknown_size_and_family():
    odd = {'backbone_type': 'mim_bench.ViT', 'arch': {**VIT, 'num_layers': 7}}
    assert name_backbone(odd) == ('vit', None)
    assert name_backbone({'backbone_type': None}) == (None, None)


def test_rows_of_known_size_is_a_row_of_its_configs(checkpoint, tmp_path):
    path = checkpoint()
    facts = facts_of(path, tmp_path / 'out', 'run')
    known = replace(facts, backbone='swin-tiny')
    (tmp_path / 'out' / 'run.json').write_text(json.dumps(known.__dict__))
    (row,) = rows_of([str(path)], tmp_path / 'out', FULL)
    assert row.network == Network('swin-tiny', 'swin')


def test_rows_of_takes_what_the_user_states_and_the_canonical_file_has_it(checkpoint, tmp_path):
    path = checkpoint()
    words = [f'mine={path},method=mae,data=in22k,labels=in1k+ade20k,epochs=300']
    (row,) = rows_of(words, tmp_path / 'out', SMOKE)
    assert (row.id, row.method, row.labels) == ('mine', 'mae', ('in1k', 'ade20k'))
    meta = read_checkpoint(row.start)['meta']
    assert (meta['pretrain_data'], meta['epochs']) == ('in22k', 300)
    assert meta['known_from']['pretrain_data'] == 'stated'


def test_rows_of_another_statement_converts_again(checkpoint, tmp_path, count_conversions):
    path = checkpoint()
    rows_of([f'mine={path},labels=in1k'], tmp_path / 'out', SMOKE)
    (row,) = rows_of([f'mine={path}'], tmp_path / 'out', SMOKE)
    assert row.labels == ()
    assert len(count_conversions) == 2


def test_rows_of_file_with_commas_in_its_name(checkpoint, tmp_path):
    path = checkpoint('a,labels=x.pth')
    (row,) = rows_of([str(path)], tmp_path / 'out', SMOKE)
    assert row.method == 'simmim'


@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        (',lables=none', 'lables=none: is not KEY=VALUE with one of method, data'),
        (',epochs=many', 'epochs=many: .*Give a number'),
    ],
)
def test_rows_of_statement_that_is_none_raises(checkpoint, tmp_path, words, reason):
    with pytest.raises(ConfigError, match=reason):
        rows_of([f'mine={checkpoint()}{words}'], tmp_path / 'out', SMOKE)


def test_rows_of_a_converted_file_has_the_hash_of_the_original(checkpoint, tmp_path):
    path = checkpoint()
    (first,) = rows_of([str(path)], tmp_path / 'out', SMOKE)
    (second,) = rows_of([f'again={first.start}'], tmp_path / 'out', SMOKE)
    assert first.sha256 == second.sha256 == file_sha256(path)
