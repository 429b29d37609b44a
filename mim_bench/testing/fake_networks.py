"""Configs at full size on the GPU that is not there, called in a process of its own."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mim_bench.profiling import fake_kernels
from mim_bench.profiling.fake_gpu import DEVICE, fake_gpu, put_on
from mim_bench.profiling.fake_step import FakeStep
from mim_bench.profiling.synthetic import SyntheticData, as_training
from mim_bench.profiling.training_step import PRECISIONS
from mim_bench.recipe.config import load_config

# Batch normalisation over a whole image needs two.
BATCH_SIZE = 2


def network_key(path: Path) -> str:
    """A key that is equal for configs whose networks differ in drop path rates only."""
    cfg = load_config(path).to_dict()
    dataset = cfg.get('train_dataloader') or cfg['test_cfg'].get('bank_dataloader')
    while dataset and 'dataset' in dataset:  # a share of the labels changes no batch
        dataset = dataset['dataset']
    key = repr((cfg['model'], cfg.get('data_preprocessor'), (dataset or {}).get('pipeline')))
    return re.sub(r"('drop_path_rate': )0?\.\d*[1-9]\d*", r'\1 rate', key)


def run_config(path: str, precisions: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Run the training step of a config, the optimiser left out; a probe's forward pass.

    Returns:
        By precision: ``loss``: its dtype, as text; ``without_gradient``: trained parameters that
        got none; ``waits``: the known places that read from the device, as (place, function).

    Raises:
        ReadBackError: A place that is not known reads from the device.
        MixedDevicesError: Tensors of two devices meet.
    """
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel('ERROR')
    cfg = load_config(path)
    is_training = cfg.get('train_cfg') is not None
    if not is_training:
        cfg = as_training(cfg)
    data = SyntheticData(cfg)
    found = {}
    for precision in precisions:
        with fake_gpu() as mode:
            step = FakeStep(cfg, precision, mode, has_optimizer=False)
            found[precision] = _run(step, data.batch(BATCH_SIZE), is_training=is_training)
        found[precision]['waits'] = sorted((k.place, k.function) for k in mode.met)
    return found


def _run(step: FakeStep, batch: dict[str, Any], *, is_training: bool) -> dict[str, Any]:
    missing = []
    if is_training:
        loss = step.forward(batch)
        loss.backward()
        parameters = step.model.named_parameters()
        missing = [n for n, p in parameters if p.requires_grad and p.grad is None]
    else:
        data = step.model.eval().data_preprocessor(batch, False)
        with torch.no_grad(), torch.autocast(DEVICE, PRECISIONS[step.settings.precision]):
            out = step.model(**data, mode='tensor')
        loss = out[-1] if isinstance(out, list | tuple) else out
    return {'loss': str(loss.dtype), 'without_gradient': missing}


def run_network(make: Callable[[], nn.Module], size: tuple[int, ...], precision: str) -> list[str]:
    """Forward and backward of a network of a test on one tensor.

    Returns:
        The dtypes of the output and of the gradients of the parameters.
    """
    with fake_gpu() as mode:
        network = put_on(make(), mode)
        with torch.autocast(DEVICE, PRECISIONS[precision], enabled=precision != 'fp32'):
            out = network(torch.zeros(size, device=DEVICE))
        out.float().sum().backward()
    return [str(out.dtype), *(str(p.grad.dtype) for p in network.parameters())]


def num_cast_weights() -> int:
    """Copies of weights that autocast keeps."""
    return len(fake_kernels._cast_weights)


def dtypes_of_autocast(device: str, dtype: torch.dtype) -> dict[str, str]:
    """What some operators give under autocast, by their name.

    Args:
        device: 'cuda' or that of the fake GPU.
        dtype: The low precision.
    """
    calls = {
        'linear': lambda h, s: nn.functional.linear(s, s[0, 0]),
        'matmul': lambda h, s: s @ s,
        'einsum': lambda h, s: torch.einsum('bchw,bcwx->bchx', s, h),
        'conv2d': lambda h, s: nn.functional.conv2d(s, s[:, :, :3, :3]),
        'attention': lambda h, s: nn.functional.scaled_dot_product_attention(s, s, s),
        'layer_norm': lambda h, s: nn.functional.layer_norm(h, (8,)),
        'softmax': lambda h, s: h.softmax(-1),
        'log_softmax': lambda h, s: h.log_softmax(-1),
        'softmax of a dtype': lambda h, s: h.softmax(-1, dtype=torch.float64),
        'sum': lambda h, s: h.sum(-1),
        'norm': lambda h, s: h.norm(2, -1),
        'pow': lambda h, s: h**2,
        'exp': lambda h, s: h.exp(),
        'cat': lambda h, s: torch.cat([h, s]),
        'add': lambda h, s: h + s,
        'gelu': lambda h, s: nn.functional.gelu(h),
        'mse_loss': lambda h, s: nn.functional.mse_loss(h, s),
        'scatter_add': lambda h, s: h.scatter_add(0, torch.zeros_like(h, dtype=torch.int64), s),
        'bilinear': lambda h, s: nn.functional.interpolate(h, scale_factor=2, mode='bilinear'),
        'float64': lambda h, s: s.double() @ s.double(),
    }
    with fake_gpu() if device == DEVICE else FakeTensorMode():
        half, single = (
            torch.zeros(2, 4, 8, 8, dtype=d, device=device) for d in (dtype, torch.float32)
        )
        was = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        torch.set_autocast_enabled(device, True)
        torch.set_autocast_dtype(device, dtype)
        try:
            return {name: str(call(half, single).dtype) for name, call in calls.items()}
        finally:
            torch.set_autocast_enabled(device, was[0])
            torch.set_autocast_dtype(device, was[1])
