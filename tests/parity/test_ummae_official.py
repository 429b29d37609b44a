"""UM-MAE's Swin, PVT and ViT against numbers from the official code."""

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models.classifiers import ImageClassifier
from PIL import Image

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.engine.drawing import draw_images
from mim_bench.engine.load_gate import load_model
from mim_bench.registry import MODELS
from mim_bench.testing.parity import Fixture, assert_reproduces, fixtures

GRAD_KEY = 'grad_norm_patch_embed_raster'
PYRAMIDS = ('swin', 'pvt')


def swin_arch(arch: dict) -> dict:
    return dict(
        embed_dims=arch['embed_dim'],
        depths=arch['depths'],
        num_heads=arch['num_heads'],
        posmlp_dims=arch['posmlp_dim'],
    )


def pvt_arch(arch: dict) -> dict:
    return {key: arch[key] for key in ('embed_dims', 'depths', 'num_heads', 'mlp_ratios')}


def vit_arch(arch: dict) -> dict:
    return dict(
        embed_dims=arch['embed_dim'],
        num_layers=arch['depth'],
        num_heads=arch['num_heads'],
        feedforward_channels=arch.get('mlp_ratio', 4) * arch['embed_dim'],
    )


def swin_width(arch: dict) -> int:
    return arch['embed_dim'] * 2 ** (len(arch['depths']) - 1)


def pretrain_backbone(backbone: str, arch: dict) -> tuple[dict, int]:
    """Config of the pre-training encoder, and its width."""
    if backbone == 'vit':
        cfg = dict(type='mim_bench.UMMAEPretrainViT', arch=vit_arch(arch))
        cfg |= dict(img_size=arch['img_size'], patch_size=arch['patch_size'])
        return cfg, arch['embed_dim']
    pyramid = dict(patch_size=arch['patch_size'], mask_patch_size=arch['stride'])
    if backbone == 'pvt':
        cfg = dict(type='mim_bench.UMMAEPretrainPvt', arch=pvt_arch(arch), **pyramid)
        cfg |= dict(img_size=arch['img_size'], compact_sr_ratios=arch['sr_ratios'])
        return cfg, arch['embed_dims'][-1]
    cfg = dict(type='mim_bench.UMMAEPretrainSwin', arch=swin_arch(arch), **pyramid)
    return cfg | dict(window_size=2 * arch['window_size']), swin_width(arch)


def build_pretraining(fixture: Fixture, folder, **decoder) -> torch.nn.Module:
    model = MODELS.build(pretraining_config(fixture, **decoder))
    file = convert_checkpoint(fixture.checkpoint, folder / 'whole.pth', keep_decoder=True)
    model.load_state_dict(read_checkpoint(file.path)['state_dict'], strict=True)
    return model.eval()


def pretraining_config(fixture: Fixture, **decoder) -> dict:
    arch, backbone = fixture.spec['arch'], fixture.spec['backbone']
    stride = mask_patch_size(arch)
    encoder, width = pretrain_backbone(backbone, arch)
    neck = dict(
        type=f'mim_bench.UMMAE{"ViT" if backbone == "vit" else "Pyramid"}Decoder',
        in_dims=width,
        num_patches=(arch['img_size'] // stride) ** 2,
        patch_size=stride,
        embed_dims=arch['decoder_embed_dim'],
        depth=arch['decoder_depth'],
        num_heads=arch['decoder_num_heads'],
        **decoder,
    )
    norm_pix = fixture.spec['norm_pix_loss']
    head = dict(type='mim_bench.UMMAEHead', patch_size=stride, norm_pix=norm_pix)
    return dict(type='mim_bench.UMMAE', backbone=encoder, neck=neck, head=head)


def mask_patch_size(arch: dict) -> int:
    return arch.get('stride', arch['patch_size'])


def pretraining_inputs(fixture: Fixture) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    arch = fixture.spec['arch']
    side = arch['img_size'] // mask_patch_size(arch)
    masks = [torch.from_numpy(fixture.io[k]).reshape(-1, side, side) for k in ('mask', 'hidden')]
    return fixture.images(), *masks


def check_pretraining(model: torch.nn.Module, fixture: Fixture, suffix: str = '') -> None:
    images, mask, hidden = pretraining_inputs(fixture)
    (latent,) = model.backbone(images, mask, hidden)
    if latent.dim() == 4:
        latent = latent.flatten(2).transpose(1, 2)
    assert_reproduces(latent, fixture.io['latent'])
    pred = model.predict_hidden(images, mask, hidden)
    assert_reproduces(pred, fixture.io[f'pred_masked{suffix}'])
    loss = model.head.loss(pred, images, mask)
    assert_reproduces(loss, fixture.io[f'loss{suffix}'])
    loss.backward()
    if suffix and GRAD_KEY in fixture.io:
        grad = model.backbone.patch_embed.projection.weight.grad
        assert_reproduces(grad.norm(), fixture.io[GRAD_KEY])


@pytest.mark.parametrize('order', ['cell', 'raster'])
@pytest.mark.parametrize('fixture', fixtures('pretrain', 'ummae', *PYRAMIDS), ids=str)
def test_ummae_pyramid_pretraining_reproduces_official_numbers(fixture, order, tmp_path):
    model = build_pretraining(fixture, tmp_path, decoder_pos_order=order)
    check_pretraining(model, fixture, '_raster' if order == 'raster' else '')


@pytest.mark.parametrize('fixture', fixtures('pretrain', 'ummae', 'vit'), ids=str)
def test_ummae_vit_pretraining_reproduces_official_numbers(fixture, tmp_path):
    check_pretraining(build_pretraining(fixture, tmp_path), fixture)


@pytest.mark.parametrize('fixture', fixtures('pretrain', 'ummae', *PYRAMIDS), ids=str)
def test_ummae_weights_without_a_secondary_mask_token_continue_and_are_drawn(fixture, tmp_path):
    state = read_checkpoint(fixture.checkpoint)
    del state['model']['vis_mask_token']
    torch.save({'model': state['model']}, tmp_path / 'official.pth')
    size, patch = fixture.spec['arch']['img_size'], mask_patch_size(fixture.spec['arch'])
    model = pretraining_config(fixture)
    model['backbone']['secondary_masking'] = False
    model['data_preprocessor'] = dict(type='SelfSupDataPreprocessor')
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(size, size)),
        dict(
            type='mim_bench.UniformMask', input_size=size, mask_patch_size=patch, secondary_ratio=0
        ),
        dict(type='PackInputs', algorithm_keys=['mask', 'hidden']),
    ]
    loader = dict(dataset=dict(pipeline=pipeline), collate_fn=dict(type='mim_bench.collate_masks'))
    cfg = Config(dict(model=model, train_dataloader=loader, default_scope='mmpretrain'))
    Image.new('RGB', (size, size), (200, 50, 20)).save(tmp_path / 'image.png')
    drawing = draw_images(cfg, [tmp_path / 'image.png'], checkpoint=tmp_path / 'official.pth')
    assert 'filled 100.0%' in drawing.notes[0]
    network = MODELS.build(cfg.model)
    assert load_model(network, tmp_path / 'official.pth').missing == []
    images, mask, _ = pretraining_inputs(fixture)
    network.head.loss(network.predict_hidden(images, mask, None), images, mask).backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def features_backbone(fixture: Fixture, folder, **cfg) -> torch.nn.Module:
    """An encoder for full images with the weights of a pre-training checkpoint."""
    backbone = MODELS.build(cfg)
    file = convert_checkpoint(fixture.checkpoint, folder / 'backbone.pth')
    kind = 'mim_bench.ViT' if fixture.spec['backbone'] == 'vit' else cfg['type']
    assert file.meta['backbone_type'] == kind
    state = read_checkpoint(file.path)['state_dict']
    state = {key.removeprefix('backbone.'): value for key, value in state.items()}
    missing, unexpected = backbone.load_state_dict(state, strict=False)
    assert not missing
    assert not [key for key in unexpected if not key.startswith('norm.')]
    backbone.eval()  # mmpretrain's returns nothing
    return backbone


