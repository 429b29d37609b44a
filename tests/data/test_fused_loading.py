"""Fused loading against Pillow, and against the steps of the recipes: byte for byte."""

import cv2
import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmpretrain.datasets.transforms import RandomResizedCrop
from PIL import Image, ImageEnhance, ImageOps

from mim_bench.data import fused
from mim_bench.data.fused import fuse_pipeline, pipeline, planes
from mim_bench.data.seeding import SeededDataset, seed_everything
from mim_bench.data.transforms.masks import RandomBlockMask
from mim_bench.errors import ConfigError
from mim_bench.recipe.building import build_pipeline, train_pipeline
from mim_bench.recipe.config import load_config
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.shipped import shipped_config

MAE = 'configs/pretrain/mae/mae_vit-base_8xb512-amp-coslr-400e_in1k-224px.py'
RECIPES = [
    MAE,
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


def resized(image: np.ndarray, *how: object) -> np.ndarray:
    return planes.resize(planes.columns_of(image), *how).transpose(1, 2, 0)


def rgb(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image[..., ::-1]))


def as_planes(image: Image.Image) -> np.ndarray:
    return np.asarray(image)[..., ::-1].transpose(2, 0, 1)


@pytest.fixture(scope='module')
def path(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('photo') / 'a.jpg'
    cv2.imwrite(str(path), photo(150, 200))
    return str(path)


@pytest.mark.parametrize('recipe', RECIPES)
def test_fused_steps_give_the_sample_of_the_recipes_steps(recipe, path):
    cfg = load_config(shipped_config(recipe))
    plain, fast = (build_pipeline(cfg, train_pipeline(cfg)) for _ in range(2))
    fast.transforms = pipeline.fuse(fast.transforms)
    assert isinstance(fast.transforms[0], pipeline.FusedLoading)
    flips = set()
    for seed in range(12):
        samples = []
        for transforms in (plain, fast):
            seed_everything(seed)
            samples.append(transforms(dict(img_path=path, gt_label=0)))
        wanted, found = (sample['data_samples'] for sample in samples)
        assert found.metainfo == wanted.metainfo
        assert found.keys() == wanted.keys()
        assert found.gt_label.equal(wanted.gt_label)
        if 'mask' in wanted:
            assert found.mask.equal(wanted.mask)
        flips.add(found.get('flip'))
        views = [s['inputs'] if isinstance(s['inputs'], list) else [s['inputs']] for s in samples]
        for theirs, ours in zip(*views, strict=True):
            assert ours.equal(theirs)
    assert flips == {True, False}


@pytest.mark.parametrize('changes', [dict(brightness=0.4), dict(contrast=0.3, saturation=0.2), {}])
def test_jitter_of_some_operations_is_that_of_the_step(changes, path):
    cfg = Config(dict(default_scope='mmpretrain'))
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='NumpyToPIL', to_rgb=True),
        dict(type='torchvision/ColorJitter', **changes),
        dict(type='PILToNumpy', to_bgr=True),
        dict(type='RandomResizedCrop', scale=32, backend='pillow', interpolation='bicubic'),
        dict(type='RandomFlip', prob=0.3, direction='horizontal'),
    ]
    plain, fast = (build_pipeline(cfg, steps) for _ in range(2))
    fast.transforms = pipeline.fuse(fast.transforms)
    assert len(fast.transforms) == 1
    for seed in range(6):
        images = []
        for transforms in (plain, fast):
            seed_everything(seed)
            images.append(transforms(dict(img_path=path))['img'])
        assert np.array_equal(*images)


