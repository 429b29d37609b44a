"""The fast arithmetic of training images against Pillow's, and the draws against the recipe's."""

import cv2
import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image, ImageEnhance, ImageOps

from mim_bench.data.seeding import seed_everything
from mim_bench.data.transforms import uint8_ops
from mim_bench.data.transforms.uint8_resize import resize
from mim_bench.errors import ConfigError
from mim_bench.recipe.building import build_pipeline, train_pipeline
from mim_bench.recipe.config import load_config
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.shipped import shipped_config

RECIPES = [
    'configs/pretrain/mae/mae_vit-base_8xb512-amp-coslr-400e_in1k-224px.py',
    'configs/pretrain/beit/beit_vit-base_8xb256-amp-coslr-300e_in1k-224px.py',
    'configs/pretrain/conmim/conmim_vit-base_32xb64-amp-coslr-300e_in1k-224px.py',
    'configs/classification/finetune_vit-base_8xb128-amp-mae-100e_in1k-224px.py',
    'configs/classification/linear_vit-base_8xb2048-amp-mae-90e_in1k-224px.py',
]
FILL = (124, 116, 104)


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth BGR image with some texture."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(0, 255, (6, 8, 3)), (width, height), interpolation=2)
    return np.clip(coarse + rng.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)


def rgb(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image[..., ::-1]))


