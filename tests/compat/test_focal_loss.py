import math

import pytest
import torch
from mmcv.ops import sigmoid_focal_loss

pytestmark = pytest.mark.stack


@pytest.fixture
def scores():
    return 3 * torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def target():
    return torch.tensor([0, 3, 4, 1, 4, 2])  # 4 is the background


def by_definition(scores, target, gamma, alpha):
    """-alpha_t (1 - p_t)^gamma log p_t, differentiable."""
    p = torch.sigmoid(scores)
    is_target = target[:, None] == torch.arange(scores.shape[1])
    p_t = torch.where(is_target, p, 1 - p)
    alpha_t = torch.where(is_target, alpha, 1 - alpha)
    return -alpha_t * (1 - p_t) ** gamma * torch.log(p_t)


@pytest.mark.parametrize('gamma', [0.0, 1.5, 2.0])
def test_sigmoid_focal_loss_equals_definition(scores, target, gamma):
    loss = sigmoid_focal_loss(scores, target, gamma, 0.25, None, 'none')
    torch.testing.assert_close(loss, by_definition(scores, target, gamma, 0.25))


@pytest.mark.parametrize('gamma', [0.0, 2.0])
@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_sigmoid_focal_loss_gradient_equals_autograd(scores, target, gamma, reduction):
    ours, wanted = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    sigmoid_focal_loss(ours, target, gamma, 0.25, None, reduction).backward()
    total = by_definition(wanted, target, gamma, 0.25).sum()
    (total / len(scores) if reduction == 'mean' else total).backward()
    torch.testing.assert_close(ours.grad, wanted.grad)


def test_sigmoid_focal_loss_pencil_example():
    # p = 1/2 everywhere: alpha / 4 log 2 for the class, (1 - alpha) / 4 log 2 for the other.
    loss = sigmoid_focal_loss(torch.zeros(1, 2), torch.tensor([1]), 2.0, 0.25, None, 'none')
    wanted = [0.75 / 4 * math.log(2), 0.25 / 4 * math.log(2)]
    assert loss[0].tolist() == pytest.approx(wanted)


def test_sigmoid_focal_loss_weight_is_that_of_the_target(scores, target):
    weight = torch.tensor([2.0, 3.0, 5.0, 7.0], dtype=torch.float64)
    plain = sigmoid_focal_loss(scores, target, 2.0, 0.25, None, 'none')
    weighted = sigmoid_focal_loss(scores, target, 2.0, 0.25, weight, 'none')
    assert (weighted / plain).mean(dim=1).tolist() == pytest.approx([2, 7, 1, 3, 1, 5])


def test_sigmoid_focal_loss_large_scores_stay_finite():
    scores = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(scores, torch.tensor([1]), 2.0, 0.25, None, 'none')
    loss.sum().backward()
    assert loss[0].tolist() == pytest.approx([150, 50])
    assert scores.grad[0].tolist() == pytest.approx([0.75, -0.25])


def test_sigmoid_focal_loss_half_precision_stays_half(scores, target):
    loss = sigmoid_focal_loss(scores.half(), target, 2.0, 0.25, None, 'none')
    assert loss.dtype == torch.float16
