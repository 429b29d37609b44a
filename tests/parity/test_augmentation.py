"""Augmentation, masks, mixing and loss of every recipe against the facts of its official code.

Each transform of a config is held by what it does: to a small picture, or over many draws.
"""

import json
import math
import os
import random
import re
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import timm.data
import torch
import torchvision.transforms as tv
from mmengine.dataset import Compose
from mmpretrain.structures import DataSample
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from scipy import stats
from timm.data.random_erasing import RandomErasing as TimmErasing
from timm.loss import SoftTargetCrossEntropy

from mim_bench.data.seeding import seed_everything
from mim_bench.recipe.building import library_scope
from mim_bench.recipe.config import load_config
from mim_bench.registry import MODELS
from mim_bench.testing.config_names import PATHS, effective_preprocessor, parse

FOLDER = os.environ.get('MIM_BENCH_RECIPES_DIR')
NAME = re.compile(
    r'(?P<method>[a-z_]+)_(?P<task>pretrain|finetune|linprobe)_'
    r'(?P<family>vit|swin|pvt)(?P<size>[tsblh])(?:_(?P<variant>\w+))?'
)
SIZES = dict(t='tiny', s='small', b='base', l='large', h='huge')
RESAMPLING = {name: Image.Resampling[name.upper()] for name in ('bilinear', 'bicubic', 'lanczos')}
# The least probability that two samples of one distribution differ as these do. Seeds are fixed.
ALPHA = 1e-4
NUM_DRAWS = 400


@dataclass(frozen=True)
class Recipe:
    """The facts of one folder, and the project's config that they are held against."""

    facts: dict
    cfg: object

    def transforms(self, split: str) -> list:
        """The transforms of a loader, without reading and packing."""
        with library_scope(self.cfg):
            pipeline = Compose(self.cfg[f'{split}_dataloader'].dataset.pipeline)
        return [t for t in pipeline.transforms if kind(t) is not None]

    def preprocessor(self):
        """What a model does with a batch before its forward pass, as mmpretrain builds it."""
        settings = deepcopy(effective_preprocessor(self.cfg))
        if self.cfg.model.type == 'ImageClassifier':
            settings.setdefault('type', 'ClsDataPreprocessor')
            settings.setdefault('batch_augments', self.cfg.model.get('train_cfg'))
        with library_scope(self.cfg):
            return MODELS.build(settings)


def config_paths(name: str) -> list[Path]:
    """The configs of a recipe, of any length: the images do not depend on it."""
    words = NAME.fullmatch(name).groupdict()
    method, variant = words['method'], words['variant'] or ''
    plain = f'{words["family"]}-{SIZES[words["size"]]}'
    is_pyramid = method.startswith('ummae') and words['family'] != 'vit'
    backbones, recipe = {plain}, method
    if words['task'] == 'pretrain':
        head, recipe = method.removeprefix('ummae_'), ''  # UM-MAE's repository has its SimMIM
        if method == 'ummae_simmim':
            backbones = {f'ummae-{plain}'} | ({plain} if is_pyramid else set())
        elif variant == 'pixel':
            backbones = {f'pixel-{plain}'}
    else:
        head = {'finetune': 'finetune', 'linprobe': 'linear'}[words['task']]
        if method in ('beit', 'conmim', 'simmim') and words['family'] == 'vit':
            backbones = {f'beit-{plain}'}
        elif is_pyramid:
            backbones = {f'ummae-{plain}'}
    return [
        path
        for path in PATHS
        if (found := parse(path))['head'] == head
        and found['backbone'] in backbones
        and found['dataset'] == 'in1k'
        and (found['recipe'] or '').startswith(recipe)
        and (found['pixels'] == '256') == is_pyramid
        and (found['pixels'] == '384') == ('384' in variant)
    ]


@cache
def read(name: str) -> dict:
    return json.loads((Path(FOLDER) / name / 'augment.json').read_text('utf-8'))


@cache
def find(name: str) -> Recipe | str:
    """The recipe of a folder, or why there is nothing to compare."""
    facts, paths = read(name), config_paths(name)
    if not facts['published']:
        return f'{name}: no such command is published'
    if not paths:
        return f'{name}: the project has no config of it'
    configs = [load_config(path) for path in paths]
    parts = [
        (c.train_dataloader.dataset, c.val_dataloader, c.get('data_preprocessor'))
        if 'val_dataloader' in c
        else c.train_dataloader.dataset
        for c in configs
    ]
    assert all(part == parts[0] for part in parts), 'configs of one recipe augment differently'
    return Recipe(facts, configs[0])


