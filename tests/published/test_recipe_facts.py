import pytest

from mim_bench.published.numbers import load_published, network_family
from mim_bench.published.recipe_facts import differing_facts, facts_of_settings
from mim_bench.recipe.config import load_config
from mim_bench.suite.config_index import CONFIGS, index_configs
from mim_bench.testing.records import make_published

NAMED = {
    (result.task, result.protocol.ours, network_family(result.backbone))
    for result in load_published()
    if result.protocol.ours is not None
}
PATHS = {
    entry.path: (entry.task, entry.protocol, network_family(entry.backbone))
    for entry in index_configs()
    if (entry.task, entry.protocol, network_family(entry.backbone)) in NAMED
}


@pytest.mark.parametrize('path', PATHS)
def test_recipe_of_ours_equals_what_the_source_states(path):
    task, name, family = PATHS[path]
    facts = facts_of_settings(load_config(CONFIGS.parent / path).to_dict())
    for result in load_published():
        protocol = result.protocol
        if (result.task, protocol.ours) != (task, name):
            continue
        if network_family(result.backbone) == family:
            assert list(differing_facts(facts, protocol)) == [], result.label


SETTINGS = {
    'train_cfg': {'max_epochs': 100},
    'effective_batch_size': 1024,
    'optim_wrapper': {
        'optimizer': {'lr': 2e-3, 'weight_decay': 0.05},
        'paramwise_cfg': {'layer_decay_rate': 0.65},
    },
    'model': {'backbone': {'drop_path_rate': 0.1}},
    'train_dataloader': {
        'dataset': {'pipeline': [{'type': 'Load'}, {'type': 'RandomResizedCrop', 'scale': 224}]}
    },
}
# What FINETUNE.md of MAE states: 5e-4 for 256 images.
STATED = {
    'batch': 1024, 'blr': 5e-4, 'layer_decay': 0.65, 'weight_decay': 0.05, 'drop_path': 0.1,
}  # fmt: skip


def test_differing_facts_of_the_same_recipe_are_none():
    facts = facts_of_settings(SETTINGS)
    assert list(differing_facts(facts, make_published(protocol=STATED).protocol)) == []


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'epochs': 50}, 'epochs 100 here, 50 there'),
        ({'resolution': 384}, 'px 224 here, 384 there'),
        ({'batch': 2048, 'blr': 2.5e-4}, 'batch 1,024 here, 2,048 there'),
        ({'blr': 1e-3}, 'learning rate 0.002 here, 0.004 there'),
        ({'layer_decay': 0.75}, 'layer decay 0.65 here, 0.75 there'),
        ({'weight_decay': 0.3}, 'weight decay 0.05 here, 0.3 there'),
        ({'drop_path': 0.2}, 'drop path 0.1 here, 0.2 there'),
    ],
    ids=str,
)
def test_differing_facts_name_each_one(change, reason):
    protocol = make_published(protocol=STATED | change).protocol
    assert list(differing_facts(facts_of_settings(SETTINGS), protocol)) == [reason]


def test_facts_of_a_pipeline_are_those_of_its_square_crop():
    pipeline = [
        {'type': 'RandomChoiceResize', 'scales': [480, 800]},
        {'type': 'RandomCrop', 'crop_size': [384, 600]},
        {'type': 'mim_bench.RandomCrop', 'crop_size': (512, 512)},
    ]
    settings = {'train_dataloader': {'dataset': {'dataset': {'pipeline': pipeline}}}}
    assert facts_of_settings(settings) == {'resolution': 512}


def test_facts_of_settings_without_a_training_are_none():
    assert facts_of_settings({'test_cfg': {}, 'train_cfg': None}) == {}
