"""What the fake GPU catches, and what it lets pass, on networks of a few layers."""

from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mim_bench.errors import TrainingError
from mim_bench.profiling.fake_gpu import (
    DEVICE,
    MixedDevicesError,
    ReadBackError,
    fake_gpu,
    put_on,
)
from mim_bench.testing.fake_networks import dtypes_of_autocast, num_cast_weights, run_network

SIZE = (2, 5, 16)


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def forward(self, x):
        return self.change(self.layer(x))

    def change(self, x):
        return x


class Reads(Toy):
    def change(self, x):
        return x * x.max().item()


class Branches(Toy):
    def change(self, x):
        return x if (x > 0).any() else -x


class ReadsIntegers(Toy):
    def change(self, x):
        return x[: int(torch.tensor(2, device=x.device))]


class CopiesToTheCpu(Toy):
    def change(self, x):
        return x * len(x.detach().cpu().numpy())


class PicksByMask(Toy):
    def change(self, x):
        return x[x.mean(-1) > 0]


class WritesByMask(Toy):
    def change(self, x):
        x = x.clone()
        x[x.detach().mean(-1) > 0] = x.new_zeros(1, 16)
        return x


class MixesDevices(Toy):
    def change(self, x):
        return x + torch.ones(16)


class IndexesFromTheCpu(Toy):
    def change(self, x):
        return x[:, torch.tensor([0, 1])]


class FineOnAGpu(Toy):
    """Masks that only fill, numbers of the CPU, CPU tensors that stay there, a copy to the GPU."""

    def change(self, x):
        table = torch.arange(16.0)
        count = int((table > 3).sum())
        x = x.masked_fill(x > 1, 0) + torch.tensor(2.0) + table.to(x.device)
        x = x * count
        x[x.detach() > 0] = 0
        return torch.where(x > 0, x, 0)


class Attends(Toy):
    def change(self, x):
        return F.scaled_dot_product_attention(x, x, x)


class Checkpoints(Toy):
    def forward(self, x):
        return checkpoint(self.layer, x, use_reentrant=False)


class ReadsInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * grad.sum().item()


class ReadsLate(Toy):
    def change(self, x):
        return ReadsInBackward.apply(x)


class FailsLate(Toy):
    def change(self, x):
        x.register_hook(lambda grad: grad @ grad)  # (2, 5, 16) by itself has no product
        return x


@pytest.mark.parametrize(
    ('network', 'operator'),
    [
        (Reads, '_local_scalar_dense'),
        (Branches, '_local_scalar_dense'),
        (ReadsIntegers, '_local_scalar_dense'),
        (CopiesToTheCpu, '_to_copy'),
        (PicksByMask, 'index'),
        (WritesByMask, 'index_put'),
        (ReadsLate, '_local_scalar_dense'),
    ],
)
def test_read_back_is_caught_and_its_line_named(process, network, operator):
    with pytest.raises(ReadBackError, match=rf'test_fake_gpu\.py:\d+ \(.*{operator}'):
        process.call(run_network, network, SIZE, 'fp32')


@pytest.mark.parametrize('network', [MixesDevices, IndexesFromTheCpu])
def test_tensor_of_the_cpu_is_caught(process, network):
    with pytest.raises(MixedDevicesError, match=r'test_fake_gpu\.py:\d+ \(change\).* cpu .*16|2'):
        process.call(run_network, network, SIZE, 'fp32')


@pytest.mark.parametrize('network', [Toy, FineOnAGpu, Attends])
def test_network_that_waits_for_nothing_passes(process, network):
    found = process.call(run_network, network, SIZE, 'fp32')
    assert found == ['torch.float32'] * 3


@pytest.mark.parametrize(
    ('precision', 'dtype'), [('bf16', 'torch.bfloat16'), ('fp16', 'torch.float16')]
)
def test_autocast_computes_low_and_keeps_gradients_of_weights_single(process, precision, dtype):
    assert process.call(run_network, Attends, SIZE, precision) == [dtype, *['torch.float32'] * 2]


def test_weights_that_are_cast_again_in_the_backward_pass_serve_no_later_step(process):
    # Computed again outside of autocast's context, fp16 copies would reach the second network.
    for precision, dtype in (('fp16', 'torch.float16'), ('bf16', 'torch.bfloat16')):
        found = process.call(run_network, Checkpoints, SIZE, precision)
        assert found == [dtype, *['torch.float32'] * 2]
    assert process.call(num_cast_weights) == 0


def test_error_that_torch_cannot_carry_out_of_the_backward_pass_is_one_of_ours(process):
    # torch may lose the error on its way out, and say so.
    with pytest.raises((TrainingError, RuntimeError, SystemError)):
        process.call(run_network, FailsLate, SIZE, 'fp32')
    assert process.call(run_network, Toy, SIZE, 'fp32')  # in a new process if need be


@pytest.mark.skipif(not torch.backends.cuda.is_built(), reason='this torch knows no CUDA')
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_casts_as_cudas(process, dtype):
    fake, cuda = (process.call(dtypes_of_autocast, d, dtype) for d in (DEVICE, 'cuda'))
    assert fake == cuda
    assert fake['linear'] == str(dtype)
    assert fake['layer_norm'] == 'torch.float32'


def one_by_one(*args, **kwargs):
    raise AssertionError('the optimiser took its parameters one by one')


def step_of_adamw():
    with fake_gpu() as mode, mock.patch('torch.optim.adam._single_tensor_adam', one_by_one):
        network = put_on(Toy(), mode)
        network(torch.zeros(SIZE, device=DEVICE)).sum().backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
        torch.optim.AdamW(network.parameters()).step()
    return str(norm.device)


def test_optimizer_computes_on_lists_as_on_cuda(process):
    assert process.call(step_of_adamw) == f'{DEVICE}:0'
