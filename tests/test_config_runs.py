"""Every config trains and evaluates, at an eighth of its width, in its own library."""

import math

import pytest

from mim_bench.engine import launch
from mim_bench.engine.launch import Launch
from mim_bench.recipe.config import load_config
from mim_bench.testing.config_names import PATHS
from mim_bench.testing.demo_runs import plain_config_text
from mim_bench.testing.toy_width import NUM_ITERS, toy_width

FULL_SIZE = [path for path in PATHS if path.parent.name != 'demo']


def _params():
    """All configs; of those with one method or head and one family of backbones, all but one slow.

    Each takes a few seconds, those of HTC++ half a minute; together they would take most of the
    default suite's time.
    """
    seen, params = set(), []
    for path in FULL_SIZE:
        head, backbone = path.stem.split('_')[:2]
        kind = (path.parent.name, head, backbone.rsplit('-', 1)[0])
        is_slow = kind in seen or head.startswith('htc-plus')
        marks = [pytest.mark.slow] if is_slow else []
        seen.add(kind)
        params.append(pytest.param(path, id=path.stem, marks=marks))
    return params


@pytest.mark.parametrize('path', _params())
def test_config_runs_at_toy_width(path, toy_root, tmp_path):
    cfg = toy_width(load_config(path), toy_root)
    child = tmp_path / path.name
    with plain_config_text():
        cfg.dump(child)
        run = Launch(str(child), work_dir=str(tmp_path / 'run'), no_amp=True)
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
