"""LocalMIM's decoders for Swin, and the whole model: sizes, orders, gradients."""

import pytest
import torch

from mim_bench.data.masked_samples import MaskedSamples
from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.masking.units import mask_of_tokens
from mim_bench.masking.window_plans import plan_windows
from mim_bench.registry import MODELS

MASK = Mask.of(torch.tensor([[[1, 0, 1], [1, 1, 0]]]))


def build_neck(**kwargs) -> torch.nn.Module:
    settings = dict(in_dims=(8, 8), out_dims=(5, 6), tokens_per_unit=(2, 1), embed_dims=(4, 8))
    settings |= dict(num_heads=2, grid=MASK.grid) | kwargs
    neck = MODELS.build(dict(type='mim_bench.LocalMIMSwinDecoder', **settings))
    neck.init_weights()
    return neck


def make_features() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, n, 8, generator=generator) for n in (8, 2)]


def build_model(target: str = 'hog', **backbone) -> torch.nn.Module:
    head = dict(type='mim_bench.LocalMIMHead', patch_size=32, scales=(4, 2, 1, 1), target=target)
    blank = torch.zeros(1, 3, 96, 96)
    return MODELS.build(
        dict(
            type='mim_bench.LocalMIM',
            backbone=dict(type='mim_bench.LocalMIMSwin', **backbone),
            neck=dict(
                type='mim_bench.LocalMIMSwinDecoder',
                in_dims=[16, 32, 64, 64],
                out_dims=[t.shape[2] for t in MODELS.build(head).targets(blank)],
                embed_dims=(8, 8, 8, 8),
                grid=(3, 3),
            ),
            head=head,
        )
    )


def test_localmim_swin_decoder_predicts_each_grid_in_raster_order():
    neck, features = build_neck(), make_features()
    everything = neck(features, MASK)
    assert [x.shape for x in everything] == [(3, 24, 5), (3, 6, 6)]
    hidden = neck(features, MASK, hidden_only=True)
    for side, all_tokens, only in zip((2, 1), everything, hidden, strict=True):
        places = mask_of_tokens(MASK, side).hidden[0]
        torch.testing.assert_close(only, all_tokens[:, places])


def test_localmim_swin_decoder_visible_token_stands_at_its_place():
    neck, features = build_neck(), make_features()
    before = neck(features, MASK)[1]
    # Without its query, a token shows at its own place only through the residual stream.
    for parameter in neck.decoders[1].blocks[0].attn.parameters():
        torch.nn.init.zeros_(parameter)
    before = neck(features, MASK)[1]
    features[1] = features[1].clone()
    features[1][:, 1] += 1  # the second visible unit is in row 1, column 2
    changed = (neck(features, MASK)[1] - before).abs().sum((0, 2)) > 0
    assert changed.tolist() == [False] * 5 + [True]


def test_localmim_swin_decoder_uneven_arguments_raise():
    with pytest.raises(ConfigError, match='2 in_dims, 3 out_dims'):
        build_neck(out_dims=(5, 6, 7))


@pytest.mark.parametrize(
    ('arch', 'window', 'target', 'total'),
    [('base', 7, 'hog', 87.76), ('base', 7, 'pixel', 88.64), ('large', 14, 'hog', 196.45)],
)
def test_localmim_swin_has_the_published_parameters(arch, window, target, total):
    width = {'base': 128, 'large': 192}[arch]
    lengths = 54 if target == 'hog' else (192, 768, 3072, 3072)
    with torch.device('meta'):
        backbone = MODELS.build(dict(type='mim_bench.LocalMIMSwin', arch=arch, window_size=window))
        neck = MODELS.build(
            dict(
                type='mim_bench.LocalMIMSwinDecoder',
                in_dims=[2 * width, 4 * width, 8 * width, 8 * width],
                out_dims=lengths,
            )
        )
    assert (count(backbone) + count(neck)) / 1e6 == pytest.approx(total, abs=5e-3)
    if arch == 'base':
        # The norms of the tasks count to the encoder there.
        decoders = [
            (count(decoder) - count(decoder.norm_in) + count(pred)) / 1e6
            for decoder, pred in zip(neck.decoders, neck.preds, strict=True)
        ]
        published = {'hog': [0.070, 0.271, 0.337, 0.337], 'pixel': [0.079, 0.363, 0.726, 0.726]}
        assert decoders == pytest.approx(published[target], abs=6e-4)


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize('target', ['hog', 'pixel'])
def test_localmim_swin_every_parameter_learns_and_hidden_places_alone_count(target):
    arch = dict(embed_dims=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4))
    model = build_model(target, arch=arch, img_size=96, window_size=3)
    model.init_weights()
    images, masks = torch.randn(2, 3, 96, 96), torch.zeros(2, 3, 3, dtype=torch.bool)
    masks[0, :2] = masks[1, 1:] = True
    samples = MaskedSamples()
    samples.set_field(plan_windows(Mask.of(masks), model.backbone.window_sizes), 'mask')
    losses = model(images, samples, mode='loss')
    losses['loss'].backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    # The first sample's mask holds for both; and all places give the same loss as the hidden.
    preds = model.neck(model.backbone(images, samples.mask), samples.mask)
    again = model.head.compare(preds, model.head.targets(images), masks[:1].expand(2, -1, -1))
    torch.testing.assert_close(again['loss'], losses['loss'], rtol=1e-5, atol=1e-5)
