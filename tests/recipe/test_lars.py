"""LARS by hand."""

import pytest
import torch

from mim_bench.recipe.lars import LARS


def stepped(parameter: torch.Tensor, gradients: list, rates: list, **settings) -> torch.Tensor:
    parameter = torch.nn.Parameter(parameter.clone())
    optimizer = LARS([parameter], lr=rates[0], **settings)
    for gradient, rate in zip(gradients, rates, strict=True):
        optimizer.param_groups[0]['lr'] = rate
        parameter.grad = gradient
        optimizer.step()
    return parameter.detach()


def test_lars_scales_the_step_of_a_matrix_by_its_norm():
    weight, gradient = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 10.0]])
    # 0.001 * 5 / 10 of the gradient.
    found = stepped(weight, [gradient], [2.0], momentum=0.9)
    torch.testing.assert_close(found, torch.tensor([[3.0, 4.0 - 2 * 0.005]]))


def test_lars_decays_a_matrix_inside_the_ratio():
    weight, gradient = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0]])
    # The update is the decayed weight, of norm 0.5: 0.001 * 5 / 0.5 of (0.3, 0.4).
    found = stepped(weight, [gradient], [1.0], weight_decay=0.1)
    torch.testing.assert_close(found, weight - 0.01 * torch.tensor([[0.3, 0.4]]))


def test_lars_gives_a_vector_the_plain_rate_without_decay():
    found = stepped(torch.ones(2), [torch.ones(2)], [0.5], weight_decay=0.1)
    torch.testing.assert_close(found, torch.full((2,), 0.5))


def test_lars_current_rate_scales_all_of_the_momentum():
    ones = torch.ones(1)
    found = stepped(torch.zeros(1), [ones, ones], [1.0, 0.1], momentum=0.5)
    assert found.item() == pytest.approx(-1.0 - 0.1 * 1.5)


def test_lars_zero_matrix_takes_the_plain_rate():
    found = stepped(torch.zeros(1, 2), [torch.ones(1, 2)], [0.5])
    torch.testing.assert_close(found, torch.full((1, 2), -0.5))
