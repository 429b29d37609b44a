"""Networks of timm as rows of a suite, in the columns of our own backbones."""

from inspect import signature

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.files import read_checkpoint
from mim_bench.conversion.timm_weights import cached_weights, untrained
from mim_bench.engine.load_gate import load_backbone
from mim_bench.engine.run_record import make_protocol, protocol_tasks
from mim_bench.errors import CheckpointError, ConfigError
from mim_bench.models.backbones.token_run import check_config
from mim_bench.models.layers.base import Backbone
from mim_bench.profiling.synthetic import SyntheticData
from mim_bench.profiling.training_step import StepSettings, TrainingStep
from mim_bench.recipe.config import load_config
from mim_bench.registry import MODELS as MIM_BENCH_MODELS
from mim_bench.suite.checkpoints import rows_of
from mim_bench.suite.tasks import Network, load_suite

CONFIGS = {
    'probe': 'configs/demo/probe_vit-toy_1xb64_toy-in1k-64px.py',
    'ft': 'configs/demo/finetune_vit-toy_1xb64-coslr-4e_toy-in1k-64px.py',
    'upernet': 'configs/demo/upernet_vit-toy_1xb4-200i_toy-ade20k-128px.py',
    'mask-rcnn': 'configs/demo/mask-rcnn_vit-toy_1xb4-3e_toy-coco-128px.py',
}
FINAL_NORM = 'model.backbone.final_norm'
SMALL = dict(embed_dim=48, depth=4, num_heads=3)


def hashes(cfg):
    return [make_protocol(settings, task, cfg).hash for task, settings in protocol_tasks(cfg)]


@pytest.mark.parametrize('name', ['test_vit', 'test_convnext'])
def test_protocol_is_that_of_our_own_backbones(name, tmp_path):
    path = untrained(name, tmp_path / 'a.pth').path
    for config in CONFIGS.values():
        assert hashes(load_config(config, backbone_of=path)) == hashes(load_config(config))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['test_vit', 'test_convnext', 'test_resnet'])
def test_every_training_of_the_smoke_suite_takes_the_network(name, tmp_path):
    path = untrained(name, tmp_path / 'a.pth').path
    for entry in load_suite('smoke').entries:
        config = entry.config_of(Network(name, 'timm'))
        if entry.command != 'train' or config is None:
            continue
        if 'ade20k-eomt' in entry.tasks and name != 'test_vit':
            with pytest.raises(ConfigError, match='no further tokens'):
                check_config(load_config(f'configs/{config}', backbone_of=path).model)
            continue
        cfg = load_config(f'configs/{config}', backbone_of=path)
        loss = TrainingStep(cfg, StepSettings()).forward(SyntheticData(cfg).batch(2))
        assert torch.isfinite(loss), entry.name


@pytest.mark.parametrize(('task', 'side'), [('ft', 64), ('upernet', 128), ('mask-rcnn', 128)])
def test_one_file_gives_a_task_the_same_maps_by_timm_and_as_our_vit(task, side, tmp_path):
    args = dict(SMALL, img_size=side)
    torch.manual_seed(1)
    net = timm.create_model('vit_tiny_patch16_224', num_classes=0, **args)
    torch.nn.init.normal_(net.norm.weight)  # fresh, it hardly shows
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    arch = {'num_heads': SMALL['num_heads']}
    convert_checkpoint(tmp_path / 'net.pth', tmp_path / 'ours.pth', source='timm', arch=arch)
    untrained('vit_tiny_patch16_224', tmp_path / 'timm.pth', args)
    maps = []
    for name in ('ours', 'timm'):
        cfg = load_config(CONFIGS[task], backbone_of=tmp_path / f'{name}.pth')
        backbone = MODELS.build(dict(cfg.model.backbone, drop_path_rate=0.0)).eval()
        if name == 'ours':
            load_backbone(backbone, tmp_path / 'ours.pth', allow_partial=True)
        else:
            backbone.load_state_dict(net.state_dict(), strict=False)
        with torch.no_grad():
            maps.append(backbone(torch.ones(1, 3, side, side).cumsum(-1) / side))
    torch.testing.assert_close(*maps, rtol=1e-4, atol=1e-4)


