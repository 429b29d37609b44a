"""Swin, UM-MAE's Swin and PVT at quarters of the sides of segmentation and detection."""

import pytest
import torch

from mim_bench.registry import MODELS

ALL = (0, 1, 2, 3)
SWIN = dict(embed_dims=8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2))
PVT = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
BACKBONES = {
    'swin': dict(type='mim_bench.Swin', arch=SWIN, pad_small_map=True, out_norms=True),
    'ummae-swin': dict(type='mim_bench.UMMAESwin', arch=dict(SWIN, posmlp_dims=4), window_size=8),
    'ummae-pvt': dict(type='mim_bench.UMMAEPvt', arch=dict(PVT, mlp_ratios=(2, 2, 2, 2))),
}


def build(name: str, **kwargs) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS.build({**BACKBONES[name], 'out_indices': ALL, **kwargs})


@pytest.mark.parametrize('size', [(128, 128), (200, 333)])
@pytest.mark.parametrize('name', BACKBONES)
def test_dense_backbone_gives_four_maps_and_gradients_at_any_size(name, size):
    backbone = build(name)
    maps = backbone(torch.randn(1, 3, *size))
    for stage, out in enumerate(maps):
        # A library pads its images to 32 px; a rest of a patch counts as one, or is left out.
        wanted = [side / 4 / 2**stage for side in size]
        assert all(abs(s - w) < 1.01 for s, w in zip(out.shape[-2:], wanted, strict=True))
    sum(out.mean() for out in maps).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())
    assert all(parameter.grad.isfinite().all() for parameter in backbone.parameters())


@pytest.mark.parametrize('name', BACKBONES)
def test_dense_backbone_drop_path_drops_each_branch_once(name):
    backbone = build(name, drop_path_rate=0.5)
    block = backbone.stages[3].blocks[-1].train()
    x = torch.zeros(64, 4, 4, 16 if name == 'ummae-pvt' else 64)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        attn = block.attn if name == 'ummae-pvt' else block.attn.w_msa
        attn.proj.bias.fill_(1)  # the first branch adds 1, the second 10
        block.ffn.layers[1].bias.fill_(10)
        if name == 'swin':
            context = backbone.layouts(3, (4, 4), x.device)
        else:
            context = backbone.stage_context(3, (4, 4), None, x.device)
        found = set(block(x, context).unique().tolist())
    # Kept branches are scaled by 1 / (1 - 0.5); dropped twice, they would be by 4.
    assert found == {0, 2, 20, 22}


@pytest.mark.parametrize('name', BACKBONES)
def test_dense_backbone_frozen_stages_are_not_trained(name):
    backbone = build(name, frozen_stages=2).train()
    trained = [name for name, p in backbone.named_parameters() if p.requires_grad]
    frozen = ('pos_embed', 'patch_embed', 'stages.0.', 'stages.1.', 'norm0', 'norm1')
    assert not any(name.startswith(frozen) for name in trained)
    assert any(name.startswith('stages.2.') for name in trained)
    assert [stage.training for stage in backbone.stages] == [False, False, True, True]


def test_ummae_pvt_names_the_table_that_it_resizes_as_it_loads():
    small, large = build('ummae-pvt', img_size=64), build('ummae-pvt', img_size=128)
    large.load_state_dict(small.state_dict())
    assert large.resized_keys == ['pos_embed']
    torch.testing.assert_close(large.pos_embed[0], small.positions((32, 32))[0])
    large.load_state_dict(large.state_dict())
    assert large.resized_keys == []
