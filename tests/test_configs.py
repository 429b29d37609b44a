"""Holds every config to its name: batch, precision, schedule, pixels, data set, model."""

import pytest

from mim_bench.testing.config_names import (
    CONFIGS,
    NAME,
    PATHS,
    effective_preprocessor,
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


def each(paths):
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


each_config = each(PATHS)
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
    if fields['head'] == 'probe':
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
    assert (fields['head'] == 'probe') == (cfg.get('test_cfg', {}).get('probes') is not None)


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


@each(NAMED_RECIPES)
def test_recipe_is_that_of_the_protocol(path):
    cfg, fields = load(path), parse(path)
    # The length of a common protocol goes by the size of the backbone.
    length = f'{fields["length"]}{fields["unit"]}'
    words = ['common'] if fields['recipe'] == 'common' else [fields['recipe'], length]
    assert cfg.protocol.name.startswith(f'{cfg.protocol.task}-{"-".join(words)}')


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