NAMES = sorted(p.parent.name for p in Path(FOLDER).glob('*/augment.json')) if FOLDER else []


def each(key: str = ''):
    """Run a test on the recipes whose facts mention a key or an operation."""
    names = [name for name in NAMES if f'"{key}' in json.dumps(read(name))]
    skip = pytest.mark.skip('MIM_BENCH_RECIPES_DIR names no folder with such a recipe')
    values = names or [pytest.param('', marks=skip)]
    return pytest.mark.parametrize('recipe', values, indirect=True)


@pytest.fixture
def recipe(request) -> Recipe:
    found = find(request.param)
    if isinstance(found, str):
        pytest.skip(found)
    return found


# ---- what a config does, in the words of the facts --------------------------------------------

KINDS = {
    'RandomFlip': 'RandomHorizontalFlip',
    'RandomResizedCrop': 'RandomResizedCrop',
    'SingleDrawCrop': 'RandomResizedCrop',
    'TwoSizeCrop': 'RandomResizedCrop',
    'RandAugment': 'RandAugment',
    'RandomErasing': 'RandomErasing',
    'RandomApply': 'RandomApply',
    'GaussianBlur': 'GaussianBlur',
    'Solarize': 'Solarize',
    'ResizeEdge': 'Resize',
    'CenterCrop': 'CenterCrop',
    'MultiView': 'views',
    'UniformMask': 'Mask',
    'UnitMask': 'Mask',
    'RandomPatchMask': 'Mask',
    'BlockCellMask': 'Mask',
    'RandomBlockMask': 'Mask',
    'SimMIMMaskGenerator': 'Mask',
}
# Only change how an image is kept; what is read is an RGB image in any case.
NEUTRAL = {'LoadImageFromFile', 'PackInputs', 'NumpyToPIL', 'PILToNumpy'}
IN_THE_PREPROCESSOR = {'ToTensor', 'Normalize', 'Lambda', 'ConvertToRGB'}


def kind(transform) -> str | None:
    """What the facts call a transform; None for those that change no pixel."""
    name = type(transform).__name__
    if name == 'TorchVisonTransformWrapper':
        return type(transform.t).__name__
    return None if name in NEUTRAL else KINDS[name]


def official_kind(op: dict) -> str:
    return op['op'].split(',')[0]


def steps(facts: dict | list, part: str = 'shared') -> list[dict]:
    ops = facts[part] if isinstance(facts, dict) else facts
    return [op for op in ops if op['op'] not in IN_THE_PREPROCESSOR]


def check_pairs(ops: list[dict], transforms: list) -> None:
    """Hold transforms against ops, one by one; masks stand anywhere and are held elsewhere."""
    ops = [op for op in ops if official_kind(op) != 'Mask']
    transforms = [t for t in transforms if kind(t) not in ('Mask', 'views')]
    assert [kind(t) for t in transforms] == [official_kind(op) for op in ops]
    for op, transform in zip(ops, transforms, strict=True):
        CHECKS[official_kind(op)](op, transform)


