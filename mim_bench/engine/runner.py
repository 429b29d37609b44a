"""mmengine's Runner with exact resuming, gated loading, atomic checkpoints and gloo."""

import contextlib
import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.runner.checkpoint import _load_checkpoint
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from mim_bench.compat.cpu_products import cpu_products, has_wide_layers
from mim_bench.conversion.files import run_meta, state_dict_of
from mim_bench.data.shared_batches import share_batches
from mim_bench.engine.batch_stream import EpochTrainLoop, resume_stream, streaming_loops
from mim_bench.engine.boundary import PlaceEndHook, PlaceHook
from mim_bench.engine.checkpoint_identity import run_facts, start_facts
from mim_bench.engine.cpu_distributed import (
    DIST_TIMEOUT_S,
    init_gloo,
    is_cpu_run,
    read_slurm,
    wrap_for_gloo,
)
from mim_bench.engine.fsdp import KEY, check_model, gathered, is_sharded, shard_training
from mim_bench.engine.hooks.ema_hook import average_updates
from mim_bench.engine.hooks.finite_loss_hook import FiniteLossHook
from mim_bench.engine.hooks.heartbeat_hook import HeartbeatHook
from mim_bench.engine.hooks.mean_loss_hook import MeanLossHook
from mim_bench.engine.hooks.norm_statistics_hook import NormStatisticsHook
from mim_bench.engine.load_gate import backbone_of, describe, load_backbone, load_state
from mim_bench.engine.loader_settings import copy_without_waiting, loader_settings
from mim_bench.engine.preemption import StopRequest
from mim_bench.engine.preflight import PreflightHook
from mim_bench.engine.pretrained_init import gated_initialisation
from mim_bench.engine.resume import RESUME_KEY, check_resumable, resume_settings
from mim_bench.engine.saving import whole_checkpoint
from mim_bench.engine.tracking import TrackHook, tracked_visualizer
from mim_bench.errors import CheckpointError, DataError
from mim_bench.recipe.building import normalised_as_trained
from mim_bench.recipe.effective_batch import iterations_per_update
from mim_bench.recipe.tta import unwrap
from mim_bench.recipe.updates import (
    default_hooks_in_iterations,
    fit_epoch_to_updates,
    loop_in_iterations,
    schedules_in_updates,
)
from mim_bench.registry import RUNNERS
from mim_bench.results.record import LoadReport


