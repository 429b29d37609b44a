"""Panels as one picture, and what given images look like to a pre-training config."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image
from torch import nn

from mim_bench.data.image_file import read_stored
from mim_bench.data.seeding import seed_everything
from mim_bench.engine.image_features import FeatureNetwork, list_pictures
from mim_bench.engine.load_gate import load_model
from mim_bench.errors import ConfigError
from mim_bench.evaluation.isolation import evaluating, preserved_rng
from mim_bench.recipe.building import (
    build_model,
    build_pipeline,
    init_weights,
    train_collate,
    train_pipeline,
    without_pretrained,
)
from mim_bench.visualization.components import component_pictures
from mim_bench.visualization.methods import panels_of, require_panels
from mim_bench.visualization.pictures import MIN_TILE_PX, enlarge, picture_grid

if TYPE_CHECKING:
    from mim_bench.visualization.panels import Panel

# Least side of an image that a person looks at: 64 px are enlarged three times, 192 px stay.
SHOWN_TILE_PX = 160


@dataclass
class Drawing:
    """A picture, and what its reader must know about it."""

    picture: Image.Image
    notes: list[str] = field(default_factory=list)


def draw_panels(panels: Sequence['Panel'], min_tile_px: int = MIN_TILE_PX) -> Image.Image:
    """A row an image, a column a panel, with its title above.

    Args:
        panels: Panels of one batch. Smaller images are enlarged to the largest by repeating
            pixels, so that a map of patches lines up with the image beside it.
        min_tile_px: Least side of an image in the picture.
    """
    columns = [_pixels(panel.images) for panel in panels]
    largest = max((column[0].shape[:2] for column in columns), key=min)
    height, width = enlarge(np.zeros((*largest, 3), np.uint8), min_tile_px).shape[:2]
    tiles = [[_resize(image, (height, width)) for image in column] for column in columns]
    return picture_grid(tiles, [panel.title for panel in panels])


def draw_images(
    cfg: Config, images: Sequence[str | Path], *, checkpoint: Path | None = None, seed: int = 0
) -> Drawing:
    """Masks and targets of a pre-training config on images; reconstructions with a checkpoint.

    Args:
        cfg: Config of a pre-training; its training pipeline augments and masks the images.
        images: Files, folders and archives.
        checkpoint: File of the whole network (:func:`mim_bench.engine.load_gate.load_model`).
        seed: Seed of augmentation, masks and weights. An image's masks depend on it and on the
            image's place in the list.

    Raises:
        ConfigError: The config is of no pre-training.
        DataError: A file is no image.
        CheckpointError: The checkpoint does not fit.
    """
    pictures = list_pictures(images)
    for path in pictures:
        read_stored(path)  # before a model is built
    with preserved_rng(seed):
        settings, untrained = without_pretrained(cfg, missing_only=True)
        model = build_model(settings)
        require_panels(model)
        init_weights(model)
        notes = _fill(model, checkpoint, untrained)
        batch = _batch(cfg, pictures, seed)
        with evaluating(model):
            seed_everything(seed, len(pictures), cuda=True)
            data = model.data_preprocessor(batch, False)
            predict = checkpoint is not None
            panels = panels_of(model, data['inputs'], data['data_samples'], predict=predict)
    return Drawing(draw_panels(panels, SHOWN_TILE_PX), notes)


def draw_features(
    networks: Iterable[tuple[str, FeatureNetwork]],
    pictures: Sequence[str],
    *,
    foreground: bool = False,
    seed: int = 0,
) -> Drawing:
    """Principal components of patch features, side by side for several networks.

    A row is an image, the first column the image as the networks get it; each further one shows the
    components of one network, found from all the images together.

    Args:
        networks: Names and networks, for images of one size; one is held at a time.
        pictures: Image files.
        foreground: See :func:`mim_bench.visualization.components.component_pictures`.
        seed: See there.

    Raises:
        ConfigError: A network gives no maps.
        DataError: A file is no image.
    """
    columns: list[list[np.ndarray]] = []
    titles, notes = ['image'], []
    for name, network in networks:
        shown = [network.read(path).permute(1, 2, 0).flip(2).numpy() for path in pictures]
        maps: list[np.ndarray] = []
        for _, part in network.batches(pictures, batch_size=1):
            if part is None:
                raise ConfigError(f'{name}: returns vectors and no maps. Leave it out.')
            maps += list(part.numpy())
        columns = columns or [[enlarge(image, SHOWN_TILE_PX) for image in shown]]
        size = columns[0][0].shape[:2]
        found = component_pictures(maps, foreground=foreground, seed=seed)
        columns.append([_resize(image, size) for image in found])
        titles.append(name)
        notes.append(
            f'{name}: {len(maps)} maps of {maps[0].shape[1]} x {maps[0].shape[2]} patches.'
        )
    return Drawing(picture_grid(columns, titles), notes)


def _batch(cfg: Config, pictures: Sequence[str], seed: int) -> Any:
    pipeline = build_pipeline(cfg, train_pipeline(cfg))
    samples = []
    for index, path in enumerate(pictures):
        seed_everything(seed, index)
        samples.append(pipeline({'img_path': path, 'sample_idx': index}))
    return train_collate(cfg)(samples)


def _fill(model: nn.Module, checkpoint: Path | None, untrained: list[str]) -> list[str]:
    """Load the weights; what a reader must know about those that are not there."""
    notes, missing = [], None
    if checkpoint is not None:
        report = load_model(model, checkpoint)
        notes.append(f'{checkpoint}: filled {report.share:.1%} of the trainable parameters.')
        missing = report.missing
    notes += [
        f'{part} has no weights: it is untrained, and so are its targets. Give a file with '
        f'--cfg-options {part}.init_cfg.checkpoint=FILE'
        for part in untrained
        if missing is None or any(f'model.{key}'.startswith(f'{part}.') for key in missing)
    ]
    momentum_network = getattr(model, 'momentum_network', None)
    if momentum_network is not None and any('momentum_network' in key for key in missing or ()):
        momentum_network.synchronize(model)
        notes.append('The checkpoint has no momentum network: the network takes its place.')
    return notes


def _pixels(images: torch.Tensor) -> list[np.ndarray]:
    """Convert (B, 3, H, W) float in [0, 1] to (height, width, 3) uint8 images."""
    pixels = (images.detach().float().cpu() * 255).round().clamp(0, 255).byte()
    return list(pixels.permute(0, 2, 3, 1).numpy())


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.NEAREST))
