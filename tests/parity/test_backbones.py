"""Checkpoints that users bring: the features of the official code, or a refusal; never others."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS

from mim_bench.conversion.backbone_config import backbone_config
from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.engine.load_gate import load_backbone
from mim_bench.errors import MimBenchError
from mim_bench.testing.parity import Fixture, assert_reproduces, fixture_folder, skipped

ENVIRONMENT_VARIABLE = 'MIM_BENCH_BACKBONES_DIR'
# The names of the formats here, where they are others.
SOURCES = {'beit2': 'beitv2', 'hf_siglip': 'siglip', 'timm': 'auto'}


def found() -> list:
    root = fixture_folder(ENVIRONMENT_VARIABLE, 'backbones')
    specs = sorted(root.glob('*/spec.json'))
    fixtures = [Fixture(path.parent, json.loads(path.read_text())) for path in specs]
    return fixtures or skipped(f'{root} holds no fixture; see {ENVIRONMENT_VARIABLE}')


def source_of(spec: dict) -> str:
    name = SOURCES.get(spec['source'], spec['source'])
    return 'huggingface' if name.startswith('hf_') else name


def convert(fixture: Fixture, folder: Path) -> tuple[Path, dict]:
    """The canonical file, and what it says of itself."""
    spec, path = fixture.spec, folder / 'canonical.pth'
    heads = spec['arch'].get('num_heads', spec['arch'].get('num_attention_heads'))
    meta = convert_checkpoint(fixture.checkpoint, path, source=source_of(spec)).meta
    if 'num_heads' in meta['assumed']:
        options = dict(source=source_of(spec), arch={'num_heads': heads})
        meta = convert_checkpoint(fixture.checkpoint, path, **options).meta
    assert meta['backbone_type']
    assert 'num_heads' not in meta['assumed']
    return path, read_checkpoint(path)['meta']


def outputs(fixture: Fixture, path: Path, meta: dict) -> dict[str, dict[str, torch.Tensor]]:
    """What the network gives that the file fills: suffix of a size, name in the fixture, values."""
    depth = MODELS.build(backbone_config(meta)).num_outputs
    is_pyramid = any(key.startswith('stage') for key in fixture.io)
    settings = {} if is_pyramid else {'out_type': 'raw'}
    settings['out_indices'] = list(range(depth))
    given = {suffix: {} for suffix in ('', '_wide', '_big') if f'image{suffix}' in fixture.io}
    for final_norm in (False, True):
        config = backbone_config(meta, final_norm=final_norm, **settings)
        network = MODELS.build(json.loads(json.dumps(config))).eval()
        report = load_backbone(network, path, allow_partial=not final_norm)
        assert report.missing == []
        for suffix, named in given.items():
            with torch.no_grad():
                maps = network(torch.from_numpy(fixture.io[f'image{suffix}']).float())
            if final_norm:
                last = maps[-1].permute(0, 2, 3, 1) if is_pyramid else maps[-1]
                named[f'norm{suffix}'] = last
            else:
                name = 'stage' if is_pyramid else 'block'
                named |= {f'{name}{i}{suffix}': x for i, x in enumerate(maps)}
    return given


@pytest.mark.parametrize('fixture', found(), ids=str)
def test_features_are_the_official_ones_at_every_size(fixture, tmp_path):
    if fixture.spec['kind'] == 'refuse':
        try:
            convert(fixture, tmp_path)
        except MimBenchError:
            return
    path, meta = convert(fixture, tmp_path)
    for named in outputs(fixture, path, meta).values():
        compared = [name for name in named if name in fixture.io]
        assert compared
        for name in compared:
            assert tuple(named[name].shape) == fixture.io[name].shape
            assert_reproduces(named[name], fixture.io[name])
