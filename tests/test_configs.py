"""Holds every config to its name, and its resolved contents together.

A rule is one test over all configs; it fails with the list of those that break it.
"""

import ast
import re
from functools import cache

import pytest

from mim_bench import registry
from mim_bench.recipe.config import check_top_level
from mim_bench.recipe.effective_batch import RULES
from mim_bench.testing.config_names import (
    BASES,
    CONFIGS,
    NAME,
    PATHS,
    PROBES,
    effective_preprocessor,
    for_every,
    has_schedule,
    load,
    parse,
    used_loaders,
    walk,
)

UNITS = {'e': ('max_epochs', 1), 'i': ('max_iters', 1), 'k': ('max_iters', 1000)}
# Head -> the type of the model, and of the head if the model's type does not tell. A linear
# probe is a classifier or a segmentor.
MODELS = {
    'ummae': ('mim_bench.UMMAE', None),
    'localmim': ('mim_bench.LocalMIM', None),
    'conmim': ('mim_bench.ConMIM', None),
    'symmim': ('mim_bench.SymMIM', None),
    'mae': ('MAE', None),
    'simmim': ('SimMIM', None),
    'beit': ('BEiT', None),
    'maskfeat': ('MaskFeat', None),
    'finetune': ('ImageClassifier', 'LinearClsHead'),
    'linear': ('ImageClassifier', 'LinearClsHead'),
    'probe': ('ImageClassifier', None),
    'attentive': ('ImageClassifier', None),
    'best-layer': ('ImageClassifier', None),
    'knn': ('EncoderDecoder', 'mim_bench.PatchProbeHead'),
    'logreg': ('EncoderDecoder', 'mim_bench.PatchProbeHead'),
    'eomt': ('mim_bench.EoMT', 'mim_bench.EoMTHead'),
    'linear-ft': ('EncoderDecoder', 'FCNHead'),
    'upernet': ('EncoderDecoder', 'UPerHead'),
    'mask-rcnn': ('MaskRCNN', None),
    'cascade-mask-rcnn': ('CascadeRCNN', None),
    'gfl': ('GFL', 'GFLHead'),
    'htc': ('HybridTaskCascade', None),
    'htc-no-stuff': ('HybridTaskCascade', None),
    'htc-plus': ('HybridTaskCascade', None),
    'htc-plus-no-stuff': ('HybridTaskCascade', None),
}
FOLDERS = {
    'knn': 'segmentation/knn',
    'logreg': 'segmentation/logreg',
    'eomt': 'segmentation/eomt',
    'linear-ft': 'segmentation/linear_ft',
    'upernet': 'segmentation/upernet',
    'mask-rcnn': 'detection/mask_rcnn',
    'cascade-mask-rcnn': 'detection/cascade',
    'gfl': 'detection/gfl',
    'htc': 'detection/htc',
    'htc-no-stuff': 'detection/htc',
    'htc-plus': 'detection/htc_plus',
    'htc-plus-no-stuff': 'detection/htc_plus',
}
METHODS = ('ummae', 'localmim', 'conmim', 'symmim', 'mae', 'simmim', 'beit', 'maskfeat')
# What the class of a backbone's family may be called.
FAMILIES = {'vit': ('ViT', 'VisionTransformer'), 'swin': ('Swin',), 'pvt': ('Pvt',)}
ROOTS = {
    'in1k': 'data/imagenet/',
    'in1k-1pct': 'data/imagenet/',
    'in1k-10pct': 'data/imagenet/',
    'ade20k': 'data/ade/ADEChallengeData2016/',
    'coco': 'data/coco/',
    'toy-in1k': 'data/toy/imagenet/',
    'toy-ade20k': 'data/toy/ade/ADEChallengeData2016/',
    'toy-coco': 'data/toy/coco/',
}
# Transforms that cut an image to the size in the name, and the argument that says it.
CROPS = {
    'RandomResizedCrop': 'scale',
    'mim_bench.SingleDrawCrop': 'scale',
    'mim_bench.TwoSizeCrop': 'scale',
    'CenterCrop': 'crop_size',
    'RandomCrop': 'crop_size',
}


def pixels(value):
    return set(value) if isinstance(value, list | tuple) else {value}


each_config = for_every(PATHS)
# Downstream recipes of full size say whose settings they are.
NAMED_RECIPES = [
    p
    for p in PATHS
    if p.relative_to(CONFIGS).parts[0] not in ('demo', 'pretrain') and has_schedule(p)
]


def is_valid(fields):
    """Whether a name parses, and has a schedule unless it is a probe's."""
    if fields is None:
        return False
    if fields['head'] in PROBES:
        return not (fields['length'] or fields['amp'] or fields['accum'])
    return fields['length'] is not None


def test_there_are_configs_of_every_kind():
    assert {parse(path)['head'] for path in PATHS} == set(MODELS)
    assert set(METHODS) < set(MODELS)


