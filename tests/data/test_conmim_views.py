"""The two views of ConMIM's pipeline, as its config makes them."""

from pathlib import Path

import mmpretrain.datasets  # noqa: F401  registers what the config names
import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mim_bench.data.seeding import seed_everything
from mim_bench.suite.locations import configs_folder

NAME = 'pretrain/conmim/conmim_vit-base_32xb64-amp-coslr-300e_in1k-224px.py'


@pytest.fixture(scope='module')
def config() -> Config:
    return Config.fromfile(Path(configs_folder()) / NAME)


@pytest.fixture
def pipeline(config):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield Compose(config.train_pipeline[1:])  # without reading a file


def make_results() -> dict:
    # Smooth and not symmetric, so that a crop is as good as unique.
    rows, cols = np.mgrid[:240, :320]
    image = np.stack([rows, cols * 0.75, (rows + cols) * 0.4], axis=-1).astype(np.uint8)
    return dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])


def draw(pipeline, seed: int):
    seed_everything(seed)
    packed = pipeline(make_results())
    plain, distorted = (view.permute(1, 2, 0).numpy() for view in packed['inputs'])
    return plain, distorted, packed['data_samples'].mask


def test_conmim_pipeline_gives_two_views_and_a_mask(pipeline):
    plain, distorted, mask = draw(pipeline, 0)
    assert plain.shape == distorted.shape == (224, 224, 3)
    assert plain.dtype == distorted.dtype == np.uint8
    assert mask.shape == (14, 14)
    assert mask.sum() == 148


def test_conmim_views_show_one_crop(pipeline):
    pairs = [draw(pipeline, seed)[:2] for seed in range(15)]
    alike = [abs(np.corrcoef(a.mean(-1).ravel(), b.mean(-1).ravel())[0, 1]) for a, b in pairs]
    # Two crops of their own correlate to 0.5 or so; a solarised view less than that.
    assert np.median(alike) > 0.95


def test_conmim_student_view_is_the_crop_itself(config):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        crop = Compose(config.train_pipeline[1:3])
        whole = Compose(config.train_pipeline[1:])
    np.random.seed(5)
    cropped = crop(make_results())['img']
    np.random.seed(5)
    plain = whole(make_results())['inputs'][0].permute(1, 2, 0).numpy()
    assert np.array_equal(plain, cropped)


def test_conmim_teacher_view_is_distorted_for_most_images(pipeline):
    pairs = [draw(pipeline, seed)[:2] for seed in range(40)]
    untouched = sum(np.array_equal(plain, distorted) for plain, distorted in pairs)
    # All four are left out in 0.2 * 0.8 * 0.9 * 0.8 = 11.5 % of the images.
    assert untouched <= 15
    assert untouched < len(pairs)