def picture(height=40, width=48, seed=0) -> np.ndarray:
    """A BGR image without symmetry whose channels do not use the whole range."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    ramp = np.stack([rows, cols, rows + cols], -1) / (height + width)
    return (30 + 150 * ramp + rng.integers(0, 40, (height, width, 3))).astype(np.uint8)


def rgb(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image[..., ::-1]))


def bgr(image: Image.Image) -> np.ndarray:
    return np.asarray(image)[..., ::-1]


def apply(transform, image):
    return transform(dict(img=image))['img']


def share_changed(transform, image, num=NUM_DRAWS) -> float:
    """How often a transform changes an image at all."""
    seed_everything(3)
    results = [apply(transform, image) for _ in range(num)]
    return np.mean([not np.array_equal(np.asarray(r), np.asarray(image)) for r in results])


def assert_share(found: float, wanted: float, num=NUM_DRAWS) -> None:
    assert found == pytest.approx(wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / num))


def assert_alike(found, wanted) -> None:
    for ours, theirs in zip(np.transpose(found), np.transpose(wanted), strict=True):
        assert stats.ks_2samp(ours, theirs).pvalue > ALPHA


# ---- crop, flip, RandAugment -------------------------------------------------------------------


def official_box(rng, height, width, op) -> tuple[int, int, int, int]:
    """Top, left, height and width of a crop; of a single try, whatever fits the image."""
    for _ in range(op['tries']):
        area = rng.uniform(*op['area']) * height * width
        aspect = math.exp(rng.uniform(*map(math.log, op['aspect'])))
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if op['tries'] == 1:
            h, w = min(h, height), min(w, width)
        if h <= height and w <= width:
            return rng.randint(0, height - h), rng.randint(0, width - w), h, w
    low, high = op['aspect']
    h, w = min(height, round(width / low)), min(width, round(height * high))
    return (height - h) // 2, (width - w) // 2, h, w


def check_crop(op: dict, transform) -> None:
    seed_everything(1)
    rng = random.Random(2)
    # In an oblong image many boxes do not fit; in a large square all but a few do.
    oblong, square = (np.broadcast_to(np.uint8(0), (*s, 3)) for s in ((120, 300), (2000, 2000)))
    found = [transform.rand_crop_params(oblong) for _ in range(NUM_DRAWS)]
    assert_alike(found, [official_box(rng, 120, 300, op) for _ in range(NUM_DRAWS)])
    *_, heights, widths = np.transpose([transform.rand_crop_params(square) for _ in range(2000)])
    areas, aspects = heights * widths / 2000**2, widths / heights
    assert op['area'] == pytest.approx([areas.min(), areas.max()], abs=0.015)
    assert op['aspect'] == pytest.approx([aspects.min(), aspects.max()], abs=0.015)
    image, (top, left, height, width) = picture(420, 400), (10, 20, 390, 300)
    box = (top, left, height, width)
    with mock.patch.object(transform, 'rand_crop_params', return_value=box):
        images = apply(transform, image)
    crop = rgb(image).crop((left, top, left + width, top + height))
    sizes = [(op['size'], op['interpolation'])]
    if isinstance(images, list):
        sizes.append((op['second_size'], op['second_interpolation']))
    images = images if isinstance(images, list) else [images]
    for found, (size, name) in zip(images, sizes, strict=True):
        assert np.array_equal(found, bgr(crop.resize(size[::-1], RESAMPLING[name])))


def check_flip(op: dict, transform) -> None:
    image = picture()
    seed_everything(0)
    results = [apply(transform, image) for _ in range(NUM_DRAWS)]
    is_flipped = [np.array_equal(result, image[:, ::-1]) for result in results]
    assert all(
        flipped or np.array_equal(result, image)
        for flipped, result in zip(is_flipped, results, strict=True)
    )
    assert_share(np.mean(is_flipped), op['p'])


def official_operation(name: str, argument, op: dict):
    """One of RandAugment's operations on a PIL image, from its name and argument."""
    warp = dict(resample=RESAMPLING[op['interpolation']], fillcolor=tuple(op['fill']))

    def affine(image, *matrix):
        return image.transform(image.size, Image.Transform.AFFINE, matrix, **warp)

    def add(image):
        values = np.asarray(image).astype(int)
        return Image.fromarray(
            np.where(values < 128, np.minimum(values + argument, 255), values).astype(np.uint8)
        )

    enhancers = dict(
        color=ImageEnhance.Color,
        contrast=ImageEnhance.Contrast,
        brightness=ImageEnhance.Brightness,
        sharpness=ImageEnhance.Sharpness,
    )
    if name in enhancers:
        return lambda image: enhancers[name](image).enhance(argument)
    return dict(
        auto_contrast=ImageOps.autocontrast,
        equalize=ImageOps.equalize,
        invert=ImageOps.invert,
        rotate=lambda image: image.rotate(argument, **warp),
        # Of no bits nothing is left; Pillow 13 refuses to say so.
        posterize=lambda image: (
            ImageOps.posterize(image, argument) if argument else Image.new('RGB', image.size)
        ),
        solarize=lambda image: ImageOps.solarize(image, argument),
        solarize_add=add,
        shear_x=lambda image: affine(image, 1, argument, 0, 0, 1, 0),
        shear_y=lambda image: affine(image, 1, 0, 0, argument, 1, 0),
        translate_x_rel=lambda image: affine(image, 1, 0, argument * image.width, 0, 1, 0),
        translate_y_rel=lambda image: affine(image, 1, 0, 0, 0, 1, argument * image.height),
    )[name]


