"""The MLP keeps its hidden map once, in every precision, and its gradients are the plain ones."""

import pytest
import torch

from mim_bench.models.layers.transformer import FeedForward
from mim_bench.profiling.step_trace import StepTrace

DIMS, HIDDEN, TOKENS = 8, 32, 64


@pytest.mark.parametrize('precision', [torch.float32, torch.bfloat16])
def test_gelu_is_not_kept(precision):
    kept, outputs, gradients = [], [], []
    # With with_cp the block around it recomputes, so the layer itself is torch's plain one.
    for is_plain in (False, True):
        torch.manual_seed(0)
        layer = FeedForward(DIMS, HIDDEN, with_cp=is_plain).to(precision)
        x = torch.randn(2, TOKENS // 2, DIMS, dtype=precision, requires_grad=True)
        with StepTrace('cpu', layer) as memory:
            output = layer(x)
            kept.append(memory.now.activations)
        output.square().sum().backward()
        outputs.append(output.detach())
        gradients.append([x.grad, *(p.grad for p in layer.parameters())])

    assert kept[1] - kept[0] == TOKENS * HIDDEN * precision.itemsize
    torch.testing.assert_close(*outputs, rtol=0, atol=0)
    torch.testing.assert_close(*gradients, rtol=0, atol=0)
