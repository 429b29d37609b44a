"""Training images of every recipe against the facts of its official code.

Each transform of a config is held by what it does: to a small picture, or over many draws.
"""

import json
import math
import pickle
import random
from itertools import cycle
from unittest import mock

import numpy as np
import pytest
import torchvision.transforms as tv
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from scipy import stats

from mim_bench.data.seeding import seed_everything
from mim_bench.testing.augment_facts import (
    LEAST_P_VALUE,
    bgr,
    each_recipe,
    kind,
    official_kind,
    p_value,
    picture,
    rgb,
    steps,
)

RESAMPLING = {name: Image.Resampling[name.upper()] for name in ('bilinear', 'bicubic', 'lanczos')}
NUM_DRAWS = 400
# Pairs of an op and a transform that were held already: recipes share many, down to each setting.
HELD = set()


def check_pairs(ops: list[dict], transforms: list) -> None:
    """Hold transforms against ops, one by one; masks stand anywhere and are held elsewhere."""
    ops = [op for op in ops if official_kind(op) != 'Mask']
    transforms = [t for t in transforms if kind(t) not in ('Mask', 'views')]
    assert [kind(t) for t in transforms] == [official_kind(op) for op in ops]
    for op, transform in zip(ops, transforms, strict=True):
        pair = json.dumps(op, sort_keys=True), pickle.dumps(transform)
        if pair not in HELD:
            CHECKS[official_kind(op)](op, transform)
            HELD.add(pair)


def apply(transform, image):
    return transform(dict(img=image))['img']


def share_changed(transform, image, num=NUM_DRAWS) -> float:
    """How often a transform changes an image at all."""
    seed_everything(3)
    results = [apply(transform, image) for _ in range(num)]
    return np.mean([not np.array_equal(np.asarray(r), np.asarray(image)) for r in results])


def assert_share(found: float, wanted: float, num=NUM_DRAWS) -> None:
    assert found == pytest.approx(wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / num))


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
    wanted = [official_box(rng, 120, 300, op) for _ in range(NUM_DRAWS)]
    assert p_value(found, wanted) > LEAST_P_VALUE
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
    assert stats.kstest(filters, 'uniform', (low, high - low)).pvalue > LEAST_P_VALUE
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


@each_recipe()
def test_training_images_are_changed_as_in_the_official_code(recipe):
    check_pairs(steps(recipe.facts['train']), recipe.transforms('train'))


@each_recipe('teacher')
def test_second_view_is_distorted_as_in_the_official_code(recipe):
    facts = recipe.facts['train']
    (views,) = (t for t in recipe.transforms('train') if kind(t) == 'views')
    plain, distorted = (view.transforms for view in views.transforms)
    check_pairs(steps(facts, 'student'), plain)
    check_pairs(steps(facts, 'teacher'), [t for t in distorted if kind(t) is not None])
