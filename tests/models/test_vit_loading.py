import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from torch import nn
from torch.nn import functional as F

from mim_bench.conversion.resizing.position_embedding import resize_position_embedding
from mim_bench.conversion.resizing.relative_bias import resize_relative_bias
from mim_bench.errors import CheckpointError, ConversionError
from mim_bench.models.backbones.vit import ViT

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
RELATIVE = dict(abs_pos='none', rel_pos_bias='per_block', qkv_bias='qv', layer_scale=0.1)
SHARED = RELATIVE | dict(rel_pos_bias='shared')
TABLES = [f'layers.{i}.attn.relative_position_bias_table' for i in range(2)]
SHARED_TABLE = 'rel_pos_bias.relative_position_bias_table'


def make_vit(img_size=64, **settings):
    vit = ViT(ARCH, img_size=img_size, **settings)
    for parameter in vit.parameters():
        parameter.data.normal_()
    return vit


def test_vit_loading_another_size_resizes_positions():
    source, target = make_vit(64), make_vit((96, 48))
    target.load_state_dict(source.state_dict())
    assert target.resized_keys == ['pos_embed']
    expected = resize_position_embedding(source.pos_embed.data, (6, 3), num_prefix=1)
    assert torch.equal(target.pos_embed, expected)
    assert target(torch.randn(1, 3, 96, 48))[0].shape == (1, 16, 6, 3)


def test_vit_loading_another_size_resizes_tables_geometrically():
    source, target = make_vit(64, **RELATIVE), make_vit(96, **RELATIVE)
    target.load_state_dict(source.state_dict())
    assert target.resized_keys == TABLES
    table = source.layers[1].attn.relative_position_bias_table.data
    expected = resize_relative_bias(table, (6, 6))
    assert torch.equal(target.layers[1].attn.relative_position_bias_table, expected)


def test_vit_loading_shared_table_fills_every_block():
    source, target = make_vit(**SHARED), make_vit(**RELATIVE)
    target.load_state_dict(source.state_dict())
    for layer in target.layers:
        table = layer.attn.relative_position_bias_table
        assert torch.equal(table, source.rel_pos_bias.relative_position_bias_table)


def test_vit_loading_shared_table_into_windows_and_grid_is_bicubic():
    source = make_vit(64, **SHARED)
    target = make_vit(96, **SHARED, window_size=3, global_blocks=(1,))
    target.load_state_dict(source.state_dict())
    table = source.rel_pos_bias.relative_position_bias_table.data
    for module, grid in ((target.window_rel_pos_bias, (3, 3)), (target.rel_pos_bias, (6, 6))):
        expected = resize_relative_bias(table, grid, interpolation='bicubic', class_rows=False)
        assert torch.equal(module.relative_position_bias_table, expected)
    assert set(target.resized_keys) == {SHARED_TABLE, f'window_{SHARED_TABLE}'}


def test_vit_loading_zero_positions_stay_where_the_file_has_none():
    target = make_vit(**RELATIVE | dict(abs_pos='zeros'))
    target.pos_embed.data.fill_(1.0)
    missing, _ = target.load_state_dict(make_vit(**RELATIVE).state_dict(), strict=False)
    assert not missing
    assert 'pos_embed' in target.resized_keys
    assert target.pos_embed.requires_grad
    assert not target.pos_embed.any()


def test_vit_loading_zero_positions_give_way_to_those_of_the_file():
    source = make_vit(**RELATIVE | dict(abs_pos='learned'))
    target = make_vit(**RELATIVE | dict(abs_pos='zeros'))
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.pos_embed, source.pos_embed)
    assert not target.resized_keys


def test_vit_loading_without_class_token_leaves_it_and_its_rows_out():
    settings = dict(abs_pos='learned', rel_pos_bias='per_block')
    source, target = make_vit(**settings), make_vit(**settings, window_size=2, global_blocks=(1,))
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.pos_embed, source.pos_embed[:, 1:])
    own = target.layers[1].attn.relative_position_bias_table
    table = source.layers[1].attn.relative_position_bias_table
    torch.testing.assert_close(own, table[:-3], rtol=0, atol=1e-5)
    assert target.layers[0].attn.relative_position_bias_table.shape == (9, 2)


