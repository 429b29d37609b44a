"""Bytes by pencil, and torch's own tracker."""

import pytest
import torch
from torch import nn
from torch.distributed._tools.mem_tracker import MemTracker

from mim_bench.profiling.step_trace import BLOCK_BYTES, MemoryParts, StepTrace

WIDTH, ROWS = 64, 256
MATRIX = 4 * WIDTH * WIDTH  # bytes
BATCH = 4 * ROWS * WIDTH


def network():
    torch.manual_seed(0)
    layers = [nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3)]
    return nn.Sequential(*layers)


def followed(model, optimizer=None, step=None):
    with StepTrace('cpu', model) as memory:
        memory.note_state(optimizer)
        (step or (lambda: model(torch.ones(ROWS, WIDTH))))()
    return memory.peak


def test_forward_pass_keeps_every_input_of_a_layer():
    model = network()
    # The batch, two inputs of later layers and the output.
    assert followed(model) == MemoryParts(parameters=3 * MATRIX, activations=4 * BATCH)


def test_forward_pass_without_gradients_frees_them():
    model = network()

    def step():
        with torch.no_grad():
            model(torch.ones(ROWS, WIDTH))

    # The batch, which the caller holds, and a layer's input and output.
    assert followed(model, step=step).activations == 3 * BATCH


def test_update_counts_gradients_and_the_optimisers_state():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step():
        model(torch.ones(1, WIDTH)).sum().backward()
        optimizer.step()

    step()
    model.zero_grad()
    found = followed(model, optimizer, step)
    assert (found.parameters, found.optimizer) == (3 * MATRIX, 3 * MATRIX)
    # The last one is temporary until it has been added to its parameter.
    assert 3 * MATRIX <= found.gradients + found.temporary <= 3 * MATRIX + 2 * BLOCK_BYTES


def test_gradients_that_are_kept_count_from_the_start():
    model = network()
    model(torch.ones(1, WIDTH)).sum().backward()
    assert followed(model, step=lambda: None).gradients == 3 * MATRIX


def test_frozen_and_shared_parameters_count_once():
    model = network()
    model[2].weight = model[0].weight
    model[1].requires_grad_(False)
    model.register_buffer('table', torch.ones(1))
    assert followed(model, step=lambda: None).parameters == 2 * MATRIX + BLOCK_BYTES


@pytest.mark.parametrize('depth', [2, 5])
def test_peak_is_that_of_torchs_own_tracker(depth):
    model = nn.Sequential(*[nn.Sequential(nn.Linear(96, 96), nn.GELU()) for _ in range(depth)])
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    x = torch.ones(512, 96)

    def step():
        model(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    theirs = MemTracker()
    theirs.track_external(model, optimizer)
    with theirs:
        step()
    snapshot = theirs.get_tracker_snapshot('peak')[torch.device('cpu')]
    ours = followed(model, optimizer, step)
    # Ours counts the blocks of an allocator.
    assert snapshot['Total'] <= ours.total < 1.01 * snapshot['Total']
