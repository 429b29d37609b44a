"""The recipes that have a source, resolved, against the numbers that the sources state."""

from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

from mim_bench.recipe.building import build_model
from mim_bench.recipe.config import load_config
from mim_bench.recipe.optimizer_groups import layer_groups
from mim_bench.recipe.precision import disable_amp
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.toy_width import toy_width

FOLDER = configs_folder() / 'classification'
# backbone_recipe: rate, images an update, layer decay, drop path, epochs, warm-up, floor.
# Sources: facebookresearch/mae@efb2a80; microsoft/SimMIM@d3e29bc; TencentARC/ConMIM@4263955 and
# microsoft/unilm@768a3c8 (BEiT); Haoqing-Wang/LocalMIM@314a6e5; implus/UM-MAE@cb7776b.
PUBLISHED = {
    'vit-base_mae': (2e-3, 1024, 0.65, 0.1, 100, 5, 1e-6),
    'vit-large_mae': (4e-3, 1024, 0.75, 0.2, 50, 5, 1e-6),
    'swin-base_simmim': (5e-3, 2048, 0.8, 0.1, 100, 20, 1e-6),
    'swin-base_simmimshort': (5e-3, 2048, 0.9, 0.1, 100, 20, 1e-6),
    'swin-large_simmim': (5e-3, 2048, 0.7, 0.2, 100, 20, 1e-6),
    'beit-vit-base_simmim': (5e-3, 2048, 0.65, 0.1, 100, 20, 1e-6),
    'beit-vit-base_beit': (4e-3, 1024, 0.65, 0.1, 100, 20, 1e-6),
    'beit-vit-large_beit': (1e-3, 1024, 0.75, 0.2, 50, 5, 1e-6),
    'beit-vit-base_conmim': (4e-3, 1024, 0.65, 0.1, 100, 20, 1e-6),
    'vit-base_localmim': (2e-3, 1024, 0.65, 0.1, 100, 20, 1e-5),
    'vit-base_localmimshort': (4e-3, 1024, 0.75, 0.1, 100, 20, 1e-6),
    'vit-large_localmim': (3e-3, 1024, 0.75, 0.2, 50, 5, 1e-6),
    'swin-base_localmimpixel': (4e-3, 1024, 0.9, 0.1, 100, 20, 2.5e-7),
    'swin-base_localmim': (4e-3, 2048, 0.9, 0.1, 100, 20, 2.5e-7),
    'swin-base_localmimshort': (5e-3, 1024, 0.9, 0.1, 100, 20, 2.5e-7),
    'swin-large_localmim': (2e-3, 2048, 0.8, 0.3, 100, 20, 2.5e-7),
    'vit-base_ummae': (2e-3, 1024, 0.80, 0.1, 100, 5, 1e-6),
    'ummae-swin-tiny_ummae': (2e-3, 1024, 0.85, 0.1, 100, 5, 1e-6),
    'ummae-swin-large_ummae': (2e-3, 1024, 0.70, 0.2, 100, 5, 1e-6),
    'ummae-pvt-small_ummae': (2e-3, 1024, 0.85, 0.1, 100, 5, 1e-6),
}


@cache
def load(recipe):
    backbone, name = recipe.split('_')
    (path,) = FOLDER.glob(f'finetune_{backbone}_*-{name}-*_in1k-2*.py')
    return Config.fromfile(path)


def groups(cfg):
    """Of every tensor's name, its layer's group."""
    cfg = toy_width(cfg, Path('toy'))
    disable_amp(cfg)
    rows = layer_groups(build_model(cfg), cfg.optim_wrapper)
    return {name: row for row in rows for name in row.names}


@pytest.mark.parametrize('recipe', PUBLISHED)
def test_finetuning_numbers_are_those_of_the_source(recipe):
    cfg, optimizer = load(recipe), load(recipe).optim_wrapper
    found = (
        optimizer.optimizer.lr,
        cfg.effective_batch_size,
        optimizer.paramwise_cfg.layer_decay_rate,
        cfg.model.backbone.drop_path_rate,
        cfg.train_cfg.max_epochs,
        cfg.param_scheduler.warmup_epochs,
        cfg.param_scheduler.min_lr,
    )
    assert found == pytest.approx(PUBLISHED[recipe])
    kind = optimizer.optimizer.type, optimizer.optimizer.betas, optimizer.optimizer.weight_decay
    assert kind == ('AdamW', (0.9, 0.999), 0.05)  # as in all sources


