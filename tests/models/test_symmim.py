"""SymMIM as a model: sizes, who learns, what each loss reads, its options and pictures."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mim_bench.errors import ConfigError
from mim_bench.registry import MODELS, TRANSFORMS
from mim_bench.visualization.methods import panels_of

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
SWIN = dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])


def mlp(in_channels, out_channels=8, hid_channels=16, num_layers=2):
    return dict(
        type='NonLinearNeck',
        in_channels=in_channels,
        hid_channels=hid_channels,
        out_channels=out_channels,
        num_layers=num_layers,
        with_last_bn_affine=False,
        with_avg_pool=False,
    )


def config(**changes):
    return {
        'type': 'mim_bench.SymMIM',
        'backbone': dict(type='mim_bench.MaskTokenViT', arch=ARCH, img_size=64),
        'neck': mlp(16),
        'head': dict(type='mim_bench.HiddenPixelHead', in_dims=16),
        'contrast_head': dict(type='mim_bench.MomentumContrastHead', predictor=mlp(8)),
        **changes,
    }


def build(**changes):
    torch.manual_seed(0)
    model = MODELS.build(config(**changes))
    model.init_weights()
    return model


def swin(kind='mim_bench.MaskTokenSwin', **changes):
    stages = [dict(block_cfgs=dict(window_size=size)) for size in (8, 8, 8, 4)]
    backbone = dict(
        type=kind,
        arch=SWIN,
        img_size=128,
        drop_path_rate=0.0,
        stage_cfgs=stages,
    )
    head = dict(type='mim_bench.HiddenPixelHead', in_dims=64, patch_size=32)
    return build(
        **{'backbone': backbone, 'neck': mlp(64), 'head': head, 'pooling': 'gap', **changes}
    )


PATCH_LEVEL = dict(contrast_head=dict(type='mim_bench.PatchContrastHead'))
VARIANTS = {
    'image level': lambda: build(),
    'mean of patches': lambda: build(pooling='gap'),
    'patch level': lambda: build(**PATCH_LEVEL),
    'symmetrised': lambda: build(symmetrised=True),
    'shared relative positions': lambda: build(
        backbone=dict(type='mim_bench.ConMIMViT', arch=ARCH, img_size=64, patch_size=16)
    ),
    'pyramid': swin,
    'patches of a pyramid': lambda: swin(**PATCH_LEVEL),
}


def batch(model, **masks):
    torch.manual_seed(1)
    is_swin = hasattr(model.backbone, 'stages')
    size = 128 if is_swin else 64
    sizes = dict(patch_size=4, small_cell=32, large_cell=64) if is_swin else {}
    transform = TRANSFORMS.build(
        dict(type='mim_bench.CheckerboardMasks', input_size=size, **{**sizes, **masks})
    )
    samples = []
    for _ in range(4):
        sample = DataSample()
        for key, mask in transform({}).items():
            sample.set_field(mask, key)
        samples.append(sample)
    return torch.randn(4, 3, size, size), samples


def other_momentum_masks(samples):
    """The samples with the other parity for the momentum network."""
    for sample in samples:
        sample.set_field(~sample.momentum_mask, 'momentum_mask')
    return samples


@pytest.mark.parametrize(
    ('arch', 'width', 'backbone'), [('base', 768, 85_799_424), ('large', 1024, 303_302_656)]
)
def test_symmim_has_the_parameters_counted_by_hand(arch, width, backbone):
    with torch.device('meta'):
        model = MODELS.build(
            config(
                backbone=dict(type='mim_bench.MaskTokenViT', arch=arch),
                neck=mlp(width, 256, 4096, num_layers=3),
                head=dict(type='mim_bench.HiddenPixelHead', in_dims=width),
                contrast_head=dict(
                    type='mim_bench.MomentumContrastHead', predictor=mlp(256, 256, 4096)
                ),
            )
        )
    # Three linear layers without bias, two BatchNorms with weight and bias, the last without.
    projector = width * 4096 + 4096 * 4096 + 4096 * 256 + 2 * 2 * 4096
    predictor = 256 * 4096 + 4096 * 256 + 2 * 4096
    pixels = width * 768 + 768
    online = sum(p.numel() for p in model.parameters() if p.requires_grad)
    positions = 197 * width  # fixed
    assert online == backbone - positions + projector + predictor + pixels
    momentum = sum(p.numel() for p in model.momentum_network.parameters())
    assert momentum == backbone + projector


@pytest.mark.parametrize('variant', VARIANTS)
def test_symmim_online_parts_learn_and_the_momentum_network_does_not(variant):
    model = VARIANTS[variant]()
    losses = model.loss(*batch(model))
    assert losses.keys() == {'loss_mim', 'loss_contrast'}
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        is_online = parameter.requires_grad
        assert is_online == (not name.startswith('momentum_network') and 'pos_embed' not in name)
        assert (parameter.grad is not None) == is_online, name


def test_symmim_momentum_network_starts_as_a_copy_and_keeps_99_percent():
    model = build()
    momentum, online = model.momentum_network['backbone'], model.backbone
    assert torch.equal(momentum.cls_token, online.cls_token)
    old = momentum.cls_token.clone()
    with torch.no_grad():
        online.cls_token += 1
    model.momentum_network.update_parameters(model, progress=0.0)
    torch.testing.assert_close(momentum.cls_token, 0.99 * old + 0.01 * online.cls_token)


def test_symmim_momentum_mask_concerns_the_contrast_alone():
    model = build().eval()
    images, samples = batch(model)
    before = model.loss(images, samples)
    after = model.loss(images, other_momentum_masks(samples))
    assert before['loss_mim'] == after['loss_mim']
    assert before['loss_contrast'] != after['loss_contrast']


def test_symmim_contrast_weight_multiplies_the_contrast():
    losses = [build(contrast_weight=weight).loss(*batch(build())) for weight in (1.0, 0.5)]
    torch.testing.assert_close(losses[1]['loss_contrast'], 0.5 * losses[0]['loss_contrast'])
    assert losses[0]['loss_mim'] == losses[1]['loss_mim']


@pytest.mark.parametrize('build_model', [build, swin])
def test_symmim_hidden_pixels_are_the_target_and_no_input(build_model):
    model = build_model().eval()
    images, samples = batch(model)
    mask = torch.stack([sample.mask for sample in samples])
    side = images.shape[-1] // mask.shape[-1]
    pixels = mask.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, None]
    changed = torch.where(pixels, torch.randn_like(images), images)
    before, after = (model.encode(x, mask) for x in (images, changed))
    for found, expected in zip(after, before, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    losses = [model.loss(x, samples)['loss_mim'] for x in (images, changed)]
    assert losses[0] != losses[1]


def test_symmim_second_view_goes_to_the_momentum_network():
    model = build().eval()
    images, samples = batch(model)
    one, two = (model.loss([images, x], samples) for x in (images, torch.randn_like(images)))
    assert one['loss_mim'] == two['loss_mim']
    assert one['loss_contrast'] != two['loss_contrast']


def test_symmim_symmetrised_contrast_adds_the_exchanged_masks():
    model = build(symmetrised=True).eval()
    images, samples = batch(model)
    both = model.loss(images, samples)['loss_contrast']
    model.symmetrised = False
    first = model.loss(images, samples)['loss_contrast']
    exchanged = batch(model, swap=True)[1]
    second = model.loss(images, exchanged)['loss_contrast']
    torch.testing.assert_close(both, first + second)


def test_symmim_two_views_of_patches_raise():
    model = build(**PATCH_LEVEL)
    images, samples = batch(model)
    with pytest.raises(ConfigError, match='patches of two crops'):
        model.loss([images, images.clone()], samples)


def test_symmim_cells_that_cut_tokens_of_a_pyramid_raise():
    model = swin()
    images, samples = batch(model, small_cell=16)
    with pytest.raises(ConfigError, match='total stride'):
        model.loss(images, samples)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(pooling='mean'), "pooling 'mean' must be one of"),
        (
            dict(backbone=dict(type='mim_bench.VisibleViT', arch=ARCH, img_size=64)),
            'VisibleViT leaves the hidden patches out',
        ),
    ],
)
def test_symmim_parts_that_do_not_fit_raise(changes, message):
    with pytest.raises(ConfigError, match=message):
        build(**changes)


def test_symmim_pyramid_without_class_token_raises():
    model = swin(pooling='cls')
    images, samples = batch(model)
    with pytest.raises(ConfigError, match="Set pooling='gap'"):
        model.loss(images, samples)


@pytest.mark.parametrize('variant', VARIANTS)
def test_symmim_losses_under_autocast_are_near_those_in_float32(variant):
    model = VARIANTS[variant]().eval()
    inputs = batch(model)
    expected = model.loss(*inputs)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = model.loss(*inputs)
    for name, loss in found.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected[name], rtol=0.05, atol=0.02)


@pytest.mark.parametrize('build_model', [build, swin])
def test_symmim_panels_show_both_masks_and_fill_the_hidden_patches(build_model):
    model = build_model()
    images, samples = batch(model)
    images = (images * 20 + 128).clamp(0, 255)  # the preprocessor of the tests changes nothing
    panels = {
        panel.title: panel.images for panel in panels_of(model, images, samples, predict=True)
    }
    assert [*panels] == ['input', 'online network sees', 'momentum network sees', 'reconstruction']
    mask = torch.stack([sample.mask for sample in samples])
    side = images.shape[-1] // mask.shape[-1]
    pixels = mask.repeat_interleave(side, 1).repeat_interleave(side, 2)[:, None].expand_as(images)
    picture = panels['input']
    assert torch.equal(panels['online network sees'][~pixels], picture[~pixels])
    assert (panels['online network sees'][pixels] == 0.5).all()
    torch.testing.assert_close(panels['reconstruction'][~pixels], picture[~pixels])
    assert not torch.allclose(panels['reconstruction'][pixels], picture[pixels])
    assert len(panels_of(model, images, samples, predict=False)) == 3


def test_symmim_panels_of_two_views_hide_in_the_second():
    model = build()
    images, samples = batch(model)
    panels = panels_of(model, [images, images.flip(3)], samples, predict=False)
    by_title = {panel.title: panel.images for panel in panels}
    mask = torch.stack([sample.momentum_mask for sample in samples])
    pixels = mask.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, None].expand_as(images)
    seen = by_title['momentum network sees']
    assert torch.equal(seen[~pixels], by_title['input'].flip(3)[~pixels])
