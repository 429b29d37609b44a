"""A toy model, a toy data set and a toy metric, which importing registers; configs on them."""

import itertools
from pathlib import Path
from typing import Any, ClassVar

import mmengine.hooks
import mmengine.optim  # noqa: F401  registers what the configs below name
import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

NUM_CLASSES = 3
COUNTER = itertools.count()


@DATASETS.register_module()
class ToyImages(Dataset):
    """Images whose class decides the colour channel that is bright; draws when it is built."""

    METAINFO: ClassVar[dict] = {}

    def __init__(self, length: int = 12, nan_at: int | None = None, offset: int = 0) -> None:
        np.random.rand()
        generator = torch.Generator().manual_seed(offset)
        self.images = 0.3 * torch.randn(length, 3, 8, 8, generator=generator)
        self.labels = torch.arange(length) % NUM_CLASSES
        self.images[torch.arange(length), self.labels] += 1
        if nan_at is not None:
            self.images[nan_at] = torch.nan

    @property
    def metainfo(self) -> dict:
        """Empty, as for a dataset without classes."""
        return self.METAINFO

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict:
        sample = BaseDataElement(metainfo={'img_path': f'images/{index}.jpg', 'sample_idx': index})
        sample.gt_label = self.labels[index : index + 1]
        sample.mask = torch.eye(4)  # cells of 2 x 2 pixels
        return {'inputs': self.images[index], 'data_samples': sample}


@MODELS.register_module()
class ToyNet(BaseModel):
    """One convolution; the loss draws noise, so it feels every draw of the global generators."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 3, padding=1)
        self.frozen = nn.BatchNorm2d(4).eval()

    def extract_feat(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One feature map."""
        return (self.backbone(inputs),)

    def train(self, mode: bool = True) -> 'ToyNet':
        """Keep a part in evaluation mode, as frozen stages do."""
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, inputs: torch.Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """Features, predictions or losses by mode."""
        features = self.extract_feat(inputs)[-1]
        if mode != 'loss':
            return [BaseDataElement() for _ in inputs] if mode == 'predict' else features
        noise = 0.1 * torch.randn_like(features) * np.random.rand()
        return {
            'loss_pixel': (features - inputs.mean(dim=1, keepdim=True) + noise).square().mean(),
            'acc_pixel': features.sum() / 0,
        }

    def panels(self, inputs: torch.Tensor, data_samples: Any, *, predict: bool) -> list:
        """The images and, as a prediction, noise of the global generator."""
        # Not at the top: it imports every model of this package, which most tests do not need.
        from mim_bench.visualization.panels import Panel

        panels = [Panel('input', inputs.clamp(0, 1))]
        if predict:
            noise = torch.rand(len(inputs), 1, 1, 1).expand_as(inputs)
            panels.append(Panel('prediction', noise))
        return panels


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Reports fixed numbers under the names of the libraries."""

    def __init__(self, values: dict[str, float]) -> None:
        super().__init__()
        self.values = values

    def process(self, data_batch: Any, data_samples: Any) -> None:
        """Count the samples."""
        self.results.append(len(data_samples))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The values it was given."""
        return dict(self.values)


def loader(batch_size: int = 3, shuffle: bool = False, **dataset: Any) -> dict:
    """A loader config on the toy images."""
    return {
        'dataset': {'type': 'ToyImages', **dataset},
        'sampler': {'type': 'DefaultSampler', 'shuffle': shuffle},
        'collate_fn': {'type': 'default_collate'},
        'batch_size': batch_size,
        'num_workers': 0,
    }


def run_config(work_dir: Path, **changes: Any) -> Config:
    """A pre-training of 2 epochs of 4 iterations."""
    return Config(
        {
            'work_dir': str(work_dir),
            'model': {'type': 'ToyNet'},
            'train_dataloader': loader(shuffle=True),
            'train_cfg': {'by_epoch': True, 'max_epochs': 2},
            'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.1}},
            'default_hooks': {'logger': {'type': 'LoggerHook', 'interval': 1}},
            'randomness': {'seed': 7},
            'log_level': 'ERROR',
            **changes,
        }
    )


def record_hook(results_dir: Path, tasks: list[dict], **changes: Any) -> dict:
    """A hook that records a toy run below a folder."""
    return {
        'type': 'mim_bench.RecordHook',
        'results_dir': str(results_dir),
        'tasks': tasks,
        'checkpoint': {'id': 'toy', 'method': 'toy', 'backbone': 'conv'},
        'protocol': {'name': 'toy', 'version': '1', 'tier': 'smoke'},
        **changes,
    }


def knn_hook(**settings: Any) -> dict:
    """A hook that measures k-NN on the toy images."""
    return {
        'type': 'mim_bench.KnnHook',
        'bank_dataloader': loader(length=30),
        'query_dataloader': loader(length=9, offset=1),
        'pooling': 'gap',
        'k': 5,
        **settings,
    }


def test_settings(**test_cfg: Any) -> dict:
    """The part of a config that tests by probes."""
    return {
        'test_dataloader': loader(length=9, offset=1),
        'test_evaluator': [],
        'test_cfg': {
            'type': 'mim_bench.ProbeTestLoop',
            'bank_dataloader': loader(length=30),
            'probes': {'knn': {'k': 5}, 'linear': {'epochs': 20, 'learning_rates': [0.001, 1.0]}},
            'pooling': 'gap',
            **test_cfg,
        },
    }


test_settings.__test__ = False


def make_runner(cfg: Config, kind: type[Runner] = Runner) -> Runner:
    """A runner with a name of its own."""
    cfg = Config(cfg.to_dict(), filename=cfg.filename)
    cfg.experiment_name = f'toy-{next(COUNTER)}'
    return kind.from_cfg(cfg)
