"""The hooks and the loop around mmpretrain's own models and this package's runner."""

import tempfile
from pathlib import Path

import torch
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mim_bench.engine.runner import BenchRunner
from mim_bench.evaluation.probes.extraction import extract_features
from mim_bench.results.collection import collect
from mim_bench.testing.toy_runs import knn_hook, loader, make_runner, record_hook

# Two stages of 4 x 4 and 2 x 2 tokens, out of images of 8 px.
SWIN = {
    'arch': {'embed_dims': 8, 'depths': [1, 1], 'num_heads': [1, 2]},
    'img_size': 8,
    'patch_cfg': {'kernel_size': 2, 'stride': 2},
    'out_indices': (1,),
    'stage_cfgs': {'block_cfgs': {'window_size': 2}},
}
PREPROCESSOR = {'mean': [0.1, 0.2, 0.3], 'std': [0.5, 0.6, 0.7]}
SIMMIM = {
    'type': 'mmpretrain.SimMIM',
    'backbone': {'type': 'mmpretrain.SimMIMSwinTransformer', **SWIN},
    'neck': {'type': 'mmpretrain.SimMIMLinearDecoder', 'in_channels': 16, 'encoder_stride': 4},
    'head': {
        'type': 'mmpretrain.SimMIMHead',
        'patch_size': 2,
        'loss': {'type': 'mmpretrain.PixelReconstructionLoss', 'criterion': 'L1', 'channel': 3},
    },
    'data_preprocessor': {'type': 'mmpretrain.SelfSupDataPreprocessor', **PREPROCESSOR},
}
VIT = {
    'type': 'mmpretrain.VisionTransformer',
    'arch': {'embed_dims': 8, 'num_layers': 1, 'num_heads': 2, 'feedforward_channels': 8},
    'img_size': 8,
    'patch_size': 4,
}


def classifier(backbone: dict) -> torch.nn.Module:
    return MODELS.build(
        {
            'type': 'mmpretrain.ImageClassifier',
            'backbone': backbone,
            'data_preprocessor': {'type': 'mmpretrain.ClsDataPreprocessor', **PREPROCESSOR},
        }
    )


def features_of(model, pooling):
    with tempfile.TemporaryDirectory() as folder:
        dataloader = Runner.build_dataloader(loader())
        return extract_features(model, dataloader, Path(folder), pooling=pooling).x[:]


def test_extract_features_of_simmim_are_those_of_the_plain_swin():
    simmim = MODELS.build(SIMMIM)
    plain = classifier({'type': 'mmpretrain.SwinTransformer', **SWIN})
    plain.backbone.load_state_dict(simmim.backbone.state_dict(), strict=False)
    ours = features_of(simmim, 'gap')
    assert ours.shape == (12, 16)
    torch.testing.assert_close(ours, features_of(plain, 'gap'))


def test_extract_features_of_a_transformer_pool_as_told():
    raw = classifier({**VIT, 'out_type': 'raw'})
    for pooling, out_type in (('cls', 'cls_token'), ('gap', 'featmap')):
        other = classifier({**VIT, 'out_type': out_type})
        other.load_state_dict(raw.state_dict())
        torch.testing.assert_close(features_of(raw, pooling), features_of(other, pooling))


def test_all_hooks_together_on_the_runner_of_this_package(pretraining, tmp_path):
    tasks = [{'task': 'pretrain', 'metrics': ['loss', 'knn_top1']}]
    cfg = pretraining(
        model=SIMMIM,
        default_scope='mmpretrain',
        custom_hooks=[
            {'type': 'mim_bench.CostLedgerHook'},
            {'type': 'mim_bench.FiniteLossHook'},
            knn_hook(),
            {'type': 'mim_bench.ReconstructionHook', 'dataloader': loader(), 'num_images': 2},
            record_hook(tmp_path / 'results', tasks),
        ],
    )
    make_runner(cfg, BenchRunner).train()
    (done,) = collect(tmp_path / 'results').records
    assert done.status == 'done'
    assert done.env['library'].startswith('mmpretrain 1.')
    assert len(done.artifacts.pictures) == 1