TRAINED = ('in1k_finetune', 'ade20k_upernet', 'coco_mask_rcnn', 'coco_htc_plus', 'toy_finetune')


@pytest.mark.parametrize('name', TRAINED)
def test_protocol_that_trains_a_backbone_leaves_out_the_last_norm_of_every_class(name):
    MIM_BENCH_MODELS.import_from_location()
    registered = MIM_BENCH_MODELS.module_dict.values()
    backbones = [one for one in registered if isinstance(one, type) and issubclass(one, Backbone)]
    normed = {
        one.__name__
        for one in backbones
        if (norm := signature(one).parameters.get('final_norm')) is not None and norm.default
    }
    table = Config.fromfile(f'configs/_base_/protocols/{name}.py').protocol.by_backbone
    left_out = {row for row, keys in table.items() if not keys.get(FINAL_NORM, True)}
    assert {'ViT', 'TimmBackbone'} <= normed <= left_out


def test_network_for_one_size_gets_that_of_the_task(tmp_path):
    path = untrained('beit_base_patch16_224', tmp_path / 'a.pth', SMALL).path
    sizes = {}
    for task, config in CONFIGS.items():
        cfg = load_config(config, backbone_of=path)
        sizes[task] = cfg.model.backbone.img_size
        assert hashes(cfg) == hashes(load_config(config))
        network = MODELS.build(dict(cfg.model.backbone))
        assert load_backbone(network, path).share == 1
        with torch.no_grad():
            network(torch.randn(1, 3, sizes[task], 64))
    assert sizes['probe'] == sizes['ft'] == 64
    assert sizes['upernet'] >= 160
    with pytest.raises(ConfigError, match='takes no other size'):
        network(torch.randn(1, 3, 64, 512))


def test_name_without_a_tag_is_a_row_of_untrained_weights(tmp_path):
    suite = load_suite('smoke')
    rows = rows_of(['a=timm:test_vit', 'b=timm:test_convnext'], tmp_path, suite)
    assert [(r.method, r.backbone, r.family, r.labels) for r in rows] == [
        ('random', 'test_vit', 'timm', ()),
        ('random', 'test_convnext', 'timm', ()),
    ]
    assert rows_of(['a=timm:test_vit', 'b=timm:test_convnext'], tmp_path, suite) == rows
    assert all(entry.config_of(rows[0].network) for entry in suite.entries if entry.fit)
    with pytest.raises(ConfigError, match='results of another checkpoint'):
        rows_of(['a=timm:test_convnext'], tmp_path, suite)


def test_file_is_read_by_the_loader_of_timm_if_its_network_is_named(tmp_path):
    torch.manual_seed(1)
    net = timm.create_model('test_vit', num_classes=0)
    torch.save({'model': net.state_dict()}, tmp_path / 'mine.pth')
    words = [f'mine={tmp_path / "mine.pth"}']
    (row,) = rows_of(words, tmp_path / 'out', load_suite('smoke'), timm=['test_vit'])
    assert (row.method, row.backbone) == ('unknown', 'test_vit')
    state = read_checkpoint(row.start)['state_dict']
    assert torch.equal(state['backbone.norm.weight'], net.norm.weight)


def test_weights_of_a_tag_come_from_the_cache_and_are_not_fetched_unasked(tmp_path, monkeypatch):
    name = 'test_vit.r160_in1k'
    monkeypatch.setattr('huggingface_hub.try_to_load_from_cache', lambda *_: None)
    with pytest.raises(CheckpointError, match=r"not in timm's cache.*--download"):
        cached_weights(name)
    stored = tmp_path / 'model.safetensors'
    stored.touch()
    monkeypatch.setattr('huggingface_hub.try_to_load_from_cache', lambda *_: str(stored))
    assert cached_weights(name) == stored
    with pytest.raises(CheckpointError, match='has no weights of that name'):
        cached_weights('test_vit.nonsense')
