"""The hook that saves pictures of what a segmentor or detector predicts."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from mim_bench.data.archives import is_file
from mim_bench.engine.hooks.cost_ledger_hook import outside_cost
from mim_bench.engine.predictions import prediction_kind, prediction_row
from mim_bench.errors import ConfigError
from mim_bench.registry import HOOKS
from mim_bench.visualization.pictures import picture_grid, save_png

FOLDER = 'predictions'


@HOOKS.register_module()
class PredictionHook(Hook):
    """Save what the model predicts for the first images of every validation or test.

    Writes ``predictions/<kind>_epoch_N.png`` (``_iter_N`` in iteration-based runs, ``_test`` in
    a test) in the work directory, kind being ``segmentation`` or ``detection``: one row an
    image; columns input, truth, predicted. Objects with a score of 0.3 or more are drawn. In
    runs that predict neither it does nothing.

    Args:
        num_images: Rows.
    """

    # Before the record is written, which takes the pictures along.
    priority = 'LOW'

    def __init__(self, num_images: int = 4) -> None:
        if num_images < 1:
            raise ConfigError(f'PredictionHook: num_images = {num_images}. Set it to 1 or more.')
        self.num_images = num_images
        self._samples: list[Any] = []

    def before_val_epoch(self, runner: Runner) -> None:
        """Forget the images of a validation that was broken off."""
        self._samples = []

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Keep the first samples; the main process alone draws."""
        missing = self.num_images - len(self._samples)
        if missing > 0 and is_main_process():
            fitting = filter(_can_show, outputs or ())
            self._samples += [sample.cpu() for sample in islice(fitting, missing)]

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw what was kept."""
        is_by_iter = isinstance(runner.train_loop, IterBasedTrainLoop)
        name = f'iter_{runner.iter}' if is_by_iter else f'epoch_{runner.epoch}'
        self._save(runner, runner.val_dataloader, name)

    before_test_epoch, after_test_iter = before_val_epoch, after_val_iter

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """As in validation."""
        self._save(runner, runner.test_dataloader, 'test')

    def _save(self, runner: Runner, dataloader: DataLoader, name: str) -> None:
        samples, self._samples = self._samples, []
        if not samples:
            return
        with outside_cost(runner):
            meta = getattr(dataloader.dataset, 'metainfo', None) or {}
            rows = [prediction_row(sample, meta) for sample in samples]
            picture = picture_grid(list(zip(*rows, strict=True)))
            file = f'{prediction_kind(samples[0])}_{name}.png'
            save_png(picture, Path(runner.work_dir) / FOLDER / file)


def _can_show(sample: Any) -> bool:
    if prediction_kind(sample) is None:
        return False
    return is_file(str(getattr(sample, 'metainfo', {}).get('img_path', '')))