@RUNNERS.register_module()
class BenchRunner(Runner):
    """The runner of every config.

    Differs from mmengine's:

    - Every sample is seeded by the run's seed and its place in the epoch
      (:mod:`mim_bench.data.seeding`).
    - ``backbone_checkpoint`` in the config fills the backbone through the load gate;
      ``load_report`` is its result.
    - Checkpoints are written under a temporary name and renamed
      (:mod:`mim_bench.engine.saving`), also between intervals and when a run is asked to stop
      (:class:`mim_bench.engine.hooks.checkpoint_hook.CheckpointHook`).
    - Resuming requires every key.
    - Without a GPU, distributed runs use gloo.
    - In a config with ``effective_batch_size``, settings that count iterations count updates,
      with any number of accumulated passes (:mod:`mim_bench.recipe.updates`).
    - Averages of the weights follow updates, and survive a stop in a validation
      (:mod:`mim_bench.engine.hooks.ema_hook`).
    - A run resumes in the middle of an epoch, without reading the batches before
      (:mod:`mim_bench.engine.batch_stream`).
    - ``compile`` in the config compiles the forward pass of the training, not the optimiser.
    - ``fsdp=True`` in the config shards weights, gradients and optimiser
      (:mod:`mim_bench.engine.fsdp`).
    - Linear layers on a CPU multiply as ``cpu_products`` says
      (:mod:`mim_bench.compat.cpu_products`).
    """

    load_report: LoadReport | None = None
    stop_request: StopRequest
    _loaded_meta: dict | None = None
    _start: dict | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stop_request = StopRequest()

    @property
    def iterations_per_update(self) -> int:
        """Iterations that make one update, if the config counts in updates; otherwise 1."""
        return iterations_per_update(self.cfg)

    def train(self) -> nn.Module:
        """Train."""
        with self._products():
            return super().train()

    def val(self) -> dict:
        """Validate."""
        with self._products():
            return super().val()

    def test(self) -> dict:
        """Test, probes included."""
        with self._products():
            return super().test()

    @property
    def _is_sharding(self) -> bool:
        return self.distributed and bool(self.cfg.get(KEY))

    def _maybe_compile(self, target: str) -> None:
        """Compile the forward pass of the training, if the config has ``compile``.

        mmengine would compile the whole step. Inside compiled code AdamW divides by its rate, so
        that a parameter without a gradient would become NaN where a warm-up starts from 0; and
        each new rate would be compiled anew.
        """
        settings = self.cfg.get('compile')
        if settings in (None, False):
            return
        model = unwrap(self.model)
        plain = model.forward
        compiled = torch.compile(plain, **({} if settings is True else settings))
        model.forward = lambda *args, **kwargs: (compiled if model.training else plain)(
            *args, **kwargs
        )

    def _products(self) -> contextlib.AbstractContextManager:
        """Context with the config's matrix products; torch's if compiled or without wide layers."""
        is_plain = self.cfg.get('compile') or not has_wide_layers(self.model)
        return cpu_products('torch' if is_plain else self.cfg.get('cpu_products'))

    def setup_env(self, env_cfg: dict) -> None:
        """Join the other processes, without a GPU by gloo (mmengine would require one)."""
        if self.distributed:
            timeout = {'timeout': DIST_TIMEOUT_S}
            env_cfg = {**env_cfg, 'dist_cfg': {**timeout, **env_cfg.get('dist_cfg', {})}}
            if self._launcher == 'slurm':
                read_slurm()
            if is_cpu_run():
                init_gloo(self._launcher, env_cfg['dist_cfg']['timeout'])
            # NCCL's flight recorder then writes what each process waited for.
            os.environ.setdefault('TORCH_NCCL_DUMP_ON_TIMEOUT', '1')
            for name in ('TORCH_FR_DUMP_TEMP_FILE', 'TORCH_NCCL_DEBUG_INFO_TEMP_FILE'):
                os.environ.setdefault(name, str(Path(self.work_dir).resolve() / 'nccl-trace-'))
        super().setup_env(env_cfg)

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """Build it with the trackers of ``track`` in the config, on the main process."""
        track = self.cfg.get('track')
        if track and is_main_process() and not isinstance(visualizer, Visualizer):
            visualizer = tracked_visualizer(
                visualizer, track, Path(self.work_dir), resumes=self.cfg.get('resume', False)
            )
        return super().build_visualizer(visualizer)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for CPU processes by gloo; otherwise as mmengine does.

        A model that is to be sharded stays on the CPU until its weights are loaded.
        """
        copy_without_waiting(model)
        if self._is_sharding:
            check_model(model)
            return revert_sync_batchnorm(model) if is_cpu_run() else model
        if self.distributed and is_cpu_run() and model_wrapper_cfg is None:
            return wrap_for_gloo(model, self.cfg.get('find_unused_parameters', False))
        return super().wrap_model(model_wrapper_cfg, model)

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build it with images normalised as its weights were trained."""
        return super().build_model(
            normalised_as_trained(model) if isinstance(model, dict) else model
        )

    def build_optim_wrapper(self, optim_wrapper: OptimWrapper | dict) -> OptimWrapper:
        """Build it with groups that are plain dictionaries.

        Those of a config take three times as long to read, and each update reads hundreds.
        """
        if isinstance(optim_wrapper, dict) and isinstance(optim_wrapper.get('optimizer'), dict):
            optim_wrapper = {**optim_wrapper, 'optimizer': {**optim_wrapper['optimizer']}}
        return super().build_optim_wrapper(optim_wrapper)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a loader that seeds every sample and passes batches in shared memory."""
        if not isinstance(dataloader, dict):
            return dataloader
        dataloader = loader_settings(deepcopy(dataloader))
        dataset, sampler = dataloader['dataset'], dataloader['sampler']
        ours = {k: dataloader.pop(k) for k in ('skip_list', 'loading') if k in dataloader}
        if isinstance(dataset, dict) and isinstance(sampler, dict):
            if batches := dataloader.get('batch_sampler'):
                dataloader['batch_sampler'] = dict(
                    type='mim_bench.StartingBatchSampler', batch_sampler=batches
                )
            seeded = dict(type='mim_bench.SeededDataset', dataset=dataset, seed=seed or 0)
            dataloader['dataset'] = {**seeded, **ours}
            dataloader['sampler'] = dict(type='mim_bench.SeededSampler', sampler=sampler)
        loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        share_batches(loader, in_room=ours.get('loading') != 'plain')
        return loader

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop. An epoch without a batch raises a ConfigError."""
        every = self.iterations_per_update
        with streaming_loops():
            loop = super().build_train_loop(loop_in_iterations(loop, every))
        if isinstance(loop, EpochBasedTrainLoop):
            if every > 1:
                fit_epoch_to_updates(loop.dataloader, every)
                loop._max_iters = loop.max_epochs * len(loop.dataloader)
            self._check_epoch(loop.dataloader)
        return loop

    def _check_epoch(self, loader: DataLoader) -> None:
        if len(loader):
            return
        every = self.iterations_per_update
        group = f' x {every} accumulated' if every > 1 else ''
        raise DataError(
            f'{self.cfg.filename}: train_dataloader gives no batch: its data set has '
            f'{len(loader.dataset)} samples for {self.world_size} processes, a batch '
            f'is {loader.batch_size}{group} and incomplete ones are dropped. Use a smaller '
            'train_dataloader.batch_size or drop_last=False'
            + (', or a smaller effective_batch_size.' if group else '.')
        )

    def _build_param_scheduler(self, scheduler: Any, optim_wrapper: Any) -> list:
        length = len(self.train_dataloader)
        every = self.iterations_per_update
        scheduler = schedules_in_updates(scheduler, self.max_iters, length, every)
        return super()._build_param_scheduler(scheduler, optim_wrapper)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register them, with intervals in updates, and the hooks that every run has.

        These track the phase (:class:`mim_bench.engine.boundary.PlaceHook`), write a heartbeat
        (:class:`mim_bench.engine.hooks.heartbeat_hook.HeartbeatHook`), try the run before its
        first step (:class:`mim_bench.engine.preflight.PreflightHook`), log the losses of all
        processes (:class:`mim_bench.engine.hooks.mean_loss_hook.MeanLossHook`), and let it validate
        the statistics that it saves
        (:class:`mim_bench.engine.hooks.norm_statistics_hook.NormStatisticsHook`).
        """
        super().register_default_hooks(
            default_hooks_in_iterations(hooks, self.iterations_per_update)
        )
        place = PlaceHook()
        self.register_hook(place)
        self.register_hook(PlaceEndHook(place))
        self.register_hook(HeartbeatHook())
        self.register_hook(MeanLossHook())
        self.register_hook(NormStatisticsHook())
        if track := self.cfg.get('track'):
            self.register_hook(TrackHook(track['names']))
        self.register_hook(PreflightHook())

    def register_custom_hooks(self, hooks: list | None) -> None:
        """Register them; those that average weights do so once an update."""
        super().register_custom_hooks(hooks)
        for hook in self.hooks:
            if isinstance(hook, EMAHook):
                average_updates(hook)

    def _init_model_weights(self) -> None:
        """Initialise; files that an ``init_cfg`` names go through the load gate too."""
        with gated_initialisation(allow_partial=self._allow_partial) as initialisation:
            super()._init_model_weights()
        if initialisation.reports:
            # Of several files, the one that fits least is reported.
            self.load_report = min(initialisation.reports, key=lambda report: report.share)

    def load_or_resume(self) -> None:
        """Fill the backbone from ``backbone_checkpoint``, then resume if there is a checkpoint."""
        path = self.cfg.get('backbone_checkpoint')
        if path and not self._has_loaded:
            self.load_report = load_backbone(
                backbone_of(unwrap(self.model)), path, allow_partial=self._allow_partial
            )
        super().load_or_resume()
        if self._is_sharding and not is_sharded(self.model):
            shard_training(self.model, self.optim_wrapper.optimizer)
        if isinstance(self._train_loop, IterBasedTrainLoop):
            resume_stream(self._train_loop)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resume at the same update, even if the number of accumulated passes has changed."""
        if self._is_sharding:
            kwargs.setdefault('map_location', 'cpu')  # the whole may not fit a GPU
        super().resume(filename, *args, **kwargs)
        before = (self._loaded_meta or {}).get('iterations_per_update')
        every = self.iterations_per_update
        if before and before != every:
            loop = self.train_loop
            self.logger.info(
                f'{filename}: {before} iterations made an update, now {every} do: iteration '
                f'{loop.iter} becomes {loop.iter // before * every}.'
            )
            loop._iter = loop.iter // before * every
        if isinstance(self.train_loop, EpochTrainLoop):
            self.train_loop.begin_at((self._loaded_meta or {}).get('epoch_draws', 0))

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = 'cpu',
        strict: bool = True,
        revise_keys: list | None = None,
    ) -> dict:
        """Load a whole model; a key that does not fit stops the run.

        With ``--allow-partial`` it does not, unless the run resumes.

        Args:
            filename: A path, or a URL as mmengine reads it.
            map_location: Device of the loaded tensors.
            strict: If False, keys that do not fit are accepted.
            revise_keys: (pattern, replacement) for the names in the file.
        """
        if '://' not in str(filename) and not Path(filename).is_file():
            raise CheckpointError(f'{filename}: there is no such checkpoint file. Check the path.')
        checkpoint = _load_checkpoint(str(filename), map_location=map_location)
        self._loaded_meta = checkpoint.get('meta')
        if self._resume:
            check_resumable(filename, self._loaded_meta, self.cfg)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        state = state_dict_of(checkpoint)
        for pattern, replacement in revise_keys or ():
            state = {re.sub(pattern, replacement, key): value for key, value in state.items()}
        is_partial = not strict or (self._allow_partial and not self._resume)
        model = unwrap(self.model)
        advice = 'Use the config that wrote it.'
        report = load_state(model, state, filename, allow_partial=is_partial, advice=advice)
        if not is_partial and (report.missing or report.unexpected):
            raise CheckpointError(
                f'{filename}: does not fit the model of {self.cfg.filename}: {describe(report)} '
                f'{advice}'
            )
        # A resumed run keeps the report of the checkpoint that filled its backbone.
        self.load_report = self.load_report if self._resume and self.load_report else report
        return checkpoint

    @property
    def _allow_partial(self) -> bool:
        return self.cfg.get('allow_partial', False)

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save on the main process, a complete file or none; all processes must call it.

        Raises:
            CheckpointError: The file system refuses.
            TrainingError: The weights come from a loss that is not finite.
        """
        for hook in self.hooks:
            if isinstance(hook, FiniteLossHook | MeanLossHook):
                hook.settle(self)
        kwargs['meta'] = {
            **(kwargs.get('meta') or {}),
            'mim_bench': self.checkpoint_meta(),
            'iterations_per_update': self.iterations_per_update,
        }
        with gathered(self) if is_sharded(self.model) else contextlib.nullcontext():
            if is_main_process():
                with whole_checkpoint(Path(out_dir) / filename) as temporary:
                    super().save_checkpoint(out_dir, temporary.name, *args, **kwargs)

    def checkpoint_meta(self) -> dict:
        """The ``meta`` of a checkpoint that conversion and resuming read."""
        if self._start is None:
            before = run_meta({'meta': self._loaded_meta}) if self._resume else {}
            file = self.cfg.get('backbone_checkpoint')
            self._start = before.get('start') or start_facts(self.cfg, file)
        return {**run_facts(self.cfg, self._start), RESUME_KEY: resume_settings(self.cfg)}