def run_operation(transform, image, index, *, chance=0.1, level=9.0, sign=0.1):
    """Apply one operation of a RandAugment; see what it draws.

    Args:
        transform: Of the config.
        image: BGR.
        index: Of the operation.
        chance: Drawn for whether the operation is applied.
        level: Drawn as its magnitude.
        sign: Drawn for the sign of its argument.
    """
    seen = {}

    def choose(ops, size=None, replace=True, p=None):
        seen.update(num_choices=len(ops), size=size, replace=replace, p=p)
        return [ops[index]]

    def gauss(mean, std):
        seen.update(mean=mean, std=std)
        return level

    with (
        mock.patch('numpy.random.choice', choose),
        mock.patch('random.gauss', gauss),
        mock.patch('random.random', side_effect=cycle((chance, sign))),
    ):
        return apply(transform, image), seen


def check_rand_augment(op: dict, transform) -> None:
    image = picture()
    signed = ('rotate', 'shear', 'translate')
    enhanced = ('color', 'contrast', 'brightness', 'sharpness')
    for index, name in enumerate(op['ops']):
        facts = op['argument_at_magnitude'][name]
        levels = facts if isinstance(facts, dict) else {'at_9': [None]}
        for level, (argument,) in levels.items():
            cases = {0.1: argument}
            if name.startswith(signed):
                cases[0.9] = -argument
            elif name in enhanced:
                cases[0.9] = 2 - argument  # 1 - level
            for sign, value in cases.items():
                found, _ = run_operation(
                    transform, image, index, level=float(level.removeprefix('at_')), sign=sign
                )
                wanted = bgr(official_operation(name, value, op)(rgb(image)))
                assert np.array_equal(found, wanted), (name, level, sign)
    low, high = op['magnitude_range']
    rotate = op['ops'].index('rotate')
    for bound, beyond in ((low, low - 3), (high, high + 3)):
        found, _ = run_operation(transform, image, rotate, level=beyond)
        assert np.array_equal(found, run_operation(transform, image, rotate, level=bound)[0])
    invert = op['ops'].index('invert')
    _, seen = run_operation(transform, image, invert)
    assert seen == dict(
        num_choices=len(op['ops']),
        size=op['num_ops'],
        replace=True,
        p=None,
        mean=op['magnitude'],
        std=op['magnitude_std'],
    )
    for chance, changes in ((op['p_of_an_op'] - 0.01, True), (op['p_of_an_op'] + 0.01, False)):
        found, _ = run_operation(transform, image, invert, chance=chance)
        assert np.array_equal(found, image) != changes


# ---- what ConMIM's teacher and BEiT see --------------------------------------------------------


def check_jitter(op: dict, transform) -> None:
    official = tv.ColorJitter(
        *(op[x] or 0 for x in ('brightness', 'contrast', 'saturation', 'hue'))
    )
    image = rgb(picture())
    for seed in range(8):
        seed_everything(seed)
        found = apply(transform, image)
        seed_everything(seed)
        assert np.array_equal(np.asarray(found), np.asarray(official(image)))


def check_random_apply(op: dict, transform) -> None:
    image = rgb(picture())
    assert_share(share_changed(transform, image), op['p'])
    check_pairs(op['of'], transform.transforms.transforms)


def check_grayscale(op: dict, transform) -> None:
    image = rgb(picture())
    assert_share(share_changed(transform, image), op['p'])
    grey = np.asarray(image.convert('L'))
    seed_everything(0)
    results = [np.asarray(apply(transform, image)) for _ in range(20)]
    changed = [r for r in results if not np.array_equal(r, np.asarray(image))]
    assert all(np.array_equal(r, np.stack([grey] * 3, -1)) for r in changed)


