"""BatchNorm of one process: torch's numbers, and no SyncBN whatever the config says."""

import pytest
import torch
from mmengine.model import convert_sync_batchnorm
from torch import nn

from mim_bench.models.methods.conmim import LocalBatchNorm
from mim_bench.registry import MODELS


@pytest.mark.parametrize('affine', [True, False])
def test_local_batch_norm_is_torchs(affine):
    torch.manual_seed(0)
    ours, theirs = LocalBatchNorm(4, affine=affine), nn.BatchNorm1d(4, affine=affine)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for _ in range(2):
        x = 2 * torch.randn(10, 4) + 1
        assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.eval()(x), theirs.eval()(x))
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


def test_conmim_projector_stays_unsynchronised():
    neck = MODELS.build(dict(type='mim_bench.ConMIMProjector', in_channels=4, hid_channels=8))
    neck = convert_sync_batchnorm(neck)
    assert [type(neck.get_submodule(f'bn{i}')) for i in range(3)] == [LocalBatchNorm] * 3
    assert not [m for m in neck.modules() if isinstance(m, nn.SyncBatchNorm)]


def test_conmim_projector_counts_the_class_token_and_returns_the_patches():
    neck = MODELS.build(
        dict(type='mim_bench.ConMIMProjector', in_channels=4, hid_channels=8, out_channels=3)
    )
    tokens = torch.randn(2, 6, 4)
    patches = neck(tokens)
    assert patches.shape == (2, 5, 3)
    changed = tokens.clone()
    changed[:, 0] += 5
    assert not torch.allclose(neck(changed), patches)
