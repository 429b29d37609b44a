"""mmengine's Runner, made to resume exactly, load openly, save whole files and run on gloo."""

import contextlib
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mim_bench.engine.cpu_distributed import init_gloo, is_cpu_run, wrap_for_gloo
from mim_bench.engine.load_gate import backbone_of, load_backbone
from mim_bench.errors import CheckpointError, DataError
from mim_bench.registry import RUNNERS
from mim_bench.results.record import LoadReport


@RUNNERS.register_module()
class BenchRunner(Runner):
    """The runner of every config.

    Differs from mmengine's:

    - Every sample is seeded by the run's seed and its place in the epoch
      (:mod:`mim_bench.data.seeding`).
    - ``backbone_checkpoint`` in the config fills the backbone through the load gate;
      ``load_report`` tells what it found.
    - Checkpoints are written under a temporary name and renamed.
    - Resuming needs every key.
    - Without a GPU, distributed runs use gloo.
    """

    load_report: LoadReport | None = None

    def setup_env(self, env_cfg: dict) -> None:
        """Join gloo first where there is no GPU; mmengine would ask for one."""
        if self.distributed and is_cpu_run():
            init_gloo(self._launcher)
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Data parallelism between CPU processes; anything else is mmengine's."""
        if self.distributed and is_cpu_run() and model_wrapper_cfg is None:
            return wrap_for_gloo(model, self.cfg.get('find_unused_parameters', False))
        return super().wrap_model(model_wrapper_cfg, model)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """Build a loader whose samples are seeded one by one."""
        if isinstance(dataloader, dict):
            dataloader = deepcopy(dataloader)
            dataset, sampler = dataloader['dataset'], dataloader['sampler']
            if isinstance(dataset, dict) and isinstance(sampler, dict):
                seeded = dict(type='mim_bench.SeededDataset', dataset=dataset, seed=seed or 0)
                dataloader['dataset'] = seeded
                dataloader['sampler'] = dict(type='mim_bench.SeededSampler', sampler=sampler)
        return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the loop; an epoch without a batch is the user's to mend."""
        loop = super().build_train_loop(loop)
        if isinstance(loop, EpochBasedTrainLoop) and not len(loop.dataloader):
            raise DataError(
                f'{self.cfg.filename}: train_dataloader gives no batch: its data set has '
                f'{len(loop.dataloader.dataset)} samples for {self.world_size} processes, a batch '
                f'is {loop.dataloader.batch_size} and incomplete ones are dropped. Use a smaller '
                'train_dataloader.batch_size or drop_last=False.'
            )
        return loop

    def load_or_resume(self) -> None:
        """Fill the backbone from ``backbone_checkpoint``, then resume if there is what to."""
        path = self.cfg.get('backbone_checkpoint')
        if path and not self._has_loaded:
            self.load_report = load_backbone(
                backbone_of(self.model), path, allow_partial=self.cfg.get('allow_partial', False)
            )
        super().load_or_resume()

    def load_checkpoint(
        self,
        filename: str,
        map_location: Any = 'cpu',
        strict: bool = True,
        revise_keys: list | None = None,
    ) -> dict:
        """Load a whole model; a key that does not fit stops the run."""
        revise_keys = revise_keys or [(r'^module.', '')]
        try:
            return super().load_checkpoint(filename, map_location, strict, revise_keys)
        except RuntimeError as error:
            raise CheckpointError(
                f'{filename}: does not fit the model of {self.cfg.filename}. '
                f'{" ".join(str(error).split())[:600]} Use the config that wrote it.'
            ) from error

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save under a temporary name, then rename, so that a file is whole or absent."""
        temporary = f'.{filename}.tmp'
        kwargs['meta'] = {**(kwargs.get('meta') or {}), 'mim_bench': self.checkpoint_meta()}
        try:
            super().save_checkpoint(out_dir, temporary, *args, **kwargs)
            path = Path(out_dir) / temporary
            if path.exists():  # rank 0 on a local disk
                path.replace(path.with_name(filename))
        except (OSError, RuntimeError) as error:
            with contextlib.suppress(OSError):
                (Path(out_dir) / temporary).unlink(missing_ok=True)
            raise CheckpointError(
                f'{Path(out_dir) / filename}: cannot be written ({str(error).splitlines()[0]}). '
                'Earlier checkpoints are untouched. Free some space and start again with '
                '--auto-resume.'
            ) from error

    def checkpoint_meta(self) -> dict:
        """What a converter wants to know about the method: from the config's ``pretraining``."""
        return dict(self.cfg.get('pretraining', {}))
