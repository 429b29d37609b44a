"""LocalMIM's Swin against numbers from the official code."""

import pytest
import torch
from mmpretrain.models.backbones import SwinTransformer

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.masking.window_plans import PlannedMask
from mim_bench.registry import MODELS
from mim_bench.testing.parity import Fixture, assert_reproduces, fixtures


def backbone_arch(spec: dict) -> dict:
    arch = spec['arch']
    return dict(embed_dims=arch['embed_dim'], depths=arch['depths'], num_heads=arch['num_heads'])


def num_units(spec: dict) -> int:
    """Mask units along a side: tokens of the last stage."""
    arch = spec['arch']
    return arch['img_size'] // (arch['patch_size'] * 2 ** (len(arch['depths']) - 1))


def build_pretraining(fixture: Fixture, folder) -> torch.nn.Module:
    spec, arch = fixture.spec, fixture.spec['arch']
    width, last = arch['embed_dim'], len(arch['depths']) - 1
    mergings = [min(k + 1, last) for k in range(last + 1)]  # of the input of task k
    scales = [2 ** (last - merging) for merging in mergings]
    head = dict(
        type='mim_bench.LocalMIMHead',
        patch_size=arch['img_size'] // num_units(spec),
        scales=scales,
        target=spec['target'],
        num_bins=spec['hog_bins'],
        hog_bias=spec['hog_bias'],
        norm_pix=spec['norm_pix_loss'],
    )
    dims = arch['decoder_embed_dim']
    blank = torch.zeros(1, 3, arch['img_size'], arch['img_size'])
    model = MODELS.build(
        dict(
            type='mim_bench.LocalMIM',
            backbone=dict(
                type='mim_bench.LocalMIMSwin',
                arch=backbone_arch(spec),
                img_size=arch['img_size'],
                patch_size=arch['patch_size'],
                window_size=arch['window_size'],
            ),
            neck=dict(
                type='mim_bench.LocalMIMSwinDecoder',
                in_dims=[width * 2**merging for merging in mergings],
                out_dims=[t.shape[2] for t in MODELS.build(head).targets(blank)],
                grid=(num_units(spec),) * 2,
                tokens_per_unit=scales,
                embed_dims=[dims // 2, *[dims] * last],
                num_heads=arch['decoder_num_heads'],
                depth=arch['decoder_depth'],
            ),
            head=head,
        )
    )
    file = convert_checkpoint(fixture.checkpoint, folder / 'whole.pth', keep_decoder=True)
    model.load_state_dict(read_checkpoint(file.path)['state_dict'], strict=True)
    return model


def read_mask(model: torch.nn.Module, fixture: Fixture) -> PlannedMask:
    masks = torch.from_numpy(fixture.io['mask']).bool()
    assert (masks == masks[:1]).all()  # one for the batch
    return model.backbone.plan_mask(masks.reshape(len(masks), *[num_units(fixture.spec)] * 2))


@pytest.mark.parametrize('fixture', fixtures('pretrain', 'localmim', 'swin'), ids=str)
def test_localmim_swin_pretraining_reproduces_official_numbers(fixture, tmp_path):
    model, images = build_pretraining(fixture, tmp_path), fixture.images()
    mask = read_mask(model, fixture)
    preds = model.neck(model.backbone(images, mask), mask)
    targets = model.head.targets(images)
    for k, (pred, target) in enumerate(zip(preds, targets, strict=True)):
        # Long arrays are left out of some fixtures.
        for name, ours in ((f'pred{k}', pred), (f'target{k}', target)):
            if name in fixture.io:
                assert_reproduces(ours, fixture.io[name])
    losses = model.head.compare(preds, model.head.targets(images), mask.is_hidden)
    parts = torch.stack([losses[f'task{k}_mse'] for k in range(len(preds))])
    assert_reproduces(parts, fixture.io['loss_parts'])
    assert_reproduces(losses['loss'], fixture.io['loss'])


@pytest.mark.parametrize('fixture', fixtures('pretrain', 'localmim', 'swin'), ids=str)
def test_localmim_swin_training_path_gives_the_official_loss(fixture, tmp_path):
    model, images = build_pretraining(fixture, tmp_path), fixture.images()
    mask = read_mask(model, fixture)
    preds = model.neck(model.backbone(images, mask), mask, hidden_only=True)
    loss = model.head.compare(preds, model.head.targets(images), mask.is_hidden)['loss']
    assert_reproduces(loss, fixture.io['loss'])
    loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ('order', 'suffix'), [(None, ''), ('official-finetune', '_official_finetune')]
)
@pytest.mark.parametrize('fixture', fixtures('features', 'localmim', 'swin'), ids=str)
def test_localmim_swin_features_reproduce_official_numbers(fixture, order, suffix, tmp_path):
    arch, norm = fixture.spec['arch'], dict(norm_cfg=dict(type='LN', eps=1e-6))
    sides = [arch['img_size'] // (arch['patch_size'] * 2**i) for i in range(len(arch['depths']))]
    expected = {i: fixture.io.get(f'stage{i}{suffix}') for i in range(len(sides))}
    if all(stage is None for stage in expected.values()):
        pytest.skip(f'{fixture} holds no stages{suffix}')
    backbone = SwinTransformer(
        backbone_arch(fixture.spec),
        img_size=arch['img_size'],
        patch_size=arch['patch_size'],
        out_indices=range(len(sides)),
        norm_cfg=None,
        patch_cfg=norm,
        stage_cfgs=[
            dict(window_size=min(arch['window_size'], side), block_cfgs=norm, downsample_cfg=norm)
            for side in sides
        ],
    )
    file = convert_checkpoint(fixture.checkpoint, tmp_path / 'backbone.pth', merge_order=order)
    assert len(file.meta['reordered']) == 3 * (len(sides) - 1)
    state = read_checkpoint(file.path)['state_dict']
    backbone.load_state_dict({k.removeprefix('backbone.'): v for k, v in state.items()})
    backbone.eval()
    for i, stage in enumerate(backbone(fixture.images())):
        if expected[i] is not None:
            assert_reproduces(stage, expected[i])