@each_config
def test_name_follows_the_scheme(path):
    assert is_valid(parse(path)), f'{path.name}: does not follow the scheme'


@each_config
def test_folder_agrees_with_the_name(path):
    fields = parse(path)
    is_toy = fields['size'] == 'toy'
    assert is_toy == fields['dataset'].startswith('toy-')
    folder = FOLDERS.get(fields['head'], 'classification')
    if (fields['head'], fields['dataset']) == ('linear', 'ade20k'):
        folder = 'segmentation/linear'
    if fields['head'] in METHODS:
        folder = f'pretrain/{fields["head"]}'
    wanted = 'demo' if is_toy else folder
    assert path.parent.relative_to(CONFIGS).as_posix() == wanted


@each_config
def test_model_is_the_one_named(path):
    cfg, fields = load(path), parse(path)
    model, head = MODELS[fields['head']]
    if (fields['head'], fields['dataset']) == ('linear', 'ade20k'):
        model, head = 'EncoderDecoder', 'FCNHead'
    assert cfg.model.type == model
    heads = [cfg.model.get(key, {}).get('type') for key in ('head', 'decode_head', 'bbox_head')]
    assert head is None or head in heads
    test = cfg.get('test_cfg') or {}
    assert (fields['head'] in PROBES) == bool(test.get('probes') or test.get('classifier'))


@each_config
def test_method_is_the_one_named(path):
    cfg, fields = load(path), parse(path)
    # A downstream config serves every method, so it names none.
    method = fields['head'] if fields['head'] in METHODS else None
    assert cfg.get('pretraining', {}).get('method') == method
    if method:
        assert cfg.pretraining.epochs == cfg.train_cfg.max_epochs
        assert method in cfg.protocol.name


@each_config
def test_backbone_is_the_one_named(path):
    cfg, fields = load(path), parse(path)
    backbone = cfg.model.backbone
    words = fields['backbone'].split('-')
    assert ('UMMAE' in backbone.type) == ('ummae' in (fields['head'], words[0]))
    assert any(name in backbone.type for name in FAMILIES[words[-2]])
    if fields['size'] == 'toy':
        assert isinstance(backbone.arch, dict)
    else:
        # What mmpretrain calls small is another network than the field's ViT-S.
        assert backbone.arch in (fields['size'], f'deit-{fields["size"]}', fields['size'][0])
        assert not (
            words[-2:] == ['vit', 'small']
            and backbone.arch in ('small', 's')
            and not backbone.type.startswith('mim_bench.')
        )


@each_config
def test_batch_and_accumulation_are_those_named(path):
    cfg, fields = load(path), parse(path)
    loader = cfg.train_dataloader if has_schedule(path) else cfg.test_cfg.bank_dataloader
    assert loader.batch_size == int(fields['batch'])
    if has_schedule(path):
        assert cfg.optim_wrapper.get('accumulative_counts', 1) == int(fields['accum'] or 1)


@each_config
def test_precision_is_the_one_named(path):
    if not has_schedule(path):
        assert not load(path).get('optim_wrapper')
        return
    wanted = 'AmpOptimWrapper' if parse(path)['amp'] else 'OptimWrapper'
    assert load(path).optim_wrapper.type == wanted


@each_config
def test_length_and_recipe_are_those_named(path):
    cfg, fields = load(path), parse(path)
    if not has_schedule(path):
        assert not cfg.get('train_cfg')
        assert not cfg.get('param_scheduler')
        return
    key, factor = UNITS[fields['unit']]
    assert cfg.train_cfg[key] == int(fields['length']) * factor
    schedulers = cfg.param_scheduler
    if isinstance(schedulers, dict):
        # It ends with the training where it does not say its own end.
        assert fields['recipe'] != 'coslr' or schedulers.type.endswith('CosineLR')
        assert schedulers.get('end', cfg.train_cfg[key]) == cfg.train_cfg[key]
        return
    is_cosine = any('CosineAnnealing' in scheduler.type for scheduler in schedulers)
    assert fields['recipe'] != 'coslr' or is_cosine
    # The last scheduler ends with the run.
    assert schedulers[-1].end == cfg.train_cfg[key]


@each_config
def test_datasets_are_those_named(path):
    name = parse(path)['dataset']
    roots = {loader.dataset.data_root for loader in used_loaders(path).values()}
    assert roots == {ROOTS[name]}
    assert load(path).data_root == ROOTS[name]
    for node in walk(load(path).get('val_evaluator')):
        assert 'ann_file' not in node or node['ann_file'].startswith(ROOTS[name])


@each_config
def test_pixels_are_those_named(path):
    wanted, cfg = {int(parse(path)['pixels'])}, load(path)
    found = [size for loader in used_loaders(path).values() for size in crops(loader)]
    if parse(path)['dataset'].endswith('coco') and not found:
        # Trained at several sizes: the largest short side.
        found = [{max(short_sides(cfg.train_dataloader))}]
    else:
        found += [{cfg.model.backbone.img_size}] if 'img_size' in cfg.model.backbone else []
        preprocessor = effective_preprocessor(cfg)
        found += [pixels(preprocessor.size)] if 'size' in preprocessor else []
    assert found, 'no transform cuts to a size'
    assert all(size == wanted for size in found), found


