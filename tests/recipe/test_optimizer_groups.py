"""What --print-groups shows: rate, weight decay and size of each layer."""

from pathlib import Path

import pytest
import torch

from mim_bench.cli.main import main
from mim_bench.recipe.building import build_model
from mim_bench.recipe.config import load_config
from mim_bench.recipe.optimizer_groups import layer_groups

CONFIG = (
    Path(__file__).parents[2] / 'configs/demo/finetune_swin-toy_1xb64-coslr-4e_toy-in1k-64px.py'
)


@pytest.fixture(scope='module')
def cfg():
    return load_config(str(CONFIG))


def test_layer_groups_hold_every_parameter_once(cfg):
    model = build_model(cfg)
    groups = layer_groups(model, cfg.optim_wrapper)
    assert sorted(name for group in groups for name in group.names) == sorted(
        name for name, _ in model.named_parameters()
    )
    assert sum(group.num_parameters for group in groups) == sum(
        p.numel() for p in model.parameters()
    )
    # Patches, four blocks, the head; with and without weight decay.
    assert [(group.layer, group.weight_decay) for group in groups] == [
        (layer, decay) for layer in range(6) for decay in (0.05, 0.0)
    ]
    assert [group.lr_scale for group in groups[::2]] == pytest.approx(
        [0.85**k for k in (5, 4, 3, 2, 1, 0)]
    )
    full_rate = cfg.optim_wrapper.optimizer.lr
    assert [group.lr for group in groups] == pytest.approx([full_rate * g.lr_scale for g in groups])


@pytest.mark.parametrize('paramwise_cfg', [None, dict(norm_decay_mult=0.0)])
def test_layer_groups_of_another_constructor_are_shown_by_layer_too(cfg, paramwise_cfg):
    model = build_model(cfg)
    model.backbone.patch_embed.requires_grad_(False)
    wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1), paramwise_cfg=paramwise_cfg
    )
    if paramwise_cfg:
        wrapper['optimizer']['weight_decay'] = 0.5
    groups = layer_groups(model, wrapper)
    assert {group.layer for group in groups} == {1, 2, 3, 4, 5}
    assert {group.lr for group in groups} == {0.1}
    assert {group.weight_decay for group in groups} == ({0.0, 0.5} if paramwise_cfg else {0.0})


def test_layer_groups_of_a_backbone_without_numbers_have_none():
    model = torch.nn.ModuleDict({'backbone': torch.nn.Linear(2, 3)})
    (group,) = layer_groups(model, dict(optimizer=dict(type='SGD', lr=0.1)))
    assert (group.layer, group.num_parameters) == (None, 9)


def test_print_groups_shows_the_table_and_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('COLUMNS', '200')
    assert main(['train', str(CONFIG), '--print-groups']) == 0
    printed = capsys.readouterr().out
    assert '504,677 parameters' in printed
    first = next(line for line in printed.splitlines() if 'patch_embed.projection.weight' in line)
    # 0.85 ** 5 of 2e-3, which is 8e-3 for 256 images at a batch of 64.
    assert [cell.strip() for cell in first.split('│')[1:6]] == [
        '0', '0.000887', '0.4437', '0.05', '1,536'
    ]  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_print_groups_of_a_config_without_optimizer_is_one_message(capsys):
    probe = CONFIG.with_name('probe_swin-toy_1xb64_toy-in1k-64px.py')
    assert main(['train', str(probe), '--print-groups']) == 1
    assert 'has no optim_wrapper' in capsys.readouterr().err
