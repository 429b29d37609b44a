"""What the standard Swin does with a checkpoint as it loads it."""

import torch
from mmpretrain.models import SwinTransformer

from mim_bench.conversion.resizing.relative_bias import resize_relative_bias
from mim_bench.models.backbones.swin import Swin

ARCH = dict(embed_dims=8, depths=[1, 2], num_heads=[1, 2])
TABLE = 'stages.{}.blocks.{}.attn.w_msa.relative_position_bias_table'
TABLES = [TABLE.format(0, 0), TABLE.format(1, 0), TABLE.format(1, 1)]


def test_swin_loads_mmpretrains_weights_and_ignores_its_index():
    theirs = SwinTransformer(ARCH, window_size=3, out_indices=(1,))
    ours = Swin(ARCH, window_size=3, out_norms=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert set(theirs.state_dict()) - set(ours.state_dict()) == {
        name.replace('bias_table', 'index') for name in TABLES
    }
    assert ours.resized_keys == []


def test_swin_table_of_another_window_is_resized_bicubically():
    source, target = Swin(ARCH, window_size=3), Swin(ARCH, window_size=(3, 5))
    source.init_weights()
    state = {f'backbone.{key}': value for key, value in source.state_dict().items()}
    torch.nn.ModuleDict({'backbone': target}).load_state_dict(state, strict=True)
    assert target.resized_keys == TABLES[1:]
    for name in TABLES[1:]:
        loaded = target.get_parameter(name).detach()
        wanted = resize_relative_bias(
            source.get_parameter(name).detach(), (5, 5), interpolation='bicubic'
        )
        assert loaded.shape == (81, 2)
        torch.testing.assert_close(loaded, wanted, rtol=0, atol=0)
    assert state[f'backbone.{TABLES[1]}'].shape == (25, 2)  # the caller's is untouched


def test_swin_that_loads_fitting_tables_forgets_those_resized_before():
    source, target = Swin(ARCH, window_size=3), Swin(ARCH, window_size=5)
    target.load_state_dict(source.state_dict())
    assert target.resized_keys == TABLES
    target.load_state_dict(target.state_dict())
    assert target.resized_keys == []
