"""Graph breaks are counted, and no network of ours has one."""

from functools import cache

import pytest
import torch
from torch import nn

from mim_bench.models.backbone_index import index_backbones
from mim_bench.profiling.graph_breaks import graph_breaks, graph_breaks_of_config
from mim_bench.registry import MODELS
from mim_bench.testing.config_names import PATHS, for_every, load

FAST = 'ummae_vit-toy'  # The blocks of pyramids are compiled in models/test_pyramid_contracts.py.
# A demo for each method and backbone; UM-MAE's SimMIM baselines have none.
PRETRAINING = ('conmim', 'localmim', 'simmim', 'symmim', 'ummae')
FULL = ('simmim_ummae-pvt-small', 'simmim_ummae-swin-tiny', 'simmim_vit-base')


@cache
def of_our_backbones():
    """The configs whose network is to be one graph."""
    demos = [p for p in PATHS if p.parent.name == 'demo']
    tried = [p for p in demos if p.stem.startswith((*PRETRAINING, 'finetune'))]
    ours = [p for p in tried if str(load(p).model.backbone.type).startswith('mim_bench.')]
    return [*ours, *(p for p in PATHS if p.stem.startswith(FULL))]


class Breaks(nn.Module):
    def forward(self, x):
        x = x + 1
        print('out of the graph')
        return x * x.sum().item()


def test_break_is_counted_and_its_line_named():
    line = Breaks.forward.__code__.co_firstlineno + 2
    first, *others = graph_breaks(Breaks(), torch.ones(2))
    assert f'test_graph_breaks.py:{line}: ' in first
    assert len(others) == 1
    assert graph_breaks(nn.Linear(2, 2), torch.ones(2)) == ()


def check(path):
    """No break with and without a mask."""
    found = graph_breaks_of_config(str(path))
    assert found.features == ()
    if not path.stem.startswith('finetune'):  # mmpretrain's loss reads the largest label
        assert found.training == ()


def test_network_is_one_graph_with_and_without_a_mask():
    check(next(path for path in of_our_backbones() if path.stem.startswith(FAST)))


@pytest.mark.slow
def test_every_network_is_one_graph_with_and_without_a_mask():
    for_every(of_our_backbones())(check)()


TINY = dict(embed_dims=64, num_layers=1, num_heads=2, feedforward_channels=64)
TINY_PYRAMID = dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])
OTHERS = (
    dict(type='mim_bench.TimmBackbone', name='test_vit'),
    dict(type='mim_bench.CapiViT', arch=TINY, patch_size=16),
    dict(type='mim_bench.MixMIMEncoder', arch=TINY_PYRAMID, img_size=64, window_size=2),
)


@pytest.mark.parametrize(
    'cfg',
    [OTHERS[0], *(pytest.param(cfg, marks=pytest.mark.slow) for cfg in OTHERS[1:])],
    ids=lambda cfg: cfg['type'],
)
def test_backbone_without_a_config_is_one_graph(cfg):
    backbone = MODELS.build(cfg)
    assert graph_breaks(backbone, torch.ones(1, 3, 64, 64)) == ()


def test_every_registered_backbone_is_among_them():
    tested = {load(path).model.backbone.type for path in of_our_backbones()}
    # VisibleViT is the base of LocalMIM's, SymMIM's and UM-MAE's.
    tested |= {'mim_bench.VisibleViT', *(cfg['type'] for cfg in OTHERS)}
    # ModuleBackbone's network is the user's own.
    assert {entry.name for entry in index_backbones()} - {'mim_bench.ModuleBackbone'} == tested
