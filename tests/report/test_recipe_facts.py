import pytest

from mim_bench.recipe.config import load_config
from mim_bench.report.published import differing_facts
from mim_bench.report.recipe_facts import facts_of_settings
from mim_bench.results.published import load_published, network_family
from mim_bench.suite.config_index import CONFIGS, index_configs

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
