"""Pictures of panels, and of every pre-training config of the demo."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mim_bench.data.archives import pack
from mim_bench.engine.drawing import SHOWN_TILE_PX, draw_images, draw_panels
from mim_bench.errors import CheckpointError, ConfigError
from mim_bench.recipe.config import load_config
from mim_bench.testing.demo_runs import pretraining_configs
from mim_bench.visualization.panels import Panel

CONFIGS = Path(__file__).parents[2] / 'configs'
PRETRAININGS = pretraining_configs()
UMMAE = next(p for p in PRETRAININGS if p.stem.startswith('ummae_swin'))


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """Two files of noise, of different sizes."""
    folder = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    paths = [folder / 'wide.png', folder / 'high.jpg']
    for path, size in zip(paths, [(60, 90), (120, 70)], strict=True):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return paths


def pixels(drawing):
    return np.asarray(drawing.picture)


def test_draw_panels_enlarges_small_panels_to_the_largest():
    checks = torch.eye(2).expand(1, 3, 2, 2)  # white on the diagonal
    picture = np.asarray(draw_panels([Panel('a', torch.zeros(1, 3, 8, 8)), Panel('b', checks)], 16))
    tile = picture[-16:, -16:]
    assert picture.shape[1] == 16 + 2 + 16
    assert (tile[:8, :8] == 255).all()
    assert (tile[:8, 8:] == 0).all()


@pytest.mark.parametrize('path', PRETRAININGS, ids=lambda path: path.stem.split('_1xb')[0])
def test_draw_images_shows_every_pretraining_of_the_demo(path, images):
    picture = pixels(draw_images(load_config(path), images))
    # Two rows under the titles; more panels than the image and its mask in no case fail.
    assert picture.shape[0] > 2 * SHOWN_TILE_PX
    assert picture.shape[1] > 2 * SHOWN_TILE_PX
    assert picture.std() > 10


def test_draw_images_draws_the_same_again_and_others_with_another_seed(images):
    cfg = load_config(UMMAE)
    first, again = (pixels(draw_images(cfg, images, seed=1)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, pixels(draw_images(cfg, images, seed=2)))


def test_draw_images_leaves_the_generators_as_they_were(images):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    draw_images(load_config(UMMAE), images)
    assert torch.equal(torch.rand(1), expected)


def test_draw_images_reads_an_archive(images, tmp_path):
    pack(images[0].parent, tmp_path / 'a.zip', sorted(image.name for image in images))
    cfg = load_config(UMMAE)
    packed = draw_images(cfg, [tmp_path / 'a.zip'], seed=1)
    assert np.array_equal(pixels(packed), pixels(draw_images(cfg, sorted(images), seed=1)))


def test_draw_images_downstream_config_raises(images):
    path = next((CONFIGS / 'demo').glob('finetune_swin-toy*.py'))
    with pytest.raises(ConfigError, match='ImageClassifier cannot show its masks'):
        draw_images(load_config(path), images)


def test_draw_images_checkpoint_of_another_network_raises(images, tmp_path):
    torch.save({'state_dict': {'backbone.weight': torch.zeros(3)}}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=r'other\.pth: .* this UMMAE\w+ lacks: weight\.'):
        draw_images(load_config(UMMAE), images, checkpoint=tmp_path / 'other.pth')


def test_draw_images_missing_tokenizer_is_noted(images):
    cfg = load_config(next(p for p in PRETRAININGS if p.stem.startswith('beit')))
    cfg.model.target_generator.init_cfg = dict(type='Pretrained', checkpoint=None)
    (note,) = draw_images(cfg, images).notes
    assert 'model.target_generator has no weights' in note
    assert 'model.target_generator.init_cfg.checkpoint=FILE' in note


def test_draw_images_with_a_checkpoint_adds_the_reconstruction(images, tmp_path):
    from mim_bench.recipe.building import build_model

    cfg = load_config(UMMAE)
    model = build_model(cfg)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'whole.pth')
    without = draw_images(cfg, images)
    drawing = draw_images(cfg, images, checkpoint=tmp_path / 'whole.pth')
    assert drawing.picture.width > without.picture.width
    assert 'filled 100.0%' in drawing.notes[0]
    # The masks are the same with a checkpoint and without.
    width = without.picture.width
    assert np.array_equal(pixels(drawing)[:, :width], pixels(without))
