"""The hook that follows a pre-training with k-NN accuracy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mim_bench.data.summary import check_same_classes, known_classes, summary_of
from mim_bench.engine.hooks.cost_ledger_hook import outside_cost
from mim_bench.errors import ConfigError
from mim_bench.evaluation.isolation import preserved_rng
from mim_bench.evaluation.probes.dispatch import run_probe
from mim_bench.evaluation.probes.extraction import extract_features
from mim_bench.evaluation.probes.together import shared_temporary_folder
from mim_bench.registry import HOOKS


@HOOKS.register_module()
class KnnHook(Hook):
    """Measure the k-NN accuracy of the backbone every n epochs of its pre-training.

    The model's ``extract_feat(inputs)`` must return the features of the whole, unmasked image
    as a tuple of maps (mmpretrain's ``SimMIM`` and ``MAE`` do). Results are logged as
    ``knn/top1`` (percent): in the message hub, so in checkpoints, and in
    ``vis_data/scalars.json`` with the number of epochs done as ``step``. The training goes on
    as it would without the hook, and its cost ledger does not count the time.

    The features lie in a temporary folder of the work directory meanwhile, which all processes
    must see, so that a large bank takes no memory.

    Note:
        Iteration-based runs are measured before their first iteration and after their last.

    Args:
        bank_dataloader: Loader of labelled training images with test-time transforms and
            ``DefaultSampler(shuffle=False)``.
        query_dataloader: Loader of validation images, alike.
        pooling: ``'gap'`` or ``'cls'``, see :func:`mim_bench.evaluation.probes.pooling.pool`.
        interval: Epochs between measurements; the last epoch is always measured.
        k: Neighbours.
        temperature: Temperature of the votes.
        at_start: Measure the untrained backbone too, as epoch 0.
    """

    # Before the checkpoint hook, so that a checkpoint knows the accuracy of its own epoch.
    priority = 'LOW'

    def __init__(
        self,
        bank_dataloader: dict,
        query_dataloader: dict,
        *,
        pooling: str,
        interval: int = 1,
        k: int = 20,
        temperature: float = 0.07,
        at_start: bool = True,
    ) -> None:
        if interval < 1:
            raise ConfigError(f'KnnHook: interval = {interval}. Set it to 1 or more epochs.')
        self.interval = interval
        self.at_start = at_start
        self.pooling = pooling
        self._configs = {'bank': bank_dataloader, 'query': query_dataloader}
        self._loaders: dict[str, Any] = {}
        self._settings = {'k': k, 'temperature': temperature}

    def before_train(self, runner: Runner) -> None:
        """Measure the untrained backbone, unless the run was resumed."""
        if self.at_start and runner.iter == 0:
            self._measure(runner, epochs_done=0, iters_done=0)

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure every n epochs and after the last one."""
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._measure(runner, epochs_done=runner.epoch + 1, iters_done=runner.iter)

    def _measure(self, runner: Runner, *, epochs_done: int, iters_done: int) -> None:
        device = next(runner.model.parameters()).device
        # Building a sampler draws from numpy, so the loaders are built in here too.
        with outside_cost(runner), preserved_rng():
            if not self._loaders:
                self._loaders = {
                    name: runner.build_dataloader(config, seed=runner.seed)
                    for name, config in self._configs.items()
                }
                check_same_classes(
                    {name: summary_of(built.dataset) for name, built in self._loaders.items()}
                )
            scores = self._scores(runner, device)
        scalars = {f'knn/{name}': value for name, value in scores.items()}
        for name, value in scalars.items():
            runner.message_hub.update_scalar(name, value)
        runner.visualizer.add_scalars(
            {**scalars, 'epoch': epochs_done, 'iter': iters_done}, step=epochs_done
        )
        shown = '  '.join(f'{name}: {value:.2f}' for name, value in scalars.items())
        runner.logger.info(f'k-NN after {epochs_done} epochs ({iters_done} iterations)  {shown}')

    def _scores(self, runner: Runner, device: torch.device) -> dict[str, float]:
        """The weights change from time to time, so their features are not kept."""
        with (
            shared_temporary_folder(Path(runner.work_dir)) as bank_folder,
            shared_temporary_folder(Path(runner.work_dir)) as query_folder,
        ):
            bank, query = (
                extract_features(runner.model, self._loaders[name], folder, pooling=self.pooling)
                for name, folder in (('bank', bank_folder), ('query', query_folder))
            )
            bank = replace(bank, known_classes=known_classes(self._loaders['bank'].dataset))
            return run_probe('knn', bank, query, device=device, settings=self._settings).scores
