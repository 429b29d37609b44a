"""Official checkpoints through the command line into mmpretrain, mmseg and mmdet."""

import json

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from mim_bench.cli.main import main
from mim_bench.conversion.backbone_config import backbone_config
from mim_bench.conversion.files import read_checkpoint, state_dict_of
from mim_bench.engine.load_gate import load_backbone
from mim_bench.testing.parity import Fixture, assert_reproduces, fixtures

HEAD = dict(
    type='FCNHead', in_channels=8, channels=4, num_classes=2,
    loss_decode=dict(type='CrossEntropyLoss'),
)  # fmt: skip
# The smallest model of each library that holds a backbone; only that is run.
LIBRARIES = {
    'mmpretrain': dict(type='ImageClassifier'),
    'mmseg': dict(type='EncoderDecoder', decode_head=HEAD, test_cfg=dict(mode='whole')),
    'mmdet': dict(
        type='FCOS',
        neck=dict(type='ChannelMapper', in_channels=[8], out_channels=8),
        bbox_head=dict(type='FCOSHead', num_classes=2, in_channels=8, feat_channels=32),
    ),
}


# Settings that leave no trace in the weights of some backbones; a user gives them by --arch.
UNSEEN = {'vit': ('num_heads',), 'pvt': ('num_heads', 'sr_ratios', 'img_size')}
UNSEEN_OF = {('ummae', 'swin'): ('window_size',)}


def convert(fixture: Fixture, folder, *words: str) -> tuple:
    """The canonical file that the command writes, and its ``meta``."""
    path, spec = folder / 'canonical.pth', fixture.spec
    family = (spec['source'], spec['backbone'])
    unseen = UNSEEN_OF.get(family, UNSEEN.get(spec['backbone'], ()))
    if unseen:
        values = [f'{key}={spec["arch"][key]}'.replace(' ', '') for key in unseen]
        words = [*words, '--arch', *values]
    # Named, since the classifiers of ConMIM and BEiT are alike to the last key.
    source = ['--source', spec['source']]
    assert main(['convert', str(fixture.checkpoint), str(path), *source, *words]) == 0
    return path, read_checkpoint(path)['meta']


def backbone_of_the_run(fixture: Fixture, meta: dict, **settings) -> dict:
    """The config of the file, without norms that the official features do not have."""
    kind = meta['backbone_type'].removeprefix('mim_bench.')
    if kind == 'Swin':
        settings['out_norms'] = False
    elif kind != 'ViT':
        settings['final_norm'] = False
    return backbone_config(meta, **settings)


def outputs_in(library: str, config: dict, path, images: torch.Tensor) -> tuple:
    """What the backbone of a library's model gives, filled through the gate."""
    with DefaultScope.overwrite_default_scope(library):
        model = MODELS.build({**LIBRARIES[library], 'backbone': json.loads(json.dumps(config))})
    report = load_backbone(model.backbone, path)
    assert (report.share, report.missing) == (1.0, [])
    model.eval()
    with torch.no_grad():
        return model.backbone(images)


@pytest.mark.parametrize('fixture', fixtures('features'), ids=str)
def test_features_are_the_official_ones_and_equal_in_three_libraries(fixture, tmp_path):
    path, meta = convert(fixture, tmp_path)
    arch = fixture.spec['arch']
    depth = arch['depth'] if fixture.spec['backbone'] == 'vit' else len(arch['depths'])
    settings = dict(out_type='raw') if fixture.spec['backbone'] == 'vit' else {}
    config = backbone_of_the_run(fixture, meta, out_indices=list(range(depth)), **settings)
    outputs = {name: outputs_in(name, config, path, fixture.images()) for name in LIBRARIES}
    compared = 0
    for i, output in enumerate(outputs['mmpretrain']):
        for name in ('mmseg', 'mmdet'):
            torch.testing.assert_close(outputs[name][i], output, rtol=1e-6, atol=1e-6)
        is_normed = config.get('final_norm') and i == len(outputs['mmpretrain']) - 1
        key = (
            'norm' if is_normed else next(k for k in (f'block{i}', f'stage{i}') if k in fixture.io)
        )
        if key in fixture.io:
            assert_reproduces(output, fixture.io[key])
            compared += 1
    assert compared >= len(outputs['mmpretrain']) - 1


@pytest.mark.parametrize('fixture', fixtures('classifier'), ids=str)
def test_logits_of_a_converted_classifier_are_the_official_ones(fixture, tmp_path):
    path, meta = convert(fixture, tmp_path, '--keep-decoder')
    arch, classes, neck = fixture.spec['arch'], fixture.spec['num_classes'], None
    config = backbone_of_the_run(fixture, meta)
    if fixture.spec['backbone'] == 'vit':
        width = arch['embed_dim']
    else:
        widths = meta['arch']['embed_dims']
        width = widths[-1] if isinstance(widths, list) else widths * 2 ** (len(arch['depths']) - 1)
        neck = dict(type='mim_bench.PooledNorm', in_dims=width)
    head = dict(type='LinearClsHead', num_classes=classes, in_channels=width)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(type='ImageClassifier', backbone=config, neck=neck, head=head))
    model.load_state_dict(state_dict_of(read_checkpoint(path)), strict=True)
    assert_reproduces(model.eval()(fixture.images(), mode='tensor'), fixture.io['logits'])
