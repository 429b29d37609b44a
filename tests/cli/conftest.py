"""A suite that has run, and official checkpoints."""

import argparse
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from mim_bench.testing.processes import run_forked
from mim_bench.testing.toy_suites import suite_command

DIMS, HEADS, POSMLP = (4, 8), (1, 2), 3


def official_state():
    """A pre-trained UM-MAE Swin of two stages with one block each, under the official names."""
    state = {
        'vis_mask_token': torch.zeros(1, 1, 4),
        'patch_embed.proj.weight': torch.randn(4, 3, 4, 4),
        'patch_embed.proj.bias': torch.zeros(4),
        'blocks.1.downsample.norm.weight': torch.ones(4),
        'blocks.1.downsample.proj.weight': torch.randn(8, 4, 2, 2),
        'norm.weight': torch.ones(8),
        'mask_token': torch.zeros(1, 1, 6),
        'decoder_pred.weight': torch.randn(12, 6),
    }
    for block, (dims, heads) in enumerate(zip(DIMS, HEADS, strict=True)):
        state |= {
            f'blocks.{block}.norm1.weight': torch.ones(dims),
            f'blocks.{block}.attn.qkv.weight': torch.randn(3 * dims, dims),
            f'blocks.{block}.attn.posmlp.0.weight': torch.randn(POSMLP, 2, 1, 1),
            f'blocks.{block}.attn.posmlp.2.weight': torch.randn(heads, POSMLP, 1, 1),
        }
    return state


@pytest.fixture
def official(tmp_path):
    """A toy checkpoint in the format of UM-MAE's repository, after 10 epochs."""
    content = {
        'model': official_state(),
        'epoch': 9,  # counted from zero
        'args': argparse.Namespace(model='mae_swin_tiny_256'),
        'scaler': {'scale': 65536.0},
    }
    path = tmp_path / 'official.pth'
    torch.save(content, path)
    return path


@dataclass(frozen=True)
class Suite:
    """A suite that was run to its end.

    Attributes:
        words: The command.
        out: Its folder.
        process: What it printed.
    """

    words: list[str]
    out: Path
    process: subprocess.CompletedProcess


@pytest.fixture(scope='session')
def suite(inputs, tmp_path_factory):
    """``mim-bench run`` of the probes of the checkpoint, in processes of their own."""
    out = tmp_path_factory.mktemp('suite') / 'out'
    words = suite_command(out, inputs, 'in1k-knn,in1k-linear')
    stated = f'tiny={inputs[1]},method=mae,data=in1k,labels=none'
    words[words.index(str(inputs[1]))] = stated
    return Suite(words, out, run_forked(words[words.index('run') :]))
