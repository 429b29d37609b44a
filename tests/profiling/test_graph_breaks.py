"""Graph breaks are counted, and no network of ours has one."""

import pytest
import torch
from torch import nn

from mim_bench.models.backbone_index import index_backbones
from mim_bench.profiling.graph_breaks import graph_breaks, graph_breaks_of_config
from mim_bench.registry import MODELS
from mim_bench.testing.config_names import PATHS, load

# A demo for each method and backbone; UM-MAE's SimMIM baselines have none.
PRETRAINING = ('conmim', 'localmim', 'simmim', 'symmim', 'ummae')
DEMOS = [p for p in PATHS if p.parent.name == 'demo' and p.stem.startswith(PRETRAINING)]
DEMOS += [p for p in PATHS if p.parent.name == 'demo' and p.stem.startswith('finetune')]
OWN = [p for p in DEMOS if str(load(p).model.backbone.type).startswith('mim_bench.')]
FAST = ('localmim_swin-toy', 'finetune_ummae-pvt-toy')
FULL = ('simmim_ummae-pvt-small', 'simmim_ummae-swin-tiny', 'simmim_vit-base')
PARAMS = [
    pytest.param(path, id=path.stem, marks=[] if path.stem.startswith(FAST) else [pytest.mark.slow])
    for path in (*OWN, *(p for p in PATHS if p.stem.startswith(FULL)))
]


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


@pytest.mark.parametrize('path', PARAMS)
def test_network_is_one_graph_with_and_without_a_mask(path):
    found = graph_breaks_of_config(str(path))
    assert found.features == ()
    if not path.stem.startswith('finetune'):  # mmpretrain's loss reads the largest label
        assert found.training == ()


def test_timm_backbone_is_one_graph():
    backbone = MODELS.build(dict(type='mim_bench.TimmBackbone', name='vit_tiny_patch16_224'))
    assert graph_breaks(backbone, torch.ones(1, 3, 64, 64)) == ()


def test_every_registered_backbone_is_among_them():
    tested = {load(param.values[0]).model.backbone.type for param in PARAMS}
    # The first has a test above, the second is the base of LocalMIM's, SymMIM's and UM-MAE's.
    tested |= {'mim_bench.TimmBackbone', 'mim_bench.VisibleViT'}
    assert {entry.name for entry in index_backbones()} == tested
