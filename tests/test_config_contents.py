"""Holds the resolved contents of every config together: rates, windows, pipelines, classes."""

import ast
import re

import pytest

from mim_bench import registry
from mim_bench.recipe.config import check_top_level
from mim_bench.recipe.effective_batch import RULES
from mim_bench.testing.config_names import (
    BASES,
    CONFIGS,
    PATHS,
    effective_preprocessor,
    load,
    parse,
    used_loaders,
    walk,
)


def each(paths):
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


each_config = each(PATHS)
TRAINED = [p for p in PATHS if not p.stem.startswith('probe')]
# The standard Swin at the sizes that have downstream configs with it.
STANDARD_SWIN = [
    p for p in PATHS if re.match('(?!ummae|localmim|symmim).*_swin-(tiny|toy)_', p.stem)
]


def windows(backbone):
    """Side of the windows of each stage of a standard Swin."""
    num_stages = len(backbone.arch['depths']) if isinstance(backbone.arch, dict) else 4
    if backbone.type == 'mim_bench.Swin':
        size = backbone.get('window_size', 7)
        return [size] * num_stages if isinstance(size, int) else list(size)
    settings = backbone.stage_cfgs
    stages = [settings] * num_stages if isinstance(settings, dict) else settings
    return [stage.block_cfgs.window_size for stage in stages]


@each(STANDARD_SWIN)
def test_windows_fit_the_maps(path):
    backbone, side = load(path).model.backbone, int(parse(path)['pixels']) // 4
    if not backbone.get('pad_small_map'):
        # mmpretrain's Swin refuses a window that is larger than the map of its stage.
        assert all(window <= side >> s for s, window in enumerate(windows(backbone)))


@each([p for p in STANDARD_SWIN if parse(p)['recipe'] in (None, 'coslr', 'ummae')])
def test_windows_are_those_of_pretraining(path):
    # Bias tables have the size of the window, so another one would not load.
    size = parse(path)['size']
    pretraining = next(p for p in STANDARD_SWIN if p.stem.startswith(f'simmim_swin-{size}'))
    assert windows(load(path).model.backbone) == windows(load(pretraining).model.backbone)


@each(TRAINED)
def test_learning_rate_follows_the_batch(path):
    cfg, fields = load(path), parse(path)
    batch = int(fields['gpus']) * int(fields['batch']) * int(fields['accum'] or 1)
    assert cfg.effective_batch_size == batch
    assert cfg.get('lr_scaling', 'linear') in RULES
    # base_lr is for base_batch_size images; a rate that is not scaled is for the whole batch.
    rate = cfg.base_lr * batch / cfg.base_batch_size
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(rate)


@each_config
def test_pipelines_reach_the_loaders(path):
    cfg, loaders = load(path), used_loaders(path)
    for name, loader in loaders.items():
        variable = 'train_pipeline' if name == 'train' else 'test_pipeline'
        assert loader.dataset.pipeline == cfg[variable], f'{name} reads another pipeline'


@each([p for p in PATHS if load(p).get('pretraining')])
def test_masks_of_our_methods_are_made_in_the_loader(path):
    cfg = load(path)
    collate = cfg.train_dataloader.collate_fn
    # mmpretrain's methods stack the masks of a list of samples themselves.
    is_ours = cfg.model.type.startswith('mim_bench.')
    assert (collate.type == 'mim_bench.collate_masks') == is_ours
    # Only LocalMIM's Swin encodes windows of visible tokens.
    assert ('window_sizes' in collate) == (cfg.model.backbone.type == 'mim_bench.LocalMIMSwin')


@each_config
def test_images_are_normalised_as_imagenet(path):
    preprocessor = effective_preprocessor(load(path))
    # BEiT's fine-tuning commands normalise by 0.5.
    is_beit = (parse(path)['head'], parse(path)['recipe']) == ('finetune', 'beit')
    half = [127.5] * 3
    assert preprocessor.get('mean') == (half if is_beit else [123.675, 116.28, 103.53])
    assert preprocessor.get('std') == (half if is_beit else [58.395, 57.12, 57.375])
    assert preprocessor.get('to_rgb') or preprocessor.get('bgr_to_rgb')


@each_config
def test_protocol_says_task_and_tier(path):
    cfg = load(path)
    protocol = cfg.protocol
    assert {'name', 'version', 'tier'} <= set(protocol)
    assert ('task' in protocol) != ('tasks' in protocol)
    assert protocol.tier == ('smoke' if parse(path)['size'] == 'toy' else 'full')


@each_config
def test_top_level_holds_what_is_read(path):
    check_top_level(load(path))


@each_config
def test_no_path_is_absolute(path):
    texts = [node for node in walk(load(path)._cfg_dict) if isinstance(node, str)]
    assert not [text for text in texts if re.match(r'[/~\\]|\w+://', text)]


@each_config
def test_classes_of_this_package_are_registered(path, registered):
    types = {node.get('type') for node in walk(load(path)._cfg_dict) if isinstance(node, dict)}
    names = {t for t in types if isinstance(t, str)} | {load(path).runner_type}
    ours = {name.removeprefix('mim_bench.') for name in names if name.startswith('mim_bench.')}
    assert not ours - registered


@pytest.fixture(scope='module')
def registered():
    names = set()
    for child in vars(registry).values():
        if isinstance(child, registry.Registry) and child.scope == 'mim_bench':
            child.import_from_location()
            names |= set(child.module_dict)
    return names


@each([*PATHS, *BASES])
def test_parents_stand_in_this_folder(path):
    for statement in ast.parse(path.read_text()).body:
        assert not isinstance(statement, ast.Import | ast.ImportFrom | ast.With)
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == '_base_':
            parents = ast.literal_eval(statement.value)
            for parent in [parents] if isinstance(parents, str) else parents:
                # 'mmdet::...' would inherit from an installed package.
                assert parent.startswith('.'), parent
                assert (path.parent / parent).resolve().is_relative_to(CONFIGS)