def check_blur(op: dict, transform) -> None:
    image = picture()
    filters = []

    def record(radius):
        filters.append(radius)
        return ImageFilter.BoxBlur(3)

    with mock.patch('PIL.ImageFilter.GaussianBlur', record):
        share = share_changed(transform, image, 4 * NUM_DRAWS)
    assert_share(share, op['p'], 4 * NUM_DRAWS)
    low, high = op['radius']
    assert stats.kstest(filters, 'uniform', (low, high - low)).pvalue > ALPHA
    with (
        mock.patch.object(transform, 'prob', 1.0),
        mock.patch.object(transform, 'random_magnitude', return_value=1.5),
    ):
        found = apply(transform, image)
    assert np.array_equal(found, bgr(rgb(image).filter(ImageFilter.GaussianBlur(1.5))))


def check_solarize(op: dict, transform) -> None:
    image = picture()
    assert_share(share_changed(transform, image), op['p'])
    with mock.patch.object(transform, 'prob', 1.0):
        found = apply(transform, image)
    assert np.array_equal(found, bgr(ImageOps.solarize(rgb(image), op['threshold'])))


def check_erasing(op: dict, transform) -> None:
    """How often and where; what it erases is held with the preprocessor."""
    image = picture(64, 64)
    seed_everything(0)
    drawn = [transform(dict(img=image)) for _ in range(NUM_DRAWS)]
    assert_share(np.mean(['erased' in results for results in drawn]), op['p'])


CHECKS = {
    'RandomResizedCrop': check_crop,
    'RandomHorizontalFlip': check_flip,
    'RandAugment': check_rand_augment,
    'RandomErasing': check_erasing,
    'ColorJitter': check_jitter,
    'RandomApply': check_random_apply,
    'RandomGrayscale': check_grayscale,
    'GaussianBlur': check_blur,
    'Solarize': check_solarize,
}


@each()
def test_training_images_are_changed_as_in_the_official_code(recipe):
    check_pairs(steps(recipe.facts['train']), recipe.transforms('train'))


@each('teacher')
def test_second_view_is_distorted_as_in_the_official_code(recipe):
    facts = recipe.facts['train']
    (views,) = (t for t in recipe.transforms('train') if kind(t) == 'views')
    plain, distorted = (view.transforms for view in views.transforms)
    check_pairs(steps(facts, 'student'), plain)
    check_pairs(steps(facts, 'teacher'), [t for t in distorted if kind(t) is not None])


# ---- masks -------------------------------------------------------------------------------------


def official_blocks(rng: random.Random, op: dict) -> np.ndarray:
    """Rectangles of random area and aspect, until ten in a row hide nothing or too much."""
    rows, cols = op['tokens']
    mask = np.zeros((rows, cols), bool)
    failures = 0
    while failures < 10 and mask.sum() < op['hidden_at_most']:
        failures += 1
        left_over = op['hidden_at_most'] - mask.sum()
        area = rng.uniform(op['block'][0], min(left_over, op['block'][1]))
        aspect = math.exp(rng.uniform(*op['log_aspect']))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if h < rows and w < cols:
            top, left = rng.randint(0, rows - h), rng.randint(0, cols - w)
            larger = mask.copy()
            larger[top : top + h, left : left + w] = True
            if 0 < (larger ^ mask).sum() <= left_over:
                mask, failures = larger, 0
    return mask


