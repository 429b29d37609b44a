"""LocalMIM's ViT as a model of mmpretrain: sizes, tasks, what depends on what."""

import pytest
import torch
from mmpretrain.structures import DataSample

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.registry import MODELS
from mim_bench.visualization.methods import panels_of

ARCH = dict(embed_dims=16, num_layers=6, num_heads=2, feedforward_channels=32)
WIDTHS = {'small': 384, 'base': 768, 'large': 1024}
BLOCKS = [1, 2, 3, 5]
HOG = dict(num_bins=9)


def build_model(*, img_size=(32, 64), **head) -> torch.nn.Module:
    head = dict(type='mim_bench.LocalMIMHead', patch_size=8) | (head or HOG)
    blank = torch.zeros(1, 3, *img_size)
    model = MODELS.build(
        dict(
            type='mim_bench.LocalMIM',
            backbone=dict(
                type='mim_bench.LocalMIMViT',
                arch=ARCH,
                guided_blocks=BLOCKS,
                img_size=img_size,
                patch_size=8,
            ),
            neck=dict(
                type='mim_bench.LocalMIMDecoder',
                in_dims=16,
                out_dims=[t.shape[2] for t in MODELS.build(head).targets(blank)],
                grid=(img_size[0] // 8, img_size[1] // 8),
                embed_dims=16,
                num_heads=2,
            ),
            head=head,
        )
    )
    torch.manual_seed(0)
    model.init_weights()
    return model


def make_batch() -> tuple[torch.Tensor, list[DataSample]]:
    generator = torch.Generator().manual_seed(1)
    order = torch.rand(2, 32, generator=generator).argsort(1).argsort(1)
    masks = (order >= 8).reshape(2, 4, 8)
    images = torch.randn(2, 3, 32, 64, generator=generator)
    return images, [DataSample(mask=mask) for mask in masks]


def trainable(*modules: torch.nn.Module) -> int:
    return sum(p.numel() for m in modules for p in m.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ('arch', 'length', 'millions'),
    [('small', 27, 25.46), ('base', 27, 89.92), ('large', 54, 307.65)],
)
def test_localmim_vit_has_the_published_parameters(arch, length, millions):
    with torch.device('meta'):
        backbone = MODELS.build(dict(type='mim_bench.LocalMIMViT', arch=arch))
        neck = dict(type='mim_bench.LocalMIMDecoder', in_dims=WIDTHS[arch], out_dims=length)
        neck = MODELS.build(neck)
    assert trainable(backbone, neck) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(
    ('width', 'length', 'millions'),
    [(768, 27, [1.153, 1.122, 0.994, 0.994]), (1024, 54, [1.221, 1.191, 1.067, 1.067])],
)
def test_localmim_decoders_have_the_published_parameters(width, length, millions):
    with torch.device('meta'):
        neck = MODELS.build(dict(type='mim_bench.LocalMIMDecoder', in_dims=width, out_dims=length))
    # The norm of the task is counted to the encoder there.
    counts = [
        (trainable(decoder, pred) - 2 * width) / 1e6
        for decoder, pred in zip(neck.decoders, neck.preds, strict=True)
    ]
    assert counts == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(('arch', 'blocks'), [('small', [1, 3, 9, 11]), ('large', [1, 3, 21, 23])])
def test_localmim_vit_guides_the_published_blocks(arch, blocks):
    with torch.device('meta'):
        backbone = MODELS.build(dict(type='mim_bench.LocalMIMViT', arch=arch))
    assert backbone.guided_blocks == blocks


@pytest.mark.parametrize('blocks', [[3, 1], [], [1, 6], [2, 2]])
def test_localmim_vit_wrong_guided_blocks_raise(blocks):
    with pytest.raises(ConfigError, match='guided_blocks'):
        MODELS.build(dict(type='mim_bench.LocalMIMViT', arch=ARCH, guided_blocks=blocks))


def test_localmim_vit_hands_out_the_stream_as_it_goes_on():
    model, (images, samples) = build_model(), make_batch()
    mask = torch.stack([sample.mask for sample in samples])
    features = model.backbone(images, mask)
    tokens = model.backbone.embed_visible(images, Mask.of(mask))
    for i, layer in enumerate(model.backbone.layers):
        tokens = layer(tokens)
        if i in BLOCKS:
            torch.testing.assert_close(features[BLOCKS.index(i)], tokens)


@pytest.mark.parametrize('head', [HOG, dict(target='pixel')], ids=['hog', 'pixel'])
def test_localmim_training_loss_equals_the_loss_of_all_predictions(head):
    model, (images, samples) = build_model(**head), make_batch()
    mask = torch.stack([sample.mask for sample in samples])
    preds = model.neck(model.backbone(images, mask), mask)
    assert [p.shape[1] for p in preds] == [512, 128, 32, 8]
    expected = model.head.compare(preds, model.head.targets(images), mask)
    ours = model.loss(images, samples)
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-6)


def test_localmim_every_trainable_parameter_gets_a_gradient():
    model, batch = build_model(), make_batch()
    model.loss(*batch)['loss'].backward()
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing


def test_localmim_every_task_trains_the_blocks_below_it():
    model, (images, samples) = build_model(), make_batch()
    mask = torch.stack([sample.mask for sample in samples])
    for task, last in enumerate(BLOCKS):
        model.zero_grad()
        model.neck(model.backbone(images, mask), mask)[task].square().sum().backward()
        reached = [layer.ffn.layers[1].weight.grad is not None for layer in model.backbone.layers]
        assert reached == [i <= last for i in range(6)]


def test_localmim_backbone_that_shares_a_mask_gets_that_of_the_first_sample():
    model, (images, samples) = build_model(), make_batch()
    own = model.loss(images, samples)['loss']
    first = model.loss(images, [samples[0], samples[0]])['loss']
    model.backbone.shares_mask = True
    torch.testing.assert_close(model.loss(images, samples)['loss'], first)
    assert not torch.allclose(first, own)


@pytest.mark.parametrize(
    ('head', 'kinds'),
    [
        (HOG, ['target', 'prediction']),
        (dict(target='pixel'), ['target', 'reconstruction']),
        (dict(target='pixel', norm_pix=False), ['reconstruction']),
    ],
)
def test_localmim_panels_show_mask_targets_and_predictions(head, kinds):
    model, (images, samples) = build_model(**head), make_batch()
    panels = panels_of(model, images, samples, predict=True)
    scales = [f'{kind}, {cell} px' for kind in kinds for cell in (2, 4, 8, 16)]
    assert [panel.title for panel in panels] == ['input', 'masked input', *scales]
    for panel in panels:
        assert panel.images.shape == (2, 3, 32, 64)
        assert panel.images.min() >= 0
        assert panel.images.max() <= 1
    without = panels_of(model, images, samples, predict=False)
    assert [panel.title for panel in without] == [
        panel.title for panel in panels if not panel.title.startswith(('pred', 'recon'))
    ]


def test_localmim_features_of_full_images_need_no_mask():
    model, (images, _) = build_model(), make_batch()
    (tokens,) = model.extract_feat(images)
    assert tokens.shape == (2, 33, 16)


def test_localmim_init_weights_reaches_every_decoder():
    model = build_model()
    for decoder, pred in zip(model.neck.decoders, model.neck.preds, strict=True):
        assert decoder.mask_token.std().item() == pytest.approx(0.02, rel=0.6)
        assert (decoder.embed.bias == 0).all()
        assert (pred.proj.bias != 0).any()  # convolutions keep PyTorch's default