def levels_apart(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.abs(found.astype(int) - wanted)


@pytest.fixture(scope='module')
def path(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('photo') / 'a.jpg'
    cv2.imwrite(str(path), photo(150, 200))
    return str(path)


def loaded(cfg: Config, path: str, seed: int, num_steps: int | None = None) -> dict:
    """What the first steps of the training pipeline make of a file."""
    pipeline = build_pipeline(cfg, train_pipeline(cfg)[:num_steps])
    seed_everything(seed)
    return pipeline(dict(img_path=path, gt_label=0))


def views(results: dict) -> list[np.ndarray]:
    return results['img'] if isinstance(results['img'], list) else [results['img']]


@pytest.mark.parametrize('recipe', RECIPES)
def test_fused_steps_make_the_draws_of_the_recipe_and_the_same_image(recipe, path):
    plain, fast = (load_config(shipped_config(recipe), dict(pixels=p)) for p in ('pillow', 'torch'))
    (fused, *_) = train_pipeline(fast)
    exact = Config(dict(fast.to_dict()), filename=recipe)
    exact.train_dataloader.dataset.pipeline[0].pixels = 'pillow'
    for step in exact.train_dataloader.dataset.pipeline[0].steps:
        if step.type == 'mim_bench.RandAugment':
            step.pixels = 'pillow'
    flips = set()
    for seed in range(8):
        wanted = loaded(plain, path, seed, len(fused['steps']))
        same, found = loaded(exact, path, seed, 1), loaded(fast, path, seed, 1)
        for ours, theirs in zip(views(same), views(wanted), strict=True):
            assert np.array_equal(ours, theirs)
        assert found['img_shape'] == wanted['img_shape']
        assert found['flip'] == wanted['flip']
        flips.add(found['flip'])
        for ours, theirs in zip(views(found), views(wanted), strict=True):
            apart = levels_apart(ours, theirs)
            assert apart.mean() < 0.7
            # Two operations of one level each after a resize; equalising can double a level.
            assert (apart > 3).mean() < 0.01
    assert flips == {True, False}


def test_masks_after_a_fused_step_are_the_same(path):
    masks = [
        loaded(load_config(shipped_config(RECIPES[1]), dict(pixels=pixels)), path, seed=3)
        for pixels in ('pillow', 'torch')
    ]
    one, other = (packed['data_samples'].mask for packed in masks)
    assert one.equal(other)


OPERATIONS = {
    'adjust_brightness': lambda image, x: ImageEnhance.Brightness(image).enhance(x),
    'adjust_contrast': lambda image, x: ImageEnhance.Contrast(image).enhance(x),
    'adjust_color': lambda image, x: ImageEnhance.Color(image).enhance(x),
    'adjust_sharpness': lambda image, x: ImageEnhance.Sharpness(image).enhance(x),
}
TABLES = {
    'auto_contrast': ((), ImageOps.autocontrast),
    'equalize': ((), ImageOps.equalize),
    'invert': ((), ImageOps.invert),
    'solarize': ((77,), lambda image: ImageOps.solarize(image, 77)),
    'posterize': ((3,), lambda image: ImageOps.posterize(image, 3)),
}
IMAGES = [photo(50, 60), photo(33, 20, 1) // 2 + 40, np.full((8, 9, 3), (0, 7, 255), np.uint8)]


@pytest.mark.parametrize('name', OPERATIONS)
@pytest.mark.parametrize('factor', [0.0, 0.1, 0.6, 1.0, 1.37, 1.9])
def test_operations_are_within_one_level_of_pillow(name, factor):
    for image in IMAGES:
        wanted = np.asarray(OPERATIONS[name](rgb(image), factor))[..., ::-1]
        apart = levels_apart(getattr(uint8_ops, name)(image, factor), wanted)
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.1


@pytest.mark.parametrize('name', TABLES)
def test_operations_by_tables_are_those_of_pillow(name):
    args, official = TABLES[name]
    for image in IMAGES:
        found = getattr(uint8_ops, name)(image, *args)
        assert np.array_equal(found, np.asarray(official(rgb(image)))[..., ::-1])


def test_solarize_add_and_posterize_to_black():
    image = np.uint8([[[0, 127, 128]]])
    assert uint8_ops.solarize_add(image, 30).tolist() == [[[30, 157, 128]]]
    assert uint8_ops.posterize(image, 0).tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize('resample', [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])
@pytest.mark.parametrize('axis', [0, 1])
@pytest.mark.parametrize(('slope', 'offset'), [(0.27, 0), (-0.9, 0), (0, 11.3), (0, -70.5), (0, 0)])
def test_shifts_are_within_one_level_of_pillow(slope, offset, axis, resample):
    image = photo(40, 64)
    matrix = (1, slope, offset, 0, 1, 0) if axis else (1, 0, 0, slope, 1, offset)
    wanted = rgb(image).transform(
        (64, 40), Image.Transform.AFFINE, matrix, resample=resample, fillcolor=FILL
    )
    found = uint8_ops.shift(image, slope, offset, axis=axis, fill=FILL[::-1], resample=resample)
    assert levels_apart(found, np.asarray(wanted)[..., ::-1]).max() <= 1


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic', 'lanczos'])
@pytest.mark.parametrize('size', [(17, 31), (64, 64), (150, 100)])
def test_resizes_are_within_one_level_of_pillow(interpolation, size):
    view = photo(120, 140)[10:90, 5:130]
    wanted = mmcv.imresize(view, size[::-1], interpolation=interpolation, backend='pillow')
    apart = levels_apart(resize(view, size, interpolation), wanted)
    assert (apart > 1).mean() < 1e-3
    assert apart.mean() < 0.3


def test_two_arithmetics_never_share_a_protocol():
    for recipe in RECIPES:
        written, pillow, torch = (
            protocol_settings(load_config(shipped_config(recipe), options))
            for options in ({}, dict(pixels='pillow'), dict(pixels='torch'))
        )
        assert written == pillow
        assert written != torch


@pytest.mark.parametrize(
    ('config', 'pixels', 'message'),
    [
        (RECIPES[0], 'cv2', "pixels is 'cv2'"),
        ('configs/classification/probe_vit-base_8xb64_in1k-224px.py', 'torch', 'of a training'),
        (
            'configs/segmentation/upernet/upernet_beit-vit-base_8xb2-amp-beit-160k_ade20k-512px.py',
            'torch',
            'does not begin with one',
        ),
    ],
)
def test_what_pixels_cannot_change_is_refused(config, pixels, message):
    with pytest.raises(ConfigError, match=message):
        load_config(shipped_config(config), dict(pixels=pixels))
