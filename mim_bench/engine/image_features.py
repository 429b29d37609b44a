"""Features of any images by a backbone, as the common probe of ImageNet takes them.

The network is set up by that protocol: the last map, with the norm that its method has pre-trained,
and the average of the map as the vector of an image.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mim_bench.data.archives import is_file, is_folder
from mim_bench.data.listing import IMAGE_ENDINGS, list_files
from mim_bench.engine.boundary import from_workers
from mim_bench.engine.environment import usable_device
from mim_bench.engine.load_gate import load_backbone
from mim_bench.errors import ConfigError, DataError, TrainingError
from mim_bench.evaluation.isolation import evaluating, preserved_rng
from mim_bench.evaluation.probes.pooling import pool
from mim_bench.recipe.building import build_model, build_pipeline, init_weights
from mim_bench.recipe.config import load_config

PROBE = 'configs/classification/probe_vit-base_8xb64_in1k-224px.py'
_RECIPE_PX = (256, 224)  # of that protocol: the short side, and the crop in its middle
Picture = str | Path | Image.Image


@dataclass(frozen=True)
class ImageFeatures:
    """Features of images, in their order.

    Attributes:
        names: A name for each image: the path of a file, the number of a PIL image.
        features: (N, D) float32 on the CPU.
        maps: (N, D, rows, cols) float32 on the CPU, of the patches; None if not asked for.
    """

    names: list[str]
    features: torch.Tensor
    maps: torch.Tensor | None = None


class FeatureNetwork:
    """A backbone in evaluation mode with what prepares images for it.

    Args:
        cfg: A config of the probe.
        model: Its model, with weights.
    """

    def __init__(self, cfg: Config, model: nn.Module) -> None:
        self.backbone = model.backbone.eval()
        self.pooling = cfg.test_cfg.pooling
        self._model = model
        pipeline = cfg.test_dataloader.dataset.pipeline
        self._steps = build_pipeline(cfg, pipeline)
        self._steps_behind_reading = build_pipeline(cfg, pipeline[1:])

    def read(self, picture: Picture) -> torch.Tensor:
        """An image, resized and cropped: uint8 (3, height, width), blue first.

        Raises:
            DataError: A file is no whole image.
        """
        if not isinstance(picture, Image.Image):
            return self._steps({'img_path': str(picture)})['inputs']
        pixels = np.ascontiguousarray(np.asarray(picture.convert('RGB'))[..., ::-1])
        shape = pixels.shape[:2]
        sample = {'img': pixels, 'img_shape': shape, 'ori_shape': shape}
        return self._steps_behind_reading(sample)['inputs']

    def maps_of(self, images: torch.Tensor) -> torch.Tensor:
        """The last output of the backbone: (B, D, rows, cols), or vectors (B, D).

        Args:
            images: As :meth:`read` gives them, (B, 3, height, width).
        """
        data = self._model.data_preprocessor({'inputs': images}, False)
        return self.backbone(data['inputs'])[-1]

    def batches(
        self, pictures: Sequence[Picture], *, batch_size: int = 64, workers: int = 0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Vectors (B, D) and maps (B, D, rows, cols) of images, batch by batch, on the CPU.

        Args:
            pictures: Files, or images of PIL.
            batch_size: Images at a time.
            workers: Processes that read images; 0: this one.

        Raises:
            DataError: A file is no whole image.
            TrainingError: A feature is not finite.
        """
        loader = DataLoader(
            _Pictures(self, pictures), batch_size, num_workers=workers, collate_fn=torch.stack
        )
        done = 0
        with from_workers(), preserved_rng(), evaluating(self._model):
            for images in loader:
                maps = self.maps_of(images)
                vectors = pool(maps, self.pooling, self.backbone).float().cpu()
                if not vectors.isfinite().all():
                    bad = done + int((~vectors.isfinite()).any(1).nonzero()[0])
                    raise TrainingError(
                        f'{name_of(pictures[bad], bad)}: its features are not finite. The weights '
                        'are probably damaged; look at the file with mim-bench inspect.'
                    )
                done += len(images)
                yield vectors, maps.float().cpu() if maps.ndim == 4 else None


class _Pictures(Dataset):
    def __init__(self, network: FeatureNetwork, pictures: Sequence[Picture]) -> None:
        self._read, self._pictures = network.read, pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._read(self._pictures[index])


def open_network(
    checkpoint: Path | None,
    *,
    config: str | Path = PROBE,
    size: int = 224,
    options: Mapping[str, Any] | None = None,
    device: torch.device | str | None = None,
) -> FeatureNetwork:
    """The network of a canonical checkpoint, set up by the common probe.

    Args:
        checkpoint: Canonical file; None: the config's backbone with random weights.
        config: Config of the probe.
        size: Side of the images that it gets, in pixels. They are resized and cropped in the
            proportion of the protocol, whose size is 224.
        options: Overrides of the config, by dotted key.
        device: Device of torch; a GPU if None and there is one.

    Raises:
        ConfigError: The backbone cannot be set up for this size, or there is no such device.
        CheckpointError: The file does not fill it.
    """
    device = usable_device(device)
    pipeline = 'test_dataloader.dataset.pipeline'
    sizes = {
        f'{pipeline}.1.scale': round(size * _RECIPE_PX[0] / _RECIPE_PX[1]),
        f'{pipeline}.2.crop_size': size,
    }
    cfg = load_config(config, {**sizes, **(options or {})}, backbone_of=checkpoint)
    if cfg.model.backbone.get('img_size') is not None and size != _RECIPE_PX[1]:
        # Families that are built for one size, or whose table is of one.
        cfg.model.backbone.img_size = size
    model = build_model(cfg)
    if checkpoint is None:
        with preserved_rng(seed=0):
            init_weights(model)
    else:
        load_backbone(model.backbone, checkpoint)
    return FeatureNetwork(cfg, model.to(device))


def list_pictures(places: Sequence[str | Path]) -> list[str]:
    """Paths of the images that a user names: files, folders and archives with all below them.

    Raises:
        DataError: There is no such place, or no image in a folder.
    """
    found: list[str] = []
    for place in map(str, places):
        if is_folder(place):
            names = list_files(place).files
            if not names:
                raise DataError(f'{place}: has no image ({", ".join(IMAGE_ENDINGS)}).')
            found += [f'{place.rstrip("/")}/{name}' for name in names]
        elif is_file(place):
            found.append(place)
        else:
            raise DataError(f'{place}: there is no such image, folder or archive. Check the path.')
    if not found:
        raise ConfigError('There are no images. Name files, folders or archives.')
    return found


def name_of(picture: Picture, index: int) -> str:
    """The path of a file; the number of an image of PIL."""
    return f'{index}' if isinstance(picture, Image.Image) else str(picture)
