"""Runs on a few images: which they are, and that no whole run stands beside them."""

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

import mim_bench.data.folders  # noqa: F401
from mim_bench.engine.launch import Launch, resolve, resolve_training
from mim_bench.errors import ConfigError
from mim_bench.recipe.limit import Limit, apply_limit
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.testing.config_names import demo


def data_set(root, **settings):
    return DATASETS.build(
        dict(
            type='mim_bench.Limited', of='mim_bench.CustomDataset',
            data_root=str(root / 'imagenet'), data_prefix='train', **settings,
        )
    )  # fmt: skip


def names(data):
    return [data.get_data_info(i)['img_path'] for i in range(len(data))]


def test_limited_data_set_has_the_first_images_or_a_sample_of_its_seed(toy_root):
    everything = names(data_set(toy_root, number=10**6))
    assert len(everything) == 40
    first = data_set(toy_root, number=6)
    assert names(first) == everything[:6]
    assert 'images beyond --limit' in str(first.summary.unused)
    sample = names(data_set(toy_root, number=6, seed=0))
    assert sample == sorted(sample, key=everything.index)
    assert sample == names(data_set(toy_root, number=6, seed=0))
    assert len({tuple(names(data_set(toy_root, number=6, seed=seed))) for seed in range(4)}) == 4
    # The classes stay those of the whole set.
    assert first.metainfo['classes'] == data_set(toy_root, number=40).metainfo['classes']


@pytest.mark.parametrize('text', ['0', '-1', 'all', '8:', '8:first', '0.5', ''])
def test_limit_that_is_no_number_is_refused(text):
    with pytest.raises(ConfigError, match='--limit'):
        Limit.parse(text)


def test_limit_reads_number_and_seed():
    assert Limit.parse('64') == Limit(64)
    assert (str(Limit.parse('64:7')), Limit.parse('64:7').suffix) == ('64:7', '-limit64s7')


@pytest.mark.parametrize(('pattern', 'name'), [
    ('finetune_swin-toy_*', 'toy-ft'),
    ('upernet_swin-toy_*', 'toy-upernet'),
    ('mask-rcnn_swin-toy_*', 'toy-mask-rcnn'),
])  # fmt: skip
def test_limited_training_has_a_protocol_of_its_own(pattern, name):
    whole = resolve_training(Launch(demo(pattern)))
    cfg = resolve_training(Launch(demo(pattern), limit='8:1'))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        assert (loader.dataset.type, loader.dataset.number, loader.dataset.seed) == (
            'mim_bench.Limited', 8, 1,
        )  # fmt: skip
    assert cfg.protocol.name == f'{name}-limit8s1'
    assert (cfg.protocol.tier, cfg.is_changed, cfg.limit) == ('smoke', True, '8:1')
    assert protocol_settings(cfg) != protocol_settings(whole)
    other = resolve_training(Launch(demo(pattern), limit='8'))
    assert protocol_settings(cfg) != protocol_settings(other)


def test_limit_of_a_probe_shortens_its_bank():
    cfg = resolve(Launch(demo('probe_swin-toy_*'), limit='8'))
    for loader in (cfg.test_dataloader, cfg.test_cfg.bank_dataloader):
        assert (loader.dataset.type, loader.dataset.number) == ('mim_bench.Limited', 8)


def test_limit_reaches_the_data_sets_inside_of_wrappers():
    inner = dict(type='CocoDataset', ann_file='a.json')
    data = dict(type='MultiImageMixDataset', dataset=dict(type='Repeat', dataset=inner), times=2)
    apply_limit(cfg := Config(dict(train_dataloader=dict(dataset=data))), Limit(8))
    found = cfg.train_dataloader.dataset.dataset.dataset
    assert found == dict(type='mim_bench.Limited', of='CocoDataset', number=8, ann_file='a.json')


def test_limit_of_a_config_without_data_is_refused():
    with pytest.raises(ConfigError, match='names no data set that --limit could shorten'):
        apply_limit(Config(dict(model=dict())), Limit(8))
