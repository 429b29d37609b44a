"""The hook that saves pictures of reconstructions during pre-training."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import DATASETS, FUNCTIONS
from mmengine.runner import IterBasedTrainLoop, Runner

from mim_bench.engine.hooks.cost_ledger_hook import outside_cost
from mim_bench.engine.isolation import evaluating, preserved_rng
from mim_bench.engine.pictures import enlarge, picture_grid, save_png
from mim_bench.engine.reconstruction import PARTS, reconstruct
from mim_bench.errors import ConfigError
from mim_bench.registry import HOOKS

FOLDER = 'reconstructions'


@HOOKS.register_module()
class ReconstructionHook(Hook):
    """Save what the model makes of a few masked images, every n epochs and at the end.

    Writes ``reconstructions/epoch_N.png`` (``iter_N.png`` in iteration-based runs) in the work
    directory: one row an image; columns input, masked, predicted. Images and masks are drawn
    once, with a fixed seed, so they are the same in every picture of every run. The training
    goes on as it would without the hook, and its cost ledger does not count the time.

    Args:
        dataloader: Config of a loader, for example the training loader's. Only ``dataset``
            and ``collate_fn`` are used: the images are the first of the data set, whatever
            the sampler, and the main process alone reads them.
        num_images: Rows.
        interval: Epochs between pictures.
        seed: Of the augmentation and the masks.
    """

    priority = 'LOW'

    def __init__(
        self, dataloader: dict, *, num_images: int = 4, interval: int = 1, seed: int = 0
    ) -> None:
        if interval < 1 or num_images < 1:
            raise ConfigError(
                f'ReconstructionHook: interval = {interval}, num_images = {num_images}. '
                'Both are at least 1.'
            )
        self.interval = interval
        self.num_images = num_images
        self.seed = seed
        self._dataloader = dataloader
        self._batch: Any = None

    def after_train_epoch(self, runner: Runner) -> None:
        """Save a picture every n epochs and after the last one."""
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._save(runner)

    def _save(self, runner: Runner) -> None:
        if not is_main_process():
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        with outside_cost(runner), preserved_rng(self.seed), evaluating(model):
            if self._batch is None:
                self._batch = _first_images(self._dataloader, self.num_images)
            data = model.data_preprocessor(self._batch, False)
            parts = reconstruct(model, data['inputs'], data['data_samples'])
            picture = picture_grid([_tiles(parts[name]) for name in PARTS])
            name = (
                f'iter_{runner.iter}.png'
                if isinstance(runner.train_loop, IterBasedTrainLoop)
                else f'epoch_{runner.epoch + 1}.png'
            )
            save_png(picture, Path(runner.work_dir) / FOLDER / name)


def _tiles(images: torch.Tensor) -> list[np.ndarray]:
    """(B, 3, H, W) float in [0, 1] to enlarged (height, width, 3) uint8 images."""
    pixels = (images.float().cpu() * 255).round().clamp(0, 255).byte()
    return [enlarge(image) for image in pixels.permute(0, 2, 3, 1).numpy()]


def _first_images(dataloader: dict, count: int) -> Any:
    """The first samples of the loader's data set, collated; fewer if it has fewer."""
    dataset = dataloader['dataset']
    dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    config = dict(dataloader.get('collate_fn') or {'type': 'pseudo_collate'})
    collate = FUNCTIONS.get(config.pop('type'))
    return collate([dataset[i] for i in range(min(count, len(dataset)))], **config)
