"""UM-MAE's Swin against numbers from the official code."""

import pytest
import torch
from mmpretrain.models.classifiers import ImageClassifier

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.registry import MODELS
from mim_bench.testing.parity import Fixture, assert_reproduces, fixtures

GRAD_KEY = 'grad_norm_patch_embed_raster'


def backbone_arch(spec: dict) -> dict:
    arch = spec['arch']
    return dict(
        embed_dims=arch['embed_dim'],
        depths=arch['depths'],
        num_heads=arch['num_heads'],
        posmlp_dims=arch['posmlp_dim'],
    )


def build_pretraining(fixture: Fixture, order: str, folder) -> torch.nn.Module:
    arch = fixture.spec['arch']
    model = MODELS.build(
        dict(
            type='mim_bench.UMMAE',
            backbone=dict(
                type='mim_bench.UMMAEPretrainSwin',
                arch=backbone_arch(fixture.spec),
                patch_size=arch['patch_size'],
                mask_patch_size=arch['stride'],
                window_size=2 * arch['window_size'],
            ),
            neck=dict(
                type='mim_bench.UMMAEPyramidDecoder',
                in_dims=arch['embed_dim'] * 2 ** (len(arch['depths']) - 1),
                num_patches=(arch['img_size'] // arch['stride']) ** 2,
                patch_size=arch['stride'],
                embed_dims=arch['decoder_embed_dim'],
                depth=arch['decoder_depth'],
                num_heads=arch['decoder_num_heads'],
                decoder_pos_order=order,
            ),
            head=dict(
                type='mim_bench.UMMAEHead',
                patch_size=arch['stride'],
                norm_pix=fixture.spec['norm_pix_loss'],
            ),
        )
    )
    file = convert_checkpoint(fixture.checkpoint, folder / 'whole.pth', keep_decoder=True)
    model.load_state_dict(read_checkpoint(file.path)['state_dict'], strict=True)
    return model


def pretraining_inputs(fixture: Fixture) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    side = fixture.spec['arch']['img_size'] // fixture.spec['arch']['stride']
    masks = [torch.from_numpy(fixture.io[k]).reshape(-1, side, side) for k in ('mask', 'hidden')]
    return fixture.images(), *masks


@pytest.mark.parametrize('order', ['cell', 'raster'])
@pytest.mark.parametrize('fixture', fixtures('ummae', 'swin', 'pretrain'), ids=str)
def test_ummae_swin_pretraining_reproduces_official_numbers(fixture, order, tmp_path):
    model = build_pretraining(fixture, order, tmp_path).eval()
    images, mask, hidden = pretraining_inputs(fixture)
    suffix = '_raster' if order == 'raster' else ''
    latent = model.backbone(images, mask, hidden)[0].flatten(2).transpose(1, 2)
    pred = model.predict_hidden(images, mask, hidden)
    loss = model.head.loss(pred, images, mask)
    assert_reproduces(latent, fixture.io['latent'])
    assert_reproduces(pred, fixture.io[f'pred_masked{suffix}'])
    assert_reproduces(loss, fixture.io[f'loss{suffix}'])
    loss.backward()
    if order == 'raster' and GRAD_KEY in fixture.io:
        grad = model.backbone.patch_embed.projection.weight.grad
        assert_reproduces(grad.norm(), fixture.io[GRAD_KEY])


@pytest.mark.parametrize('fixture', fixtures('ummae', 'swin', 'features'), ids=str)
def test_ummae_swin_features_reproduce_official_numbers(fixture, tmp_path):
    backbone = MODELS.build(
        dict(
            type='mim_bench.UMMAESwin',
            arch=backbone_arch(fixture.spec),
            patch_size=fixture.spec['arch']['patch_size'],
            window_size=fixture.spec['arch']['window_size'],
            out_indices=range(len(fixture.spec['arch']['depths'])),
        )
    )
    file = convert_checkpoint(fixture.checkpoint, tmp_path / 'backbone.pth')
    state = read_checkpoint(file.path)['state_dict']
    state = {k.removeprefix('backbone.'): v for k, v in state.items()}
    missing, unexpected = backbone.load_state_dict(state, strict=False)
    assert not missing
    assert unexpected == ['norm.weight', 'norm.bias']
    for i, stage in enumerate(backbone.eval()(fixture.images())):
        assert_reproduces(stage, fixture.io[f'stage{i}'])


@pytest.mark.parametrize('fixture', fixtures('ummae', 'swin', 'classifier'), ids=str)
def test_ummae_swin_classifier_reproduces_official_logits(fixture, tmp_path):
    arch = fixture.spec['arch']
    width = arch['embed_dim'] * 2 ** (len(arch['depths']) - 1)
    model = ImageClassifier(
        backbone=dict(
            type='mim_bench.UMMAESwin',
            arch=backbone_arch(fixture.spec),
            patch_size=arch['patch_size'],
            window_size=arch['window_size'],
        ),
        neck=dict(type='mim_bench.PooledNorm', in_dims=width),
        head=dict(type='LinearClsHead', num_classes=fixture.spec['num_classes'], in_channels=width),
    )
    file = convert_checkpoint(fixture.checkpoint, tmp_path / 'whole.pth', keep_decoder=True)
    model.load_state_dict(read_checkpoint(file.path)['state_dict'], strict=True)
    assert_reproduces(model.eval()(fixture.images(), mode='tensor'), fixture.io['logits'])
