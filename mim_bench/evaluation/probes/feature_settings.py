"""The settings on which the features of a data set depend, as key of the cache."""

import hashlib
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

import torch
from mmengine.config import Config
from torch import nn
from torch.utils.data import Dataset

from mim_bench.conversion.files import tensors_sha256
from mim_bench.data.archives import file_facts, is_file
from mim_bench.evaluation.probes.extraction import arithmetic_name, backbone_of
from mim_bench.recipe.protocol import below_roots, data_roots, plain_settings
from mim_bench.recipe.tta import unwrap

# Raise it when the code changes features of the same settings.
VERSION = 1
_SIZED_FILES = 1000


def feature_settings(
    cfg: Config,
    model: nn.Module,
    loader: Mapping[str, Any],
    dataset: Dataset,
    *,
    fp16: bool | str,
    **how: Any,
) -> dict[str, Any]:
    """Plain data that is equal for two runs only if their features are.

    It contains the weights themselves (so that neither the name of a checkpoint nor how it was
    loaded matters), the settings of the backbone and of the preprocessing, the data set with
    its transforms, the names and labels of its samples, the sizes of the files of
    1,000 to 2,000 samples, evenly spread, the pooling, and the precision. Batch size, workers,
    device, number of processes and location of the data are not included.

    Args:
        cfg: Config of the run.
        model: Model with its weights, wrapped or not.
        loader: Settings of the loader.
        dataset: Built from them.
        fp16: One of :data:`mim_bench.evaluation.probes.extraction.ARITHMETICS`.
        **how: Settings of the extraction, such as its pooling: plain data.
    """
    model = unwrap(model)
    network = cfg.get('model') or {}
    device = next(model.parameters()).device
    return {
        'version': VERSION,
        'model': type(model).__name__,
        'weights': weights_digest(model),
        'backbone': plain_settings(network.get('backbone'), cfg),
        'preprocessing': plain_settings(
            [network.get('data_preprocessor'), cfg.get('data_preprocessor')], cfg
        ),
        'dataset': plain_settings(loader.get('dataset'), cfg),
        'collate': plain_settings(loader.get('collate_fn'), cfg),
        'samples': _samples_digest(dataset, cfg),
        'autocast': arithmetic_name(device, fp16),
        **how,
    }


def weights_digest(model: nn.Module) -> str:
    """Digest of the weights of backbone and preprocessing; heads and decoders are left out."""
    parts = (backbone_of(model), getattr(model, 'data_preprocessor', None))
    return tensors_sha256(
        named for part in parts for named in sorted(_tensors(part), key=itemgetter(0))
    )


def _tensors(module: nn.Module | None) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors, including non-persistent buffers, which affect features too."""
    if module is not None:
        yield from module.named_parameters()
        yield from module.named_buffers()


def _samples_digest(dataset: Dataset, cfg: Config) -> str:
    """Digest of names and labels; of the length only, if a data set does not provide them."""
    digest = hashlib.sha256(f'{len(dataset)}\n'.encode())
    roots = data_roots(cfg)
    if hasattr(dataset, 'get_data_info'):
        step = max(1, len(dataset) // _SIZED_FILES)
        for index in range(len(dataset)):
            sample = dataset.get_data_info(index)
            path = str(sample.get('img_path', ''))
            line = f'{below_roots(path, roots)} {sample.get("gt_label")}'
            for file in (path, str(sample.get('seg_map_path', ''))):
                if index % step == 0 and is_file(file):
                    line += f' {file_facts(file)[0]}'
            digest.update(f'{line}\n'.encode())
    return digest.hexdigest()
