"""Measures the host time of a config's hooks in a training iteration, at any batch size.

The hooks are those of a real run. Their runner has a network of one parameter and batches of
samples without images, so large batches take no memory and all measured time is the hooks'.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import nn
from torch.utils.data import Dataset

from mim_bench.data.summary import Summary
from mim_bench.engine.runner import BenchRunner
from mim_bench.registry import DATASETS, MODELS

# Hooks that inspect the network, which is a dummy here, or act once an epoch.
_LEFT_OUT = ('MomentumHook', 'KnnHook', 'ReconstructionHook', 'RecordHook', 'EMAHook')
_NUM_CLASSES = 1000
_MAP_SIDE, _NUM_OBJECTS = 512, 20


def hook_times(
    cfg: Config,
    batch_size: int,
    iterations: int = 50,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Seconds of host time that each hook of a config takes in an iteration, by its name.

    Args:
        cfg: Config of a training.
        batch_size: Images of a batch.
        iterations: Number of iterations to average over.
        clock: Function that returns seconds.
    """
    spent: dict[str, float] = {}
    with still_run(cfg, batch_size) as (runner, batch):
        outputs = {'loss': torch.tensor(1.0)}
        for index in range(iterations):
            runner.train_loop._iter = index
            for hook in runner.hooks:
                name = type(hook).__name__
                began = clock()
                hook.before_train_iter(runner, batch_idx=index, data_batch=batch)
                hook.after_train_iter(runner, batch_idx=index, data_batch=batch, outputs=outputs)
                spent[name] = spent.get(name, 0.0) + clock() - began
    return {name: seconds / iterations for name, seconds in spent.items()}


@contextmanager
def still_run(cfg: Config, batch_size: int) -> Iterator[tuple[BenchRunner, dict[str, Any]]]:
    """Context with a runner before its first iteration, with a config's hooks, and a batch."""
    with tempfile.TemporaryDirectory() as folder:
        runner = BenchRunner.from_cfg(_still_config(cfg, folder))
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
        runner.optim_wrapper.initialize_count_status(runner.model, 0, runner.max_iters)
        for event in ('before_run', 'before_train', 'before_train_epoch'):
            runner.call_hook(event)
        yield runner, {'inputs': [torch.zeros(1)] * batch_size, **_samples(cfg, batch_size)}
        runner.visualizer.close()


def _still_config(cfg: Config, folder: str) -> Config:
    hooks = [h for h in cfg.get('custom_hooks') or () if not _is_left_out(h)]
    return Config(
        dict(
            model=dict(type='mim_bench.NoNetwork', has_classes='pretraining' not in cfg),
            work_dir=folder,
            train_dataloader=dict(
                dataset=dict(type='mim_bench.NoImages', has_classes=_is_classifying(cfg)),
                sampler=dict(type='DefaultSampler'),
                batch_size=1,
            ),
            train_cfg=_train_cfg(cfg),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            param_scheduler=dict(type='PolyLR', by_epoch=False),
            default_hooks=cfg.get('default_hooks'),
            custom_hooks=hooks,
            default_scope=cfg.get('default_scope', 'mmengine'),
            experiment_name=f'hooks-{time.monotonic_ns()}',
            log_level='ERROR',
        )
    )


def _is_left_out(hook: Hook | dict) -> bool:
    name = hook['type'] if isinstance(hook, dict) else type(hook).__name__
    return str(name).rpartition('.')[2] in _LEFT_OUT


def _is_classifying(cfg: Config) -> bool:
    return cfg.get('default_scope') not in ('mmseg', 'mmdet') and 'pretraining' not in cfg


def _train_cfg(cfg: Config) -> dict[str, int]:
    """So long that no iteration is the last one, which would save a checkpoint."""
    if (cfg.get('train_cfg') or {}).get('max_iters') is None:
        return dict(by_epoch=True, max_epochs=100)
    return dict(by_epoch=False, max_iters=100_000)


def _samples(cfg: Config, batch_size: int) -> dict[str, list[BaseDataElement]]:
    """Annotations in the data structures of a config's library."""
    scope = cfg.get('default_scope')
    shared = PixelData(data=torch.full((1, _MAP_SIDE, _MAP_SIDE), 255))
    shared.data[..., ::2] = 7
    samples = []
    for index in range(batch_size):
        sample = BaseDataElement(metainfo={'img_path': f'{index}.jpg', 'sample_idx': index})
        if scope == 'mmseg':
            sample.gt_sem_seg = shared
        elif scope == 'mmdet':
            labels = torch.arange(_NUM_OBJECTS)
            sample.gt_instances = InstanceData(labels=labels, bboxes=torch.zeros(_NUM_OBJECTS, 4))
        elif _is_classifying(cfg):
            sample.gt_label = torch.tensor([index % _NUM_CLASSES])
        samples.append(sample)
    return {'data_samples': samples}


@MODELS.register_module()
class NoNetwork(BaseModel):
    """A network of one parameter that states the number of classes that hooks read."""

    def __init__(self, has_classes: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.head = nn.Module()
        self.head.num_classes = _NUM_CLASSES if has_classes else None

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'loss') -> dict:
        """Never called."""
        return {'loss': self.weight.sum()}


@DATASETS.register_module()
class NoImages(Dataset):
    """A data set of names without images, long enough for any number of iterations."""

    metainfo: ClassVar[dict] = {}

    def __init__(self, has_classes: bool) -> None:
        classes = dict.fromkeys(range(_NUM_CLASSES), 1) if has_classes else None
        self.summary = Summary('nowhere', len(self), class_images=classes)

    def __len__(self) -> int:
        return 100_000

    def __getitem__(self, index: int) -> dict:
        return {'inputs': torch.zeros(1)}
