"""What decides a probe besides its config: the seed of the run, and how it was fitted."""

import pytest
import torch

from mim_bench.engine import launch
from mim_bench.errors import ConfigError
from mim_bench.recipe.building import build_model
from mim_bench.recipe.config import load_config
from mim_bench.testing.bad_inputs import DEMO

PROBE = str(DEMO / 'probe_vit-toy_1xb64_toy-in1k-64px.py')


@pytest.mark.parametrize('asked', [None, 5])
def test_test_of_a_model_states_the_seed_of_its_training(asked, tmp_path):
    path, config = tmp_path / 'epoch_1.pth', next(DEMO.glob('finetune_vit-toy_*'))
    torch.save({'state_dict': {}, 'meta': {'seed': 5}}, path)
    cfg = launch.resolve(launch.Launch(config=str(config), load_from=str(path), seed=asked))
    assert cfg.randomness.seed == 5
    with pytest.raises(ConfigError, match=r'--seed 0: .* was made with the seed 5'):
        launch.resolve(launch.Launch(config=str(config), load_from=str(path), seed=0))


@pytest.fixture(scope='module')
def probed(toy_root, tmp_path_factory):
    """Tests the same weights; by default the probes of the seeds 0 and 1 are there."""
    folder = tmp_path_factory.mktemp('probed')
    weights = folder / 'weights.pth'
    torch.manual_seed(0)
    torch.save({'state_dict': build_model(load_config(PROBE)).state_dict()}, weights)

    def run(name, seed, options=(), data='imagenet', **changed):
        options = {'log_level': 'ERROR', **dict(options)}
        return launch.test(
            launch.Launch(
                config=PROBE,
                checkpoint=str(weights),
                seed=seed,
                work_dir=str(folder / name),
                data_root=str(toy_root / data),
                options=options,
                **changed,
            )
        )

    run.folder = folder
    run.scores = [run(f's{seed}', seed) for seed in (0, 1)]
    return run


def test_seed_of_the_run_decides_what_a_probe_holds_out(probed):
    one, other = probed.scores
    assert one['knn/top1'] == other['knn/top1']
    held_out = [key for key in one if key.startswith('linear/holdout')]
    assert [one[key] for key in held_out] != [other[key] for key in held_out]


@pytest.mark.parametrize(
    ('seed', 'options', 'told'),
    [
        (0, {'test_cfg.probes.knn.k': 3}, r'test_cfg\.probes\.knn\.k: 20 there, 3 here'),
        (0, {'test_cfg.fp16': 'bf16'}, r'test_cfg\.fp16: false there, "bf16" here'),
        (1, {}, r'--seed 1: .*s0 was made with the seed 0'),
    ],
)
def test_fitted_probes_are_not_tested_as_others(probed, seed, options, told):
    fitted = {'load_from': str(probed.folder / 's0'), 'variant': 'imagenet-r'}
    with pytest.raises(ConfigError, match=told):
        probed('refused', seed, options, data='imagenet-r', **fitted)
