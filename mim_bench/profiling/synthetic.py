"""Synthetic training batches with the shapes of a config; no data set is read."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from mmengine.config import Config

from mim_bench.data.seeding import seed_everything
from mim_bench.errors import ConfigError
from mim_bench.profiling.synthetic_objects import detection_sample, segmentation_sample
from mim_bench.recipe.building import build_pipeline, train_collate, train_pipeline

# (height, width) of the input image of a pipeline; about ImageNet's mean size.
SOURCE_SIZE = (375, 500)
# Number of different samples; larger batches repeat them.
NUM_SAMPLES = 16


class SyntheticData:
    """Synthetic batches for the training step of a config of any of the three libraries.

    Pre-training and classification use the config's own training pipeline on
    random images, so that masks, views and labels are as the method expects. Samples of
    segmentation and detection are made at the crop size of the pipeline, since their
    pipelines read annotation files.

    Args:
        cfg: Config with a ``train_dataloader``.
        seed: Same seed, same batches.

    Raises:
        ConfigError: The pipeline does not end in a known packing transform.
    """

    def __init__(self, cfg: Config, seed: int = 0) -> None:
        self.cfg = cfg
        self.collate = train_collate(cfg)
        make = self._make()
        self.samples = []
        for index in range(NUM_SAMPLES):
            seed_everything(seed, index)
            self.samples.append(make(index))

    def batch(self, size: int, first: int = 0) -> dict[str, Any]:
        """A batch in the loader's form, on the CPU.

        Args:
            size: Number of images.
            first: Index of the first sample, so that batches differ.
        """
        chosen = [self.samples[(first + i) % NUM_SAMPLES] for i in range(size)]
        return self.collate(deepcopy(chosen))

    def _make(self) -> Callable[[int], dict[str, Any]]:
        """Make a sample from its index and numpy's global generator."""
        transforms = train_pipeline(self.cfg)
        packing = next((name for name in map(_name, transforms) if name.startswith('Pack')), '')
        if packing == 'PackInputs':
            kept = [step for step in transforms if not _name(step).startswith('Load')]
            pipeline = build_pipeline(self.cfg, kept)
            return lambda index: self._through(pipeline, index)
        if packing == 'PackSegInputs':
            return lambda _: segmentation_sample(self.cfg, _crop_size(transforms))
        if packing == 'PackDetInputs':
            return lambda _: detection_sample(self.cfg, _crop_size(transforms))
        raise ConfigError(
            f'{self.cfg.filename}: the training pipeline does not end in PackInputs, PackSegInputs '
            'or PackDetInputs, so synthetic batches cannot be made. Use one of these.'
        )

    def _through(self, pipeline: Callable, index: int) -> dict[str, Any]:
        image = np.random.randint(0, 256, (*SOURCE_SIZE, 3), np.uint8)
        results = dict(img=image, img_shape=SOURCE_SIZE, ori_shape=SOURCE_SIZE, sample_idx=index)
        num_classes = _num_classes(self.cfg)
        if num_classes:
            results['gt_label'] = np.random.randint(num_classes)
        packed = pipeline(results)
        if not isinstance(packed, dict):
            raise ConfigError(
                f'{self.cfg.filename}: the training pipeline returns nothing for a random image of '
                f'{SOURCE_SIZE} pixels. Correct its transforms.'
            )
        return packed


def loader_of_test(cfg: Config) -> Config:
    """Config of the loader that reads most images of a test; for a probe that of its bank."""
    return cfg.test_cfg.get('bank_dataloader') or cfg.test_dataloader


def as_training(cfg: Config) -> Config:
    """The config with the test's loader as training loader, which synthetic samples follow."""
    loader = loader_of_test(cfg).to_dict()
    return Config({**cfg.to_dict(), 'train_dataloader': loader}, filename=cfg.filename)


def _name(step: dict) -> str:
    """The class of a transform without its scope."""
    kind = step['type']
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


def _num_classes(cfg: Config) -> int | None:
    """Number of classes of a classifier; None for a pre-training."""
    head = cfg.model.get('head') or {}
    return head.get('num_classes') if isinstance(head, dict) else None


def _crop_size(transforms: Sequence[dict]) -> tuple[int, int]:
    """Usual (height, width) of the output of a pipeline of annotated images.

    It is the last crop's size or, without a crop, the last resize's: the middle one where
    it draws from several sizes.
    """
    for step in reversed(list(_flat(transforms))):
        # A crop in shares of the image states no size.
        if _name(step) == 'RandomCrop' and 'relative' not in step.get('crop_type', 'absolute'):
            return _height_and_width(step['crop_size'])
        scales = step.get('scales', step.get('scale'))
        if _name(step) in ('Resize', 'RandomResize', 'RandomChoiceResize') and scales:
            several = scales if isinstance(scales[0], list | tuple) else [scales]
            middle = sorted(several, key=np.prod)[len(several) // 2]
            return tuple(reversed(_height_and_width(middle)))  # scales are (width, height)
    raise ConfigError(
        'The training pipeline has neither a RandomCrop nor a Resize with a size, so the size of '
        'synthetic images is not known. Add one.'
    )


def _flat(transforms: Sequence[Any]) -> Iterator[dict]:
    """All transforms, including those inside random choices."""
    for step in transforms:
        if isinstance(step, list | tuple):
            yield from _flat(step)
        else:
            yield from _flat(step.get('transforms') or ())
            yield step


def _height_and_width(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
