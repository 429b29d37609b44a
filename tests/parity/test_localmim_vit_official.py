"""LocalMIM's ViT against numbers from the official code."""

import pytest
import torch
from mmpretrain.models.backbones import VisionTransformer

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.masking.mask import Mask
from mim_bench.registry import MODELS
from mim_bench.testing.parity import Fixture, assert_reproduces, fixtures


def backbone_settings(spec: dict) -> dict:
    arch = spec['arch']
    width = arch['embed_dim']
    return dict(
        arch=dict(
            embed_dims=width,
            num_layers=arch['depth'],
            num_heads=arch['num_heads'],
            feedforward_channels=int(arch.get('mlp_ratio', 4) * width),
        ),
        img_size=arch['img_size'],
        patch_size=arch['patch_size'],
    )


def build_pretraining(fixture: Fixture, folder) -> torch.nn.Module:
    spec, arch = fixture.spec, fixture.spec['arch']
    scales = spec['scales']
    head = dict(
        type='mim_bench.LocalMIMHead',
        patch_size=arch['patch_size'],
        scales=scales,
        target=spec['target'],
        num_bins=spec.get('hog_bins', 9),
        hog_bias=spec.get('hog_bias', False),
        norm_pix=spec.get('norm_pix_loss', True),
    )
    blank = torch.zeros(1, 3, arch['img_size'], arch['img_size'])
    model = MODELS.build(
        dict(
            type='mim_bench.LocalMIM',
            backbone=dict(
                type='mim_bench.LocalMIMViT',
                guided_blocks=spec['guided_blocks'],
                **backbone_settings(spec),
            ),
            neck=dict(
                type='mim_bench.LocalMIMDecoder',
                in_dims=arch['embed_dim'],
                out_dims=[t.shape[2] for t in MODELS.build(head).targets(blank)],
                grid=(arch['img_size'] // arch['patch_size'],) * 2,
                scales=scales,
                embed_dims=arch['decoder_embed_dim'],
                num_heads=arch['decoder_num_heads'],
                depth=arch['decoder_depth'],
            ),
            head=head,
        )
    )
    file = convert_checkpoint(fixture.checkpoint, folder / 'whole.pth', keep_decoder=True)
    model.load_state_dict(read_checkpoint(file.path)['state_dict'], strict=True)
    return model


def read_mask(fixture: Fixture) -> torch.Tensor:
    side = fixture.spec['arch']['img_size'] // fixture.spec['arch']['patch_size']
    return torch.from_numpy(fixture.io['mask']).bool().reshape(-1, side, side)


@pytest.mark.parametrize('fixture', fixtures('pretrain', 'localmim', 'vit'), ids=str)
def test_localmim_vit_pretraining_reproduces_official_numbers(fixture, tmp_path):
    model, images, mask = build_pretraining(fixture, tmp_path), fixture.images(), read_mask(fixture)
    features = model.backbone(images, mask)
    preds = model.neck(features, mask)
    targets = model.head.targets(images)
    visible = Mask.of(mask).visible
    # The official order of the visible tokens is that of their random draw.
    order = torch.from_numpy(fixture.io['visible_index']).argsort(1)
    assert torch.equal(torch.from_numpy(fixture.io['visible_index']).gather(1, order), visible)
    back = torch.nn.functional.pad(order.argsort(1) + 1, (1, 0))[..., None]
    for k, (decoder, tokens) in enumerate(zip(model.neck.decoders, features, strict=True)):
        latent = decoder.norm_in(tokens)
        latent = latent.gather(1, back.expand(-1, -1, latent.shape[-1]))
        assert_reproduces(latent, fixture.io[f'latent{k}'])
        assert_reproduces(preds[k], fixture.io[f'pred{k}'])
        assert_reproduces(targets[k], fixture.io[f'target{k}'])
    losses = model.head.compare(preds, model.head.targets(images), mask)
    parts = torch.stack([losses[f'task{k}_mse'] for k in range(len(preds))])
    assert_reproduces(parts, fixture.io['loss_parts'])
    assert_reproduces(losses['loss'], fixture.io['loss'])


@pytest.mark.parametrize('fixture', fixtures('pretrain', 'localmim', 'vit'), ids=str)
def test_localmim_vit_training_path_gives_the_official_loss(fixture, tmp_path):
    model, images, mask = build_pretraining(fixture, tmp_path), fixture.images(), read_mask(fixture)
    preds = model.neck(model.backbone(images, mask), mask, hidden_only=True)
    loss = model.head.compare(preds, model.head.targets(images), mask)['loss']
    assert_reproduces(loss, fixture.io['loss'])
    loss.backward()
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trainable)


@pytest.mark.parametrize('fixture', fixtures('features', 'localmim', 'vit'), ids=str)
def test_localmim_vit_features_reproduce_official_numbers(fixture, tmp_path):
    settings = backbone_settings(fixture.spec)
    backbone = VisionTransformer(
        **settings,
        out_indices=list(range(settings['arch']['num_layers'])),
        out_type='raw',
        final_norm=False,
    )
    file = convert_checkpoint(fixture.checkpoint, tmp_path / 'backbone.pth')
    state = read_checkpoint(file.path)['state_dict']
    backbone.load_state_dict({k.removeprefix('backbone.'): v for k, v in state.items()})
    backbone.eval()
    for i, tokens in enumerate(backbone(fixture.images())):
        assert_reproduces(tokens, fixture.io[f'block{i}'])
