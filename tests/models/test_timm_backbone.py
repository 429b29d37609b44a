import copy

import pytest
import timm
import torch
from mmengine.registry import MODELS, DefaultScope

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.timm_backbone import TimmBackbone

TINY_SWIN = dict(
    name='swin_tiny_patch4_window7_224',
    embed_dim=16,
    depths=(1, 1, 2, 1),
    num_heads=(1, 2, 2, 4),
    out_indices=(0, 1, 2, 3),
)
TINY_VIT = dict(name='test_vit', out_indices=(1, -1))
TINY_CONVNEXT = dict(name='test_convnext', out_indices=(0, 1, 2, 3))


@pytest.mark.parametrize(
    'settings',
    [
        TINY_SWIN,
        TINY_VIT,
        TINY_CONVNEXT,
        # Its class passes all arguments on.
        dict(name='deit_tiny_distilled_patch16_224', embed_dim=48, depth=2, num_heads=3),
        dict(name='selecsls42', out_indices=(0, 3)),  # its head is a stage
    ],
)
def test_timm_backbone_any_image_size_gives_maps_of_its_strides(settings):
    backbone = TimmBackbone(**settings)
    outs = backbone(torch.randn(1, 3, 96, 160))
    assert [out.shape[1] for out in outs] == list(backbone.out_channels)
    expected = [(96 // stride, 160 // stride) for stride in backbone.strides]
    assert [tuple(out.shape[2:]) for out in outs] == expected


@pytest.mark.parametrize('settings', [TINY_SWIN, TINY_VIT])
def test_timm_backbone_image_that_patches_do_not_divide_is_padded(settings):
    backbone = TimmBackbone(**settings).eval()
    images = torch.randn(1, 3, 60, 70)
    padded = torch.nn.functional.pad(images, (0, 10, 0, 4))
    with torch.no_grad():
        out, expected = backbone(images)[0], backbone(padded)[0]
    rows, cols = (-(-side // backbone.strides[0]) for side in images.shape[2:])
    assert out.shape[2:] == (rows, cols)
    if settings is TINY_VIT:
        assert torch.equal(out, expected)


@pytest.mark.parametrize('settings', [TINY_SWIN, TINY_VIT])
def test_timm_backbone_every_parameter_has_a_gradient(settings):
    backbone = TimmBackbone(**settings, img_size=64)
    sum(out.square().mean() for out in backbone(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []


def test_timm_backbone_keys_and_features_are_timms():
    net = timm.create_model('test_vit').eval()
    backbone = TimmBackbone(**TINY_VIT, final_norm=False).eval()
    keys = backbone.load_state_dict(net.state_dict(), strict=False)
    assert keys.missing_keys == []
    assert {key.split('.')[0] for key in keys.unexpected_keys} <= {'norm', 'fc_norm', 'head'}
    images = torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        expected = net.forward_intermediates(images, indices=[1, 5], intermediates_only=True)
        outs = backbone(images)
    torch.testing.assert_close(list(outs), expected, rtol=0, atol=1e-5)


def test_timm_backbone_layers_are_timms_and_the_head_is_the_last():
    backbone = TimmBackbone(**TINY_VIT)
    depth = len(backbone.net.blocks)
    assert backbone.get_layer_depth('backbone.pos_embed', 'backbone.') == (0, depth + 2)
    assert backbone.get_layer_depth('backbone.blocks.2.norm1.weight', 'backbone.') == (3, depth + 2)
    assert backbone.get_layer_depth('decode_head.weight', 'backbone.') == (depth + 1, depth + 2)


def test_timm_backbone_copy_moves_and_changes_mode_as_a_whole():
    backbone = TimmBackbone(**TINY_VIT).train()
    other = copy.deepcopy(backbone).double().eval()
    assert other.net.cls_token is other.cls_token
    assert other.net.cls_token.dtype == torch.float64
    assert not other.net.training
    assert backbone.net.training
    assert backbone.cls_token.dtype == torch.float32


@pytest.mark.parametrize(
    ('settings', 'frozen_stages', 'first_trained'),
    [
        (TINY_VIT, 0, 'blocks.0'),
        (TINY_VIT, 2, 'blocks.2'),
        (TINY_CONVNEXT, 1, 'stages.1'),
        (TINY_SWIN, 1, 'layers.1'),
    ],
)
def test_timm_backbone_frozen_stages_are_the_stem_and_the_first_ones(
    settings, frozen_stages, first_trained
):
    backbone = TimmBackbone(**settings, frozen_stages=frozen_stages).train()
    trained = [name for name, p in backbone.named_parameters() if p.requires_grad]
    every = [name for name, _ in backbone.named_parameters()]
    start = next(i for i, name in enumerate(every) if name.startswith(first_trained))
    assert trained == every[start:]
    sum(out.sum() for out in backbone(torch.randn(2, 3, 224, 224))).backward()


@pytest.mark.parametrize('settings', [TINY_VIT, TINY_CONVNEXT, dict(name='test_resnet')])
def test_timm_backbone_frozen_as_a_whole_neither_trains_nor_moves_its_statistics(settings):
    backbone = TimmBackbone(**settings)
    depth = backbone.num_outputs
    backbone = TimmBackbone(**settings, frozen_stages=depth).train()
    backbone(torch.randn(2, 3, 160, 160))
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not backbone.net.training
    assert not any(module.training for module in backbone.children())
    counts = [v for k, v in backbone.state_dict().items() if k.endswith('num_batches_tracked')]
    assert bool(counts) == (settings['name'] == 'test_resnet')
    assert all(count == 0 for count in counts)


def test_timm_backbone_unknown_name_lists_near_ones():
    with pytest.raises(ConfigError, match=r"no 'vit_bse_patch16_224'\. Did you mean 'vit_base_"):
        TimmBackbone('vit_bse_patch16_224.mae')


def test_timm_backbone_unknown_tag_raises():
    with pytest.raises(ConfigError, match="has no tag 'nonsense'"):
        TimmBackbone('test_vit.nonsense')


def test_timm_backbone_map_that_is_not_there_raises():
    with pytest.raises(ConfigError, match='must lie in -4 to 3'):
        TimmBackbone('test_convnext', out_indices=(4,))


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmseg', 'mmdet'])
def test_timm_backbone_builds_from_a_config_of_each_library(scope):
    pytest.importorskip(scope)
    with DefaultScope.overwrite_default_scope(scope):
        backbone = MODELS.build(dict(type='mim_bench.TimmBackbone', **TINY_VIT))
    assert isinstance(backbone, TimmBackbone)
