"""Every config trains and evaluates, at an eighth of its width, in its own library."""

import math

import pytest

from mim_bench.engine import launch
from mim_bench.engine.launch import Launch
from mim_bench.recipe.config import load_config
from mim_bench.testing.config_names import PATHS, parse
from mim_bench.testing.toy_width import NUM_ITERS, toy_width

FULL_SIZE = [path for path in PATHS if path.parent.name != 'demo']
# So that the default suite has every family of backbones in every library.
PREFERRED = (
    'conmim_vit-base_32xb64-amp-coslr-300e',
    'finetune_ummae-pvt-small_8xb128-amp-common',
    'simmim_swin-tiny',
    'ummae_pvt-small',
    'mask-rcnn_vit-base_8xb2-amp-common',
    'linear_ummae-swin-tiny',
    'upernet_beit-vit-base_8xb2-amp-common',
)
# Their parts run in other tests of the default suite: the cascade in HTC, BEiT's updates in
# parity/test_recipes.py, probes in the suite of cli/, their other loops and heads, and those of
# segmentation, in the rest here.
ELSEWHERE = ('cascade-mask-rcnn', 'htc-plus', 'beit', 'probe', 'best-layer', 'logreg', 'linear-ft')
SIZES = ('tiny', 'small', 'base', 'large', 'huge')


def cases():
    """All configs; but for the first of a method or head in a folder, most are slow."""

    def rank(path):
        return not path.stem.startswith(PREFERRED), SIZES.index(parse(path)['size']), path

    kinds = {}
    for path in sorted(FULL_SIZE, key=rank):
        kinds.setdefault((path.parent, parse(path)['head'].removesuffix('-no-stuff')), path)
    chosen = [path for path in kinds.values() if parse(path)['head'] not in ELSEWHERE]
    for path in FULL_SIZE:
        marks = () if path in chosen else pytest.mark.slow
        yield pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize('path', cases())
def test_config_runs_at_toy_width(path, toy_root, tmp_path):
    cfg = toy_width(load_config(path), toy_root)
    child = tmp_path / path.name
    cfg.dump(child)
    run = Launch(str(child), work_dir=str(tmp_path / 'run'), precision='fp32')
    if cfg.get('train_cfg') is None:
        metrics = launch.test(run)
    else:
        runner = launch.train(run)
        assert runner.iter >= NUM_ITERS
        scalars = runner.message_hub.log_scalars
        assert math.isfinite(scalars['train/loss'].current())
        metrics = {k: v.current() for k, v in scalars.items() if k.startswith('val/')}
    is_pretraining = 'pretraining' in cfg
    assert bool(metrics) != is_pretraining
    assert all(math.isfinite(value) for value in metrics.values())