def crops(loader):
    """Sides that the transforms of a loader cut an image to."""
    for step in walk(loader.dataset.pipeline):
        if isinstance(step, dict) and step.get('type') in CROPS:
            sides = pixels(step[CROPS[step.type]])
            # DETR's crop of one side or another is not the last step.
            if len(sides) == 1:
                yield sides
        if isinstance(step, dict) and step.get('keep_ratio') is False:
            yield pixels(step['scale'])
        # Masks say the side of the image; MaskFeat's says the grid of tokens.
        if isinstance(step, dict) and isinstance(step.get('input_size'), int):
            yield {step['input_size']}


def short_sides(loader):
    """The short side of every (width, height) that the transforms of a loader resize to."""
    for step in walk(loader.dataset.pipeline):
        if isinstance(step, dict) and 'Resize' in step.get('type', ''):
            scales = step.get('scales', step.get('scale'))
            for scale in scales if isinstance(scales[0], list | tuple) else [scales]:
                yield min(scale)


@for_every(NAMED_RECIPES)
def test_recipe_is_that_of_the_protocol(path):
    cfg, fields = load(path), parse(path)
    # The length of a common protocol goes by the size of the backbone.
    length = f'{fields["length"]}{fields["unit"]}'
    words = ['common'] if fields['recipe'] == 'common' else [fields['recipe'], length]
    assert cfg.protocol.name.startswith(f'{cfg.protocol.task}-{"-".join(words)}')


# ---- contents ----------------------------------------------------------------------------------

TRAINED = [p for p in PATHS if has_schedule(p)]
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


@for_every(STANDARD_SWIN)
def test_windows_fit_the_maps(path):
    backbone, side = load(path).model.backbone, int(parse(path)['pixels']) // 4
    if not backbone.get('pad_small_map'):
        # mmpretrain's Swin refuses a window that is larger than the map of its stage.
        assert all(window <= side >> s for s, window in enumerate(windows(backbone)))


@for_every([p for p in STANDARD_SWIN if parse(p)['recipe'] in (None, 'coslr', 'ummae')])
def test_windows_are_those_of_pretraining(path):
    # Bias tables have the size of the window, so another one would not load.
    size = parse(path)['size']
    pretraining = next(p for p in STANDARD_SWIN if p.stem.startswith(f'simmim_swin-{size}'))
    assert windows(load(path).model.backbone) == windows(load(pretraining).model.backbone)


@for_every(TRAINED)
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
        variable = 'bank_pipeline' if name == 'bank' and 'bank_pipeline' in cfg else variable
        assert loader.dataset.pipeline == cfg[variable], f'{name} reads another pipeline'


@each_config
def test_masks_of_our_methods_are_made_in_the_loader(path):
    cfg = load(path)
    if not cfg.get('pretraining'):
        return
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
def test_classes_of_this_package_are_registered(path):
    types = {node.get('type') for node in walk(load(path)._cfg_dict) if isinstance(node, dict)}
    names = {t for t in types if isinstance(t, str)} | {load(path).runner_type}
    ours = {name.removeprefix('mim_bench.') for name in names if name.startswith('mim_bench.')}
    missing = ours - registered()
    assert not missing


@cache
def registered():
    names = set()
    for child in vars(registry).values():
        if isinstance(child, registry.Registry) and child.scope == 'mim_bench':
            child.import_from_location()
            names |= set(child.module_dict)
    return names


@for_every([*PATHS, *BASES])
def test_parents_stand_in_this_folder(path):
    for statement in ast.parse(path.read_text()).body:
        assert not isinstance(statement, ast.Import | ast.ImportFrom | ast.With)
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == '_base_':
            parents = ast.literal_eval(statement.value)
            for parent in [parents] if isinstance(parents, str) else parents:
                # 'mmdet::...' would inherit from an installed package.
                assert parent.startswith('.'), parent
                assert (path.parent / parent).resolve().is_relative_to(CONFIGS)


@pytest.mark.parametrize(
    'name',
    [
        'ummae_swin-tiny_8xb128_in1k-256px',  # no length
        'ummae_swin-tiny_8x128-200e_in1k-256px',
        'upernet_swin-tiny_8xb2-160k-amp_ade20k-512px',  # wrong order
        'upernet_swin-tiny_8xb2-amp-160k_ade20k',  # no pixels
        'probe_swin-tiny_8xb64-90e_in1k-256px',  # a probe has no schedule
    ],
)
def test_scheme_refuses_other_names(name):
    match = NAME.fullmatch(name)
    assert not is_valid(match and match.groupdict())