def cells(masks: np.ndarray, side: int) -> np.ndarray:
    """Masks (N, rows, cols) as the square cells that they are made of: (N, cells, side * side)."""
    num, rows, cols = masks.shape
    split = masks.reshape(num, rows // side, side, cols // side, side)
    return split.transpose(0, 1, 3, 2, 4).reshape(num, -1, side * side)


def check_mask(op: dict, transform, masks: np.ndarray) -> None:
    """Hold masks (N, rows, cols), True = hidden, against the kind of the facts."""
    if op['kind'] == 'blocks':
        assert [transform.min_block, transform.max_hidden] == op['block']
        rng = random.Random(0)
        official = np.stack([official_blocks(rng, op) for _ in masks])
        assert masks.shape[1:] == tuple(op['tokens'])
        assert masks.sum((1, 2)).max() == op['hidden_at_most']
        for axes in ((1, 2), 1, 2):  # how many are hidden, in all and in each row and column
            found, wanted = masks.sum(axes), official.sum(axes)
            assert_alike(found.reshape(len(found), -1), wanted.reshape(len(wanted), -1))
        return
    if op['kind'] == 'random squares':
        assert masks.shape[1] == op['image'] // op['token']
        side, num_hidden = op['square'] // op['token'], op['hidden']
    else:
        # The project's SimMIM has its mask at the patches of the network.
        side, num_hidden = masks.shape[1] // op['tokens'][0], op['hidden']
    squares = cells(masks, side)
    assert (squares == squares[..., :1]).all()
    hidden = squares[..., 0]
    assert set(hidden.sum(1)) == {num_hidden}
    # Every square is hidden equally often.
    share = num_hidden / hidden.shape[1]
    error = math.sqrt(share * (1 - share) / len(hidden))
    assert np.abs(hidden.mean(0) - share).max() < 5 * error
    if op['kind'].startswith('uniform'):
        kept = ~cells(masks, 2)
        assert set(kept.sum(-1).ravel()) == {1}
        # Drawn without replacement from a list, the places vary half as much as on their own.
        counts = kept.sum(1)  # (N, 4)
        assert counts.var(0).max() < 0.75 * kept.shape[1] * 3 / 16
    elif op['kind'] == 'random tokens':
        assert cells(hidden.reshape(len(masks), *op['tokens']), 2).all(-1).any()
    else:
        assert op['kind'] == 'random squares'


@each('Mask"')
def test_masks_are_those_of_the_official_code(recipe):
    facts = recipe.facts['train']
    ops = [facts['mask']] if 'mask' in facts else [op for op in facts if op['op'] == 'Mask']
    (transform,) = (t for t in recipe.transforms('train') if kind(t) == 'Mask')
    seed_everything(0)
    masks = np.stack([np.asarray(transform({})['mask'], bool) for _ in range(NUM_DRAWS)])
    check_mask(ops[0], transform, masks)


# ---- normalisation, erasing, mixing ------------------------------------------------------------


def batch_of(images: list[np.ndarray], **fields) -> dict:
    samples = [DataSample().set_gt_label(i) for i in range(len(images))]
    inputs = torch.stack([torch.from_numpy(i.transpose(2, 0, 1).copy()) for i in images])
    return dict(inputs=inputs, data_samples=samples)


def normalised(image: np.ndarray, ops: list[dict]) -> torch.Tensor:
    tensor = tv.functional.to_tensor(rgb(image))
    for op in ops:
        if op['op'] == 'Normalize':
            tensor = tv.functional.normalize(tensor, op['mean'], op['std'])
        elif op['op'] == 'Lambda':
            assert '0.8 x + 0.1' in op['what']
            tensor = 0.8 * tensor + 0.1
    return tensor


@each()
def test_images_are_normalised_as_in_the_official_code(recipe):
    facts = recipe.facts['train']
    views = [facts[v] for v in ('student', 'teacher', 'tokenizer') if v in facts] or [facts]
    preprocessor = recipe.preprocessor()
    images = [picture(seed=0), picture(seed=1)]
    batch = batch_of(images)
    if len(views) == 2:
        batch['inputs'] = [batch['inputs'], batch['inputs']]
    found = preprocessor(batch, training=False)['inputs']
    for ops, view in zip(views, found if len(views) == 2 else [found], strict=True):
        for image, ours in zip(images, view, strict=True):
            torch.testing.assert_close(ours, normalised(image, ops), atol=1e-5, rtol=0)


@each('RandomErasing')
def test_erasing_replaces_normalised_pixels_as_timm_does(recipe):
    op = recipe.facts['train'][-1]
    assert op['on'] == 'the normalised tensor'
    assert op['mode'] == 'normal noise for every pixel'
    official = TimmErasing(
        op['p'],
        *op['area'],
        *(round(math.exp(x), 4) for x in op['log_aspect']),
        mode='pixel',
        min_count=op['count'][0],
        max_count=op['count'][1],
        device='cpu',
    )
    official.log_aspect_ratio = [math.log(0.3) * s for s in (1, -1)]
    with library_scope(recipe.cfg):
        pack = Compose(recipe.cfg.train_dataloader.dataset.pipeline[-1:])
    transform = recipe.transforms('train')[-1]
    with mock.patch.dict(recipe.cfg.model, train_cfg=None):
        preprocessor = recipe.preprocessor()
    images = [picture(64, 72, seed) for seed in range(60)]
    packed, wanted = [], []
    for seed, image in enumerate(images):
        seed_everything(seed)
        packed.append(pack(transform(dict(img=image, gt_label=seed))))
        seed_everything(seed)
        wanted.append(official(normalised(image, recipe.facts['train'])))
    samples = [p['data_samples'] for p in packed]
    batch = dict(inputs=torch.stack([p['inputs'] for p in packed]), data_samples=samples)
    found = preprocessor(deepcopy(batch), training=True)['inputs']
    torch.testing.assert_close(found, torch.stack(wanted), atol=1e-5, rtol=0)
    plain = preprocessor(batch, training=False)['inputs']
    noise = found[found != plain]
    assert 5 < len({i for i, *_ in (found != plain).nonzero().tolist()}) < 30
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert noise.min() < -3.5  # less than black, normalised, in every recipe
    assert noise.max() > 3.5


def official_mixup(facts: dict, seed: int):
    assert facts['partner'] == 'the batch in reverse order'
    seed_everything(seed)
    np.random.choice(1)  # which of one augmentation: mmpretrain draws that, too
    return timm.data.Mixup(
        facts['mixup_alpha'],
        facts['cutmix_alpha'],
        facts['cutmix_minmax'],
        prob=facts['p'],
        switch_prob=facts['p_cutmix'],
        mode=facts['mode'],
        correct_lam=facts['correct_lam'],
        label_smoothing=facts['label_smoothing'],
        num_classes=facts['num_classes'],
    )


@each('loss')
def test_mixing_targets_and_loss_are_those_of_the_official_code(recipe):
    facts = recipe.facts['mixup']
    preprocessor = recipe.preprocessor()
    with library_scope(recipe.cfg):
        loss = MODELS.build(deepcopy(recipe.cfg.model.head.loss))
    images = [picture(24, 32, seed) for seed in range(6)]
    labels = torch.tensor([3, 1, 4, 1, 5, 9])
    scores = torch.randn(6, 1000, generator=torch.Generator().manual_seed(0))
    plain = torch.stack([normalised(image, recipe.facts['train']) for image in images])
    kinds = set()
    for seed in range(12 if facts else 1):
        batch = batch_of(images)
        for sample, label in zip(batch['data_samples'], labels, strict=True):
            sample.set_gt_label(label)
        seed_everything(seed)
        data = preprocessor(batch, training=True)
        targets = labels
        wanted = plain
        if facts:
            wanted, targets = official_mixup(facts, seed)(plain.clone(), labels)
        torch.testing.assert_close(data['inputs'], wanted, atol=1e-5, rtol=0)
        samples = data['data_samples']
        if facts:
            found = torch.stack([sample.gt_score for sample in samples])
            official_loss = SoftTargetCrossEntropy()
            # Cutmix leaves pixels as they are.
            same = torch.isclose(data['inputs'], plain, atol=1e-5, rtol=0).float().mean()
            kinds.add('cutmix' if same > 0.04 else 'mixup')
        else:
            found = torch.cat([sample.gt_label for sample in samples])
            official_loss = torch.nn.CrossEntropyLoss()
        assert recipe.facts['loss'] == type(official_loss).__name__
        torch.testing.assert_close(loss(scores, found), official_loss(scores, targets))
    assert kinds == ({'mixup', 'cutmix'} if facts else set())


# ---- testing -----------------------------------------------------------------------------------


@each('CenterCrop')
@pytest.mark.parametrize('size', [(300, 451), (600, 333)])
def test_test_images_are_those_of_the_official_code(recipe, size):
    ops = recipe.facts['test']
    resize, crop = (op for op in ops if op['op'] in ('Resize', 'CenterCrop'))
    image = picture(*size)
    official = tv.Compose(
        [
            tv.Resize(resize['size'], tv.InterpolationMode(resize['interpolation'])),
            tv.CenterCrop(crop['size']),
        ]
    )
    wanted = normalised(bgr(official(rgb(image))), ops)
    transforms = recipe.transforms('test')
    assert [kind(t) for t in transforms] == ['Resize', 'CenterCrop']
    results = dict(img=image)
    for transform in transforms:
        results = transform(results)
    found = recipe.preprocessor()(batch_of([results['img']]), training=False)['inputs'][0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