@pytest.mark.parametrize('fixture', fixtures('features', 'ummae', *PYRAMIDS), ids=str)
def test_ummae_pyramid_features_reproduce_official_numbers(fixture, tmp_path):
    arch = fixture.spec['arch']
    stages = range(len(arch['depths']))
    if fixture.spec['backbone'] == 'swin':
        sizes = dict(arch=swin_arch(arch), window_size=arch['window_size'])
        cfg = dict(type='mim_bench.UMMAESwin', **sizes)
    else:
        sizes = dict(arch=pvt_arch(arch), sr_ratios=arch['sr_ratios'], img_size=arch['img_size'])
        cfg = dict(type='mim_bench.UMMAEPvt', **sizes)
    cfg |= dict(patch_size=arch['patch_size'], out_indices=stages)
    backbone = features_backbone(fixture, tmp_path, **cfg)
    for i, stage in enumerate(backbone(fixture.images())):
        assert_reproduces(stage, fixture.io[f'stage{i}'])


@pytest.mark.parametrize('fixture', fixtures('features', 'ummae', 'vit'), ids=str)
def test_ummae_vit_features_reproduce_official_numbers(fixture, tmp_path):
    arch = fixture.spec['arch']
    backbone = features_backbone(
        fixture,
        tmp_path,
        type='mmpretrain.VisionTransformer',
        arch=vit_arch(arch),
        img_size=arch['img_size'],
        patch_size=arch['patch_size'],
        out_type='raw',
        out_indices=range(arch['depth']),
        final_norm=True,
    )
    *blocks, normed = backbone(fixture.images())
    for i, block in enumerate(blocks):
        assert_reproduces(block, fixture.io[f'block{i}'])
    assert_reproduces(normed, fixture.io['norm'])


@pytest.mark.parametrize('fixture', fixtures('classifier', 'ummae', *PYRAMIDS), ids=str)
def test_ummae_classifier_reproduces_official_logits(fixture, tmp_path):
    arch = fixture.spec['arch']
    if fixture.spec['backbone'] == 'swin':
        width = swin_width(arch)
        sizes = dict(arch=swin_arch(arch), window_size=arch['window_size'])
        encoder = dict(type='mim_bench.UMMAESwin', **sizes)
    else:
        width = arch['embed_dims'][-1]
        sizes = dict(arch=pvt_arch(arch), sr_ratios=arch['sr_ratios'], img_size=arch['img_size'])
        encoder = dict(type='mim_bench.UMMAEPvt', **sizes)
    model = ImageClassifier(
        backbone=dict(**encoder, patch_size=arch['patch_size']),
        neck=dict(type='mim_bench.PooledNorm', in_dims=width),
        head=dict(type='LinearClsHead', num_classes=fixture.spec['num_classes'], in_channels=width),
    )
    file = convert_checkpoint(fixture.checkpoint, tmp_path / 'whole.pth', keep_decoder=True)
    model.load_state_dict(read_checkpoint(file.path)['state_dict'], strict=True)
    assert_reproduces(model.eval()(fixture.images(), mode='tensor'), fixture.io['logits'])
