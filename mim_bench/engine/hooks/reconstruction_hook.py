"""The hook that saves pictures of reconstructions during pre-training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, FUNCTIONS
from mmengine.runner import IterBasedTrainLoop, Runner

from mim_bench.data.seeding import seed_everything
from mim_bench.engine.drawing import draw_panels
from mim_bench.engine.fsdp import callable_in_parts, is_sharded
from mim_bench.engine.hooks.cost_ledger_hook import outside_cost
from mim_bench.errors import ConfigError
from mim_bench.evaluation.isolation import evaluating, preserved_rng
from mim_bench.recipe.tta import unwrap
from mim_bench.registry import HOOKS
from mim_bench.visualization.methods import panels_of
from mim_bench.visualization.pictures import save_png

FOLDER = 'reconstructions'


@HOOKS.register_module()
class ReconstructionHook(Hook):
    """Save what the model makes of a few masked images, every n epochs and at the end.

    Writes ``reconstructions/epoch_N.png`` (``iter_N.png`` in iteration-based runs) in the work
    directory: one row an image, one column a panel of the method (input, masks, targets,
    predictions). Images and masks are drawn once, with a fixed seed, so they are the same in
    every picture of every run. The training goes on as it would without the hook, and its
    cost ledger does not count the time.

    Args:
        dataloader: Config of a loader; the training loader of the run if None. Only its data
            set and ``collate_fn`` are used: the images are the first of the data set, whatever
            the sampler, and the main process alone reads them.
        num_images: Rows.
        interval: Epochs between pictures.
        seed: Seed of the augmentation and the masks.
    """

    priority = 'LOW'

    def __init__(
        self,
        dataloader: dict | None = None,
        *,
        num_images: int = 4,
        interval: int = 1,
        seed: int = 0,
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
        model = unwrap(runner.model)
        if not (is_main_process() or is_sharded(model)):
            return
        with (
            outside_cost(runner),
            preserved_rng(self.seed),
            evaluating(model),
            callable_in_parts(model),
        ):
            if self._batch is None:
                self._batch = self._first_images(runner)
            # Methods that draw masks themselves draw the same in every picture.
            seed_everything(self.seed, cuda=True)
            data = model.data_preprocessor(self._batch, False)
            panels = panels_of(model, data['inputs'], data['data_samples'], predict=True)
            name = (
                f'iter_{runner.iter}.png'
                if isinstance(runner.train_loop, IterBasedTrainLoop)
                else f'epoch_{runner.epoch + 1}.png'
            )
            if is_main_process():
                save_png(draw_panels(panels), Path(runner.work_dir) / FOLDER / name)

    def _first_images(self, runner: Runner) -> Any:
        """The first samples of the data set, collated; fewer if it has fewer."""
        dataset, collate = self._source(runner)
        samples = []
        for index in range(min(self.num_images, len(dataset))):
            # Each image by itself, so that its masks do not depend on how many there are.
            seed_everything(self.seed, index)
            samples.append(dataset[index])
        return collate(samples)

    def _source(self, runner: Runner) -> tuple[Any, Callable[[list], Any]]:
        """The data set, and what makes a batch of its samples."""
        if self._dataloader is None:
            # A plain index: the runner's data set then leaves the seeding to us.
            return runner.train_dataloader.dataset, runner.train_dataloader.collate_fn
        dataset = self._dataloader['dataset']
        dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        config = dict(self._dataloader.get('collate_fn') or {'type': 'pseudo_collate'})
        collate = FUNCTIONS.get(config.pop('type'))
        return dataset, lambda samples: collate(samples, **config)
