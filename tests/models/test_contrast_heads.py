"""InfoNCE over images and over patches: losses by pencil, MoCo v3's head, two processes."""

import math

import pytest
import torch
from mmpretrain.models.heads import MoCoV3Head
from torch import distributed, multiprocessing, nn

from mim_bench.models.methods.conmim import PatchContrastHead
from mim_bench.models.methods.symmim import MomentumContrastHead

PREDICTOR = dict(
    type='NonLinearNeck',
    in_channels=8,
    hid_channels=16,
    out_channels=8,
    with_avg_pool=False,
    norm_cfg=dict(type='BN1d'),
)


def identity_head(**kwargs):
    head = MomentumContrastHead(PREDICTOR, **kwargs)
    head.predictor = nn.Identity()
    return head


def seeded_head():
    """A head whose predictor treats every sample by itself."""
    torch.manual_seed(0)
    return MomentumContrastHead(PREDICTOR).eval()


def test_momentum_contrast_orthogonal_pairs_give_the_value_by_pencil():
    vectors = torch.eye(8)
    # ln(1 + 7 exp(-5)) = 0.046087, times 2 * 0.2
    assert identity_head().loss(3 * vectors, 7 * vectors).item() == pytest.approx(
        0.018435, abs=1e-6
    )


def test_momentum_contrast_gives_the_loss_of_mmpretrains_head():
    head = seeded_head()
    loss = dict(type='CrossEntropyLoss', loss_weight=2 * 0.2)
    reference = MoCoV3Head(PREDICTOR, loss, temperature=0.2).eval()
    reference.load_state_dict(head.state_dict())
    query, key = torch.randn(2, 5, 8).unbind(0)
    torch.testing.assert_close(head.loss(query, key), reference.loss(query, key))


def test_momentum_contrast_keys_get_no_gradient():
    query, key = (torch.randn(4, 8, requires_grad=True) for _ in range(2))
    seeded_head().loss(query, key).backward()
    assert key.grad is None
    assert query.grad.abs().sum() > 0


def test_momentum_contrast_under_autocast_is_computed_in_float32():
    query, key = torch.randn(2, 64, 8).unbind(0)
    expected = identity_head().loss(query, key)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = identity_head().loss(query, key)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def share_of_rank(rank, store, results):
    torch.set_num_threads(1)  # a forked process may not use the pool of another
    distributed.init_process_group('gloo', init_method=f'file://{store}', rank=rank, world_size=2)
    query, key = torch.load(results / 'batch.pt')
    half = slice(3 * rank, 3 * rank + 3)
    query = query[half].requires_grad_()
    loss = seeded_head().loss(query, key[half])
    loss.backward()
    torch.save((loss.detach(), query.grad), results / f'rank-{rank}.pt')
    distributed.destroy_process_group()


def test_momentum_contrast_on_two_processes_is_that_of_one_with_all_images(tmp_path):
    query, key = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0)).unbind(0)
    torch.save((query, key), tmp_path / 'batch.pt')
    # Not of this process: autograd cannot go on in a fork of one that used its threads.
    arguments = (tmp_path / 'store', tmp_path)
    multiprocessing.start_processes(share_of_rank, arguments, nprocs=2, start_method='forkserver')
    losses, gradients = zip(*(torch.load(tmp_path / f'rank-{r}.pt') for r in (0, 1)), strict=True)
    query.requires_grad_()
    expected = seeded_head().loss(query, key)
    expected.backward()
    assert losses[0] != losses[1]
    torch.testing.assert_close(sum(losses) / 2, expected.detach(), rtol=1e-5, atol=1e-6)
    # Data parallelism averages the processes' gradients.
    torch.testing.assert_close(torch.cat(gradients) / 2, query.grad, rtol=1e-4, atol=1e-6)


def test_patch_contrast_orthogonal_patches_give_the_value_by_pencil():
    key = torch.eye(16).expand(2, 16, 16)
    index = torch.tensor([[1, 4, 9], [0, 2, 15]])
    query = 5 * torch.eye(16)[index]
    # ln(1 + 15 exp(-10))
    assert PatchContrastHead().loss(query, key, index).item() == pytest.approx(
        math.log1p(15 * math.exp(-10)), rel=1e-4
    )


def test_patch_contrast_does_not_compare_with_other_images():
    torch.manual_seed(0)
    query, index = torch.randn(2, 3, 8), torch.tensor([[0, 1, 2], [3, 4, 5]])
    key = torch.randn(2, 6, 8)
    query.requires_grad_()
    PatchContrastHead().loss(query[:1], key[:1], index[:1]).backward()
    alone = query.grad[0].clone()
    query.grad = None
    PatchContrastHead().loss(query, key, index).backward()
    torch.testing.assert_close(2 * query.grad[0], alone)