@pytest.mark.parametrize('recipe', PUBLISHED)
def test_finetuning_crop_of_the_test_is_that_of_the_source(recipe):
    _, resize, crop, _ = load(recipe).test_dataloader.dataset.pipeline
    # Over 224 px UM-MAE cuts nothing off.
    sizes = (256, 256) if recipe.startswith('ummae') else (256, 224)
    assert (resize.scale, crop.crop_size) == sizes


@pytest.mark.parametrize(
    ('recipe', 'neck', 'std'),
    [
        ('swin-base_simmim', 'GlobalAveragePooling', 0.02),
        ('swin-base_localmim', 'mim_bench.PooledNorm', 2e-5),
    ],
)
def test_finetuning_swin_head_normalises_where_the_source_does(recipe, neck, std):
    model = load(recipe).model
    assert model.neck.type == neck
    assert model.head.init_cfg.std == std
    assert model.backbone.get('out_norms', False) == (neck == 'GlobalAveragePooling')


@pytest.mark.parametrize(
    ('recipe', 'wanted'),
    [('swin-base_simmim', 0), ('swin-base_localmim', 0.05), ('beit-vit-base_conmim', 0.05)],
)
def test_finetuning_decay_of_the_tables_is_that_of_the_source(recipe, wanted):
    found = groups(load(recipe))
    tables = {r.weight_decay for name, r in found.items() if 'relative_position_bias_table' in name}
    assert tables == {wanted}


@pytest.mark.parametrize(
    'recipe', ['vit-base_mae', 'ummae-pvt-small_ummae', 'beit-vit-base_conmim']
)
def test_finetuning_positions_tokens_and_vectors_are_not_decayed(recipe):
    found = groups(load(recipe))
    free = ('pos_embed', 'cls_token', 'bias', 'gamma', 'norm', 'ln1', 'ln2')
    for name, row in found.items():
        last = name.split('.')[-1]
        is_free = last in free or any(p.startswith(free) for p in name.split('.')[-2:-1])
        if last.startswith(('q_bias', 'v_bias', 'gamma')) or is_free:
            assert row.weight_decay == 0, name
        if name.endswith(('projection.weight', 'fc.weight', 'qkv.weight')):
            assert row.weight_decay == 0.05, name


@pytest.mark.parametrize(('size', 'epochs'), [('base', 90), ('large', 50)], ids=lambda x: str(x))
def test_linear_probe_numbers_are_those_of_mae(size, epochs):
    (path,) = FOLDER.glob(f'linear_vit-{size}_*.py')
    cfg = Config.fromfile(path)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.weight_decay) == ('mim_bench.LARS', 0)
    assert optimizer.lr == pytest.approx(6.4)
    assert cfg.effective_batch_size == 16384
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler.warmup_epochs) == (epochs, 10)
    assert cfg.param_scheduler.min_lr == 0
    assert (cfg.model.neck.type, cfg.model.backbone.out_type) == ('ClsBatchNormNeck', 'cls_token')


@pytest.mark.parametrize(
    ('backbone', 'epochs', 'decay'),
    [('small', 10, 0.85), ('base', 10, 0.85), ('large', 5, 0.9)],
)
def test_second_stage_is_a_tenth_of_the_first_and_sees_whole_images(backbone, epochs, decay):
    (path,) = FOLDER.glob(f'finetune_beit-vit-{backbone}_*-384px.py')
    cfg = Config.fromfile(path)
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(2e-5)
    assert cfg.optim_wrapper.optimizer.weight_decay == pytest.approx(1e-8)
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == decay
    _, resize, crop, _ = cfg.val_dataloader.dataset.pipeline
    assert resize.scale == crop.crop_size == cfg.train_dataloader.dataset.pipeline[1].scale == 384
    assert 'mim_bench.RandAugment' in [step.type for step in cfg.train_dataloader.dataset.pipeline]


@pytest.mark.parametrize('percent', [1, 10])
def test_few_labels_train_on_their_share_and_are_tested_on_all(percent):
    paths = sorted(FOLDER.glob(f'finetune_*_in1k-{percent}pct-*.py'))
    assert paths
    for path in paths:
        cfg = load_config(path)
        data = cfg.train_dataloader.dataset
        assert (data.type, data.share) == ('mim_bench.LabelFraction', percent / 100)
        assert data.get('seed', 0) == 0
        assert cfg.val_dataloader.dataset.type == 'mim_bench.ImageNet'
        assert cfg.protocol.task == f'in1k-{percent}pct-ft'


def test_pooling_of_the_probes_is_the_same_for_all_backbones():
    paths = sorted(FOLDER.glob('probe_*.py'))
    assert paths
    assert {load_config(path).test_cfg.pooling for path in paths} == {'gap'}
