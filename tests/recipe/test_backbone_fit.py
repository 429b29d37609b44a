"""The toy configs take the architecture of any checkpoint of their family."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.engine.launch import Launch, resolve
from mim_bench.engine.load_gate import load_backbone
from mim_bench.errors import ConfigError
from mim_bench.recipe.backbone_fit import _taps, fit_backbone
from mim_bench.recipe.building import build_model
from mim_bench.recipe.config import load_config
from mim_bench.suite.checkpoints import rows_of
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.suite.tasks import load_suite

# Sizes that no toy config has.
OTHERS = {
    'vit-toy': dict(
        type='mim_bench.ViT',
        arch=dict(embed_dims=32, num_layers=6, num_heads=1, feedforward_channels=64),
        img_size=32,
        patch_size=4,
        rel_pos_bias='per_block',
        abs_pos='none',
        qkv_bias='qv',
        layer_scale=0.1,
        final_norm=False,
    ),
    'swin-toy': dict(
        type='mim_bench.Swin',
        arch=dict(embed_dims=16, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2)),
        window_size=2,
    ),
    'ummae-swin-toy': dict(
        type='mim_bench.UMMAESwin',
        arch=dict(embed_dims=16, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2), posmlp_dims=8),
    ),
    'ummae-pvt-toy': dict(
        type='mim_bench.UMMAEPvt',
        arch=dict(
            embed_dims=(16, 24, 32, 40),
            depths=(1, 1, 1, 1),
            num_heads=(1, 1, 1, 1),
            mlp_ratios=(2, 2, 2, 2),
        ),
        img_size=32,
    ),
}
DENSE = ('upernet', 'mask-rcnn')
HEADS = ('probe', 'finetune', *DENSE)


@pytest.fixture
def checkpoint(tmp_path):
    def write(backbone):
        network = MODELS.build(OTHERS[backbone].copy())
        state = {f'backbone.{k}': v for k, v in network.state_dict().items()}
        torch.save({'state_dict': state}, tmp_path / 'run.pth')
        return convert_checkpoint(tmp_path / 'run.pth', tmp_path / 'given.pth').path

    return write


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('backbone', OTHERS)
def test_fit_backbone_config_builds_loads_whole_and_runs(checkpoint, backbone, head):
    cfg = load_config(find_config(configs_folder(), f'{head}_{backbone}_'))
    own_strides = strides(cfg) if head in DENSE else None
    path = checkpoint(backbone)
    fit_backbone(cfg, path)
    model = build_model(cfg).eval()
    report = load_backbone(model.backbone, path)
    assert report.share >= (0.99 if head == 'finetune' else 0.97)
    if head in DENSE:
        assert strides(cfg) == own_strides == [4, 8, 16]


def strides(cfg):
    """Pixels of the image that an entry of each map after the neck stands for."""
    neck = cfg.model.get('neck')
    neck = [part for part in (neck if isinstance(neck, list) else [neck]) if part]
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        network = [MODELS.build(cfg.model.backbone), *(MODELS.build(part) for part in neck)]
    maps = torch.rand(2, 3, 64, 64)
    for part in network:
        part.eval()
        maps = part(maps)
    return [64 / each.shape[-1] for each in maps[:3]]


def test_fit_backbone_of_another_family_raises(checkpoint):
    cfg = load_config(find_config(configs_folder(), 'finetune_swin-toy_'))
    with pytest.raises(ConfigError, match=r'is for mim_bench\.Swin, but .* holds a mim_bench\.ViT'):
        fit_backbone(cfg, checkpoint('vit-toy'))


def test_fit_backbone_of_a_named_architecture_raises(checkpoint):
    cfg = load_config(configs_folder() / 'classification' / 'probe_swin-tiny_8xb64_in1k-256px.py')
    with pytest.raises(ConfigError, match=r"names its architecture \('tiny'\)"):
        fit_backbone(cfg, checkpoint('swin-toy'))


def test_fit_backbone_without_checkpoint_raises():
    config = str(find_config(configs_folder(), 'finetune_swin-toy_'))
    with pytest.raises(ConfigError, match='--fit-backbone takes the sizes of --checkpoint'):
        resolve(Launch(config, fit_backbone=True))


@pytest.mark.parametrize(
    ('depth', 'taps'), [(12, (5, 8, 11)), (4, (1, 2, 3)), (3, (0, 1, 2)), (24, (11, 17, 23))]
)
def test_taps_keep_their_share_of_the_depth(depth, taps):
    old = dict(arch=dict(num_layers=4), out_indices=(1, 2, 3))
    assert _taps(old, depth) == {'out_indices': taps}


def test_taps_of_too_shallow_a_network_raise():
    with pytest.raises(ConfigError, match='2 blocks, too few for the 3 outputs'):
        _taps(dict(arch=dict(num_layers=4), out_indices=(1, 2, 3)), 2)


@pytest.mark.parametrize('backbone', OTHERS)
def test_rows_of_a_checkpoint_names_method_and_family(checkpoint, tmp_path, backbone):
    suite = load_suite('smoke')
    (row,) = rows_of([str(checkpoint(backbone))], tmp_path / 'out', suite)
    assert (row.fitted, row.id) == (backbone, 'given')
    assert row.start.is_file()
    assert set(suite.families.values()) == set(OTHERS)
