"""Evaluates a model during its training without changing the training."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def preserved_rng(seed: int | None = None) -> Iterator[None]:
    """Put back the global random states of Python, numpy and torch afterwards.

    A data loader draws a seed from torch's global generator each time it is iterated,
    and a sampler one from numpy's when it is built, so even a loop that draws nothing
    itself would change the training that follows. A ``seed`` seeds them inside the block.
    """
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    torch_state = torch.get_rng_state()
    # Only the current device: reading the others would make a context on each of them.
    uses_cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    cuda_state = torch.cuda.get_rng_state() if uses_cuda else None
    try:
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if cuda_state is not None:
            torch.cuda.set_rng_state(cuda_state)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; each module's own mode comes back afterwards.

    ``model.train()`` would not do for the way back: frozen stages stay in evaluation
    mode while the rest trains.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