def test_vit_loading_positions_without_class_row_gets_a_row_of_zeros():
    source = make_vit(with_cls_token=False)
    target = make_vit()
    missing = target.load_state_dict(source.state_dict(), strict=False).missing_keys
    assert missing == ['cls_token']
    assert not target.pos_embed[:, 0].any()
    assert torch.equal(target.pos_embed[:, 1:], source.pos_embed)


def as_file(vit):
    """Weights without what torch keeps beside them, as a converted file has them."""
    return dict(vit.state_dict())


def bicubic(table, source_grid, grid):
    maps = table[:, 1:].transpose(1, 2).unflatten(2, source_grid)
    maps = F.interpolate(maps, size=grid, mode='bicubic', align_corners=False)
    return torch.cat((table[:, :1], maps.flatten(2).transpose(1, 2)), dim=1)


@pytest.mark.parametrize('pixels', [512, 1024, (512, 1024)])
def test_vit_positions_of_mae_at_another_size_are_bicubic(pixels):
    source = ViT(ARCH, abs_pos='fixed')
    table = source.pos_embed.data
    grid = (pixels // 16, pixels // 16) if isinstance(pixels, int) else (32, 64)
    expected = bicubic(table, (14, 14), grid)
    target = ViT(ARCH, img_size=pixels, abs_pos='fixed')
    target.load_state_dict(as_file(source))
    torch.testing.assert_close(target.pos_embed.data, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(source.positions(grid), expected, rtol=0, atol=1e-6)
    computed = ViT(ARCH, img_size=pixels, abs_pos='fixed', recompute_positions=True)
    fresh = computed.pos_embed.data.clone()
    computed.load_state_dict(as_file(source))
    assert torch.equal(computed.pos_embed, fresh)


@pytest.mark.parametrize('settings', [{}, RELATIVE])
def test_vit_loading_grid_that_is_not_square_needs_its_name(settings):
    source = make_vit((64, 176), **settings)
    with pytest.raises(ConversionError, match='not one of a square grid'):
        make_vit(64, **settings).load_state_dict(as_file(source))
    for named, state in (({'checkpoint_grid': (4, 11)}, as_file(source)), ({}, None)):
        target = make_vit(64, **settings, **named)
        # A state dict of torch says of itself which grid it is for.
        target.load_state_dict(state or source.state_dict())
        assert target.resized_keys == (TABLES if settings else ['pos_embed'])


def test_vit_loading_14_by_16_table_is_not_taken_for_15_by_15():
    source = make_vit((224, 256))
    assert source.pos_embed.shape[1] == 15 * 15
    with pytest.raises(ConversionError, match=r'224 patches .*checkpoint_grid=\(rows, cols\)'):
        make_vit(224).load_state_dict(as_file(source))
    target = make_vit(224, checkpoint_grid=(14, 16))
    target.load_state_dict(as_file(source))
    expected = bicubic(source.pos_embed.data, (14, 16), (14, 14))
    torch.testing.assert_close(target.pos_embed.data, expected, rtol=0, atol=1e-6)
    same = make_vit((224, 256))
    same.load_state_dict(as_file(source))
    assert torch.equal(same.pos_embed, source.pos_embed)


@pytest.mark.parametrize(
    ('settings', 'size', 'square'),
    [({}, (32, 128), 64), (RELATIVE, (32, 224), 80)],  # 2 x 8 = 4 x 4; 3 x 27 = 9 x 9
)
def test_vit_loading_square_grid_with_the_length_of_the_own_raises(settings, size, square):
    source = make_vit(square, **settings)
    with pytest.raises(CheckpointError, match=r"fits a square grid and the network's, \(2, "):
        make_vit(size, **settings).load_state_dict(as_file(source))
    named = make_vit(size, **settings, checkpoint_grid=(square // 16, square // 16))
    named.load_state_dict(as_file(source))
    assert len(named.resized_keys) > 0
    own = make_vit(size, **settings, checkpoint_grid=(square // 16, square // 16))
    own.load_state_dict(named.state_dict())  # resuming: what was resized is not resized again
    assert own.resized_keys == []


def test_vit_loading_named_grid_that_does_not_fit_raises():
    with pytest.raises(CheckpointError, match=r'17 rows, .*checkpoint_grid=\(3, 3\)'):
        make_vit(checkpoint_grid=(3, 3)).load_state_dict(as_file(make_vit()))


def test_vit_loading_same_grid_that_is_not_square_without_class_token():
    source = make_vit((64, 176), rel_pos_bias='per_block')
    target = make_vit((64, 176), rel_pos_bias='per_block', with_cls_token=False)
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.pos_embed, source.pos_embed[:, 1:])


@pytest.mark.parametrize('load', [nn.Module.load_state_dict, load_state_dict])
def test_vit_loading_as_part_of_a_model_resizes_and_leaves_the_state_alone(load):
    source, target = nn.Module(), nn.Module()
    source.backbone, target.backbone = make_vit(64), make_vit(32)
    state = source.state_dict()
    before = state['backbone.pos_embed']
    load(target, state, strict=True)
    assert target.backbone.resized_keys == ['pos_embed']
    assert target.backbone.pos_embed.shape == (1, 5, 16)
    assert state['backbone.pos_embed'] is before


def test_vit_loading_half_precision_file_resizes_too():
    state = {name: value.half() for name, value in make_vit(64, **RELATIVE).state_dict().items()}
    target = make_vit(96, **RELATIVE)
    target.load_state_dict(state)
    assert target.layers[0].attn.relative_position_bias_table.dtype == torch.float32


@pytest.mark.parametrize(
    ('source', 'target', 'message'),
    [
        (dict(), dict(qkv_bias='qv'), "qkv_bias='full'"),
        (dict(qkv_bias='qv'), dict(), "qkv_bias='qv'"),
        (dict(rel_pos_bias='per_block'), dict(), "rel_pos_bias='per_block'"),
        (dict(rel_pos_bias='shared'), dict(), "rel_pos_bias='shared'"),
        (dict(rel_pos_bias='per_block'), dict(rel_pos_bias='shared'), "rel_pos_bias='per_block'"),
        (dict(), dict(abs_pos='none'), "abs_pos='learned'"),
        (dict(layer_scale=1), dict(), 'layer_scale'),
    ],
)
def test_vit_loading_what_the_network_lacks_raises(source, target, message):
    state = make_vit(**source).state_dict()
    with pytest.raises(CheckpointError, match=message):
        make_vit(**target).load_state_dict(state, strict=False)


def test_vit_loading_tables_that_the_file_lacks_are_missing():
    target = make_vit(rel_pos_bias='per_block', layer_scale=1.0)
    keys = target.load_state_dict(make_vit().state_dict(), strict=False)
    gammas = {f'layers.{i}.gamma_{n}' for i in range(2) for n in (1, 2)}
    assert set(keys.missing_keys) == {*TABLES, *gammas}


@pytest.mark.parametrize('windows', [{}, {'window_size': 2, 'with_cls_token': True}])
def test_vit_loading_tables_and_scales_that_a_recipe_adds_start_neutral(windows):
    added = dict(rel_pos_bias='per_block', layer_scale=1.0, **windows)
    source, target = make_vit(), ViT(ARCH, img_size=64, **added)
    missing, _ = target.load_state_dict(source.state_dict(), strict=False)
    assert missing == []
    scales = {f'layers.{i}.gamma_{j}' for i in range(2) for j in (1, 2)}
    assert set(target.resized_keys) == {*TABLES, *scales}
    if not windows:
        image = torch.randn(1, 3, 64, 64)
        torch.testing.assert_close(target.eval()(image), source.eval()(image))


def test_vit_loading_scale_that_does_not_start_from_one_stays_missing():
    target = ViT(ARCH, img_size=64, layer_scale=0.1)
    missing, _ = target.load_state_dict(make_vit().state_dict(), strict=False)
    assert set(missing) == {f'layers.{i}.gamma_{j}' for i in range(2) for j in (1, 2)}
