import pytest
import torch
from mmpretrain.models.backbones import BEiTViT, VisionTransformer

from mim_bench.conversion.resizing.sincos import sincos_position_embedding
from mim_bench.errors import ConfigError
from mim_bench.models.backbones.vit import ViT

ARCH = dict(embed_dims=32, num_layers=3, num_heads=4, feedforward_channels=64)
BEIT = dict(abs_pos='none', rel_pos_bias='per_block', qkv_bias='qv', layer_scale=0.1)
OUT_TYPES = ['raw', 'featmap', 'cls_token', 'avg_featmap']


def redrawn(module):
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data.normal_(std=0.1, generator=generator)
    module.eval()
    return module


def make_vit(**settings):
    return redrawn(ViT(ARCH, **{'img_size': 64, 'out_indices': (0, 1, 2), **settings}))


def assert_same_outputs(one, other, images):
    with torch.no_grad():
        for a, b in zip(one(images), other(images), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('out_type', OUT_TYPES)
def test_vit_of_mae_equals_mmpretrains_at_any_size(out_type):
    settings = dict(img_size=64, out_type=out_type)
    theirs = redrawn(VisionTransformer(ARCH, out_indices=[0, 1, 2], **settings))
    ours = make_vit(out_type=out_type)
    ours.load_state_dict(theirs.state_dict())
    assert set(ours.state_dict()) == set(theirs.state_dict())
    assert ours.resized_keys == []
    for size in ((64, 64), (96, 48), (50, 70)):
        assert_same_outputs(ours, theirs, torch.randn(2, 3, *size))


@pytest.mark.parametrize('out_type', OUT_TYPES)
@pytest.mark.parametrize('rel_pos_bias', ['per_block', 'shared'])
def test_vit_of_beit_equals_mmpretrains(out_type, rel_pos_bias):
    theirs = BEiTViT(
        ARCH,
        img_size=(64, 48),
        out_type=out_type,
        out_indices=[0, 1, 2],
        final_norm=True,
        use_rel_pos_bias=rel_pos_bias == 'per_block',
        use_shared_rel_pos_bias=rel_pos_bias == 'shared',
    )
    redrawn(theirs)
    ours = make_vit(**BEIT | dict(rel_pos_bias=rel_pos_bias), out_type=out_type, img_size=(64, 48))
    ours.load_state_dict(theirs.state_dict())
    names = {name for name, _ in theirs.named_parameters()}
    assert set(ours.state_dict()) == names
    assert_same_outputs(ours, theirs, torch.randn(2, 3, 64, 48))


def test_vit_featmap_of_earlier_blocks_is_not_normalised():
    with_norm, without = make_vit(), make_vit(final_norm=False)
    without.load_state_dict(with_norm.state_dict(), strict=False)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        normed, plain = with_norm(images), without(images)
    assert torch.equal(normed[1], plain[1])
    assert not torch.allclose(normed[2], plain[2])


def test_vit_norm_taps_norms_each_map_and_not_what_the_next_block_gets():
    vit = make_vit(norm_taps=True, out_indices=(0, 2))
    images = torch.randn(2, 3, 64, 48)
    # iBOT's loop, written out: blocks run on raw tokens, each map is normed patches.
    tokens, grid = vit.embed_patches(images)
    tokens, wanted = vit.with_positions(tokens, grid), []
    for block in vit.layers:
        tokens = block(tokens, grid)
        patches = torch.nn.functional.layer_norm(
            tokens[:, 1:], (32,), vit.ln1.weight, vit.ln1.bias, 1e-6
        )
        wanted.append(patches.transpose(1, 2).reshape(2, 32, *grid))
    torch.testing.assert_close(vit(images), (wanted[0], wanted[2]))


def test_vit_norm_taps_trains_the_norm_without_the_last_block_and_needs_one():
    vit = make_vit(norm_taps=True, out_indices=(1,))
    vit(torch.randn(1, 3, 64, 64))[0].sum().backward()
    assert vit.ln1.weight.grad is not None
    with pytest.raises(ConfigError, match='norm_taps=True'):
        make_vit(norm_taps=True, final_norm=False)


def test_vit_fixed_positions_are_not_trained():
    vit = ViT(ARCH, img_size=64, abs_pos='fixed')
    assert not vit.pos_embed.requires_grad
    assert torch.equal(vit.positions((4, 4))[0, 1:], sincos_position_embedding((4, 4), 32))


def test_vit_bias_of_evaluation_follows_changes_of_the_table():
    vit, images = make_vit(**BEIT), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = vit(images)[-1]
        again = vit(images)[-1]
        vit.layers[0].attn.relative_position_bias_table[:10] += 1
        after = vit(images)[-1]
    assert torch.equal(before, again)
    assert not torch.allclose(before, after)


def test_vit_drop_path_acts_once_on_each_branch():
    vit = ViT(ARCH, img_size=32, drop_path_rate=0.5).train()
    assert [getattr(layer.drop_path, 'drop_prob', 0) for layer in vit.layers] == [0, 0.25, 0.5]


def test_vit_layers_of_decay_are_those_of_beit():
    vit = ViT(ARCH, **BEIT | dict(rel_pos_bias='shared', abs_pos='learned'), img_size=32)
    depths = {
        name: vit.get_layer_depth(f'backbone.{name}', 'backbone.') for name in vit.state_dict()
    }
    assert {depth[1] for depth in depths.values()} == {5}
    first = {
        'cls_token',
        'pos_embed',
        'patch_embed.projection.weight',
        'patch_embed.projection.bias',
    }
    assert {name for name, depth in depths.items() if depth[0] == 0} == first
    assert depths['layers.1.gamma_1'][0] == 2
    assert depths['rel_pos_bias.relative_position_bias_table'][0] == 4
    assert depths['ln1.weight'][0] == 4
    assert vit.get_layer_depth('head.fc.weight', 'backbone.') == (4, 5)


def test_vit_init_of_mae_and_of_beit():
    mae, beit = ViT('tiny', img_size=32), ViT('tiny', img_size=32, **BEIT)
    for vit in (mae, beit):
        vit.init_weights()
    bound = (6 / (192 + 576)) ** 0.5
    assert mae.layers[0].attn.qkv.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert not mae.layers[0].ffn.layers[1].bias.any()
    deviations = [layer.attn.proj.weight.std().item() for layer in beit.layers]
    assert deviations[0] == pytest.approx(0.02 / 2**0.5, rel=0.05)
    assert deviations[7] == pytest.approx(0.02 / 4, rel=0.05)
    assert not beit.layers[3].attn.relative_position_bias_table.any()


@pytest.mark.parametrize(('frozen_stages', 'trained'), [(0, 3), (2, 1), (3, 0)])
def test_vit_frozen_stages_stay_as_they_are(frozen_stages, trained):
    vit = ViT(ARCH, img_size=32, frozen_stages=frozen_stages).train()
    assert sum(p.requires_grad for p in vit.patch_embed.parameters()) == 0
    assert sum(layer.ln1.weight.requires_grad for layer in vit.layers) == trained
    assert vit.ln1.weight.requires_grad == bool(trained)
    assert [layer.training for layer in vit.layers].count(True) == trained


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(arch='giant'), "unknown arch 'giant'"),
        (dict(abs_pos='yes'), "unknown abs_pos 'yes'"),
        (dict(out_indices=(3,)), r'out_indices \[3\]'),
        (dict(out_type='cls_token', window_size=2), 'there is no class token'),
        (dict(bias_interpolation='linear'), 'Unknown interpolation'),
    ],
)
def test_vit_wrong_argument_raises(settings, message):
    with pytest.raises(ConfigError, match=message):
        ViT(**{'arch': ARCH, 'img_size': 32, **settings})