OPERATIONS = {
    planes.BRIGHTNESS: ImageEnhance.Brightness,
    planes.CONTRAST: ImageEnhance.Contrast,
    planes.COLOR: ImageEnhance.Color,
}
TABLES = {
    'auto_contrast': ((), ImageOps.autocontrast),
    'equalize': ((), ImageOps.equalize),
    'invert': ((), ImageOps.invert),
    'solarize': ((77,), lambda image: ImageOps.solarize(image, 77)),
    'posterize': ((3,), lambda image: ImageOps.posterize(image, 3)),
}
NOISE = np.random.default_rng(5).integers(0, 256, (37, 45, 3), dtype=np.uint8)
IMAGES = [photo(33, 20, 1) // 2 + 40, np.full((8, 9, 3), (0, 7, 255), np.uint8), NOISE]


@pytest.mark.parametrize('kind', [*OPERATIONS, None])
def test_blends_are_those_of_pillow(kind):
    for image in IMAGES:
        for factor in (0.0, 0.1, 0.6, 1.0, 1.37, 1.9):
            source = planes.split(image)
            if kind is None:
                found = planes.adjust_sharpness(source, factor)
            else:
                found = planes.enhance(source, [(kind, factor)])
            official = OPERATIONS.get(kind, ImageEnhance.Sharpness)
            assert np.array_equal(found, as_planes(official(rgb(image)).enhance(factor)))


@pytest.mark.parametrize('name', TABLES)
def test_operations_by_tables_are_those_of_pillow(name):
    args, official = TABLES[name]
    for image in IMAGES:
        found = getattr(planes, name)(planes.split(image), *args)
        assert np.array_equal(found, as_planes(official(rgb(image))))


def test_solarize_add_and_posterize_to_black():
    image = np.uint8([[[0, 127, 128]]] * 3)
    assert planes.solarize_add(image, 30).tolist() == [[[30, 157, 128]]] * 3
    assert planes.posterize(image, 0).tolist() == [[[0, 0, 0]]] * 3


@pytest.mark.parametrize('resample', [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])
def test_transforms_are_those_of_pillow(resample):
    settings = dict(resample=resample, fillcolor=FILL)
    ours = dict(resample=resample, fill=FILL[::-1])
    for image in IMAGES:
        whole, picture = planes.split(image), rgb(image)
        for degrees in (0, 3.3, -27.1, 45):
            wanted = as_planes(picture.rotate(degrees, **settings))
            assert np.array_equal(planes.rotate(whole, degrees, **ours), wanted)
        for slope, offset in ((0.27, 0), (-0.9, 0), (0, 11.3), (0, -70.5), (0, 0), (0, 0.5)):
            for axis in (0, 1):
                matrix = (1, slope, offset, 0, 1, 0) if axis else (1, 0, 0, slope, 1, offset)
                affine = Image.Transform.AFFINE
                wanted = as_planes(picture.transform(picture.size, affine, matrix, **settings))
                found = planes.shift(whole, slope, offset, axis=axis, **ours)
                assert np.array_equal(found, wanted), (slope, offset, axis)


def test_shift_where_rounding_spaces_a_row_unevenly_is_that_of_pillow():
    # In column 0 the offset moves the pixel to the one before; further on, it is lost in rounding.
    matrix = (1, 0, -1e-16, 0, 1, 0)
    wanted = rgb(NOISE).transform(rgb(NOISE).size, Image.Transform.AFFINE, matrix, resample=3)
    found = planes.shift(planes.split(NOISE), 0, -1e-16, axis=1, fill=(0, 0, 0), resample=3)
    assert np.array_equal(found, as_planes(wanted))


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic', 'lanczos'])
def test_resizes_are_those_of_pillow(interpolation):
    image = photo(140, 140)
    # The second half shrinks so much more in height that Pillow 13 begins with it.
    for height, width in ((80, 125), (64, 64), (3, 2), (140, 90), (140, 60), (101, 64)):
        view = image[: height or None, 140 - width :]
        for size in ((17, 31), (64, 64), (150, 100)):
            wanted = mmcv.imresize(view, size[::-1], interpolation=interpolation, backend='pillow')
            assert np.array_equal(resized(view, size, interpolation), wanted)


@pytest.mark.parametrize('size', [(100, 50), (50, 100)])
def test_order_of_the_two_passes_is_that_of_pillow(size):
    noise = np.random.default_rng(0).integers(0, 256, (202, 100, 3), dtype=np.uint8)
    edge = size[0] + 2 * (100 - size[1])  # at most so many rows are left to the second pass
    for height in {max(edge, 3), max(edge, 3) + 1, 202} - {size[0]}:
        wanted = mmcv.imresize(
            noise[:height], size[::-1], interpolation='bicubic', backend='pillow'
        )
        assert np.array_equal(resized(noise[:height], size, 'bicubic'), wanted)


@DATASETS.register_module()
class Cropped:
    """A data set whose pipeline begins with a crop that Pillow resizes."""

    def __init__(self) -> None:
        cfg = load_config(shipped_config(MAE))
        self.pipeline = build_pipeline(cfg, train_pipeline(cfg))

    def __len__(self) -> int:
        return 1


def first_step(dataset: object) -> str:
    return type(dataset.pipeline.transforms[0]).__name__


def test_data_sets_are_fused_unless_a_config_says_plain():
    assert first_step(SeededDataset(dict(type='Cropped'), 0)) == 'FusedLoading'
    assert first_step(SeededDataset(dict(type='Cropped'), 0, loading='plain')) == 'LoadImage'


def test_steps_stay_where_pillow_differs_or_numba_is_missing(monkeypatch):
    monkeypatch.setattr(pipeline, '_is_equal', lambda kind: False)
    dataset = Cropped()
    fuse_pipeline(dataset)
    assert first_step(dataset) == 'LoadImage'
    monkeypatch.delattr(fused, 'pipeline')
    monkeypatch.setitem(__import__('sys').modules, 'mim_bench.data.fused.pipeline', None)
    fuse_pipeline(dataset)
    assert first_step(dataset) == 'LoadImage'


def test_another_arithmetic_than_pillows_is_noticed(monkeypatch):
    pipeline._is_equal.cache_clear()
    assert pipeline._is_equal('crop')
    pipeline._is_equal.cache_clear()
    monkeypatch.setattr(pipeline.fast, 'resize', lambda columns, size, name: np.zeros((3, *size)))
    assert not pipeline._is_equal('crop')
    pipeline._is_equal.cache_clear()


@pytest.mark.parametrize(('grid', 'max_hidden', 'min_block'), [((14, 14), 75, 16), ((5, 9), 30, 1)])
def test_compiled_masks_are_those_of_the_step(grid, max_hidden, min_block):
    plain = RandomBlockMask(grid, max_hidden=max_hidden, min_block=min_block)
    fast = pipeline._fast(plain)
    assert fast.hide is pipeline.hide_blocks
    for seed in range(200):
        masks = []
        for step in (plain, fast):
            seed_everything(seed)
            masks.append(step({})['mask'])
        assert masks[0].equal(masks[1])


@pytest.mark.parametrize('size', [(90, 70), (224, 224), (1, 300), (1, 1)])
def test_crops_are_those_of_the_step(size):
    step = RandomResizedCrop(32, crop_ratio_range=(0.5, 1.0), max_attempts=2)
    image = np.zeros((*size, 3), np.uint8)
    for seed in range(100):
        drawn = []
        for draw in (step.rand_crop_params, pipeline._with_draw(step)[1]):
            seed_everything(seed)
            drawn.append((draw(image), np.random.random_sample()))
        assert drawn[0] == drawn[1]


def test_steps_in_an_unusual_order_are_not_fused():
    cfg = Config(dict(default_scope='mmpretrain'))
    crop = dict(type='RandomResizedCrop', scale=32, backend='pillow')
    load, augment = dict(type='LoadImageFromFile'), dict(type='mim_bench.RandAugment')
    built = build_pipeline(cfg, [load, augment, crop]).transforms
    assert pipeline.fuse(built) == list(built)
    built = build_pipeline(cfg, [load, crop, augment, crop]).transforms
    assert [type(step) for step in pipeline.fuse(built)] == [
        pipeline.FusedLoading,
        RandomResizedCrop,
    ]


def test_ways_of_loading_share_a_protocol():
    written, plain = (
        protocol_settings(load_config(shipped_config(MAE), options))
        for options in ({}, dict(loading='plain'))
    )
    assert written == plain


@pytest.mark.parametrize(
    ('config', 'loading'),
    [(MAE, 'torch'), ('configs/classification/probe_vit-base_8xb64_in1k-224px.py', 'plain')],
)
def test_loading_that_means_nothing_is_refused(config, loading):
    with pytest.raises(ConfigError, match=f"loading='{loading}'"):
        load_config(shipped_config(config), dict(loading=loading))
