"""No hook of a recipe grows faster than its batch, or takes long."""

import sys

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mim_bench.profiling.hook_time import hook_times
from mim_bench.recipe.config import load_config

RECIPES = [
    'pretrain/ummae/ummae_swin-tiny_8xb128-accum4-amp-coslr-200e_in1k-256px.py',
    'classification/finetune_vit-large_8xb128-amp-mae-50e_in1k-224px.py',
    'segmentation/upernet/upernet_vit-base_8xb2-amp-mae-160k_ade20k-512px.py',
    'detection/mask_rcnn/mask-rcnn_vit-base_8xb2-amp-common-25e_coco-1024px.py',
]


class CountedCalls:
    """A clock that counts function calls, of C too: the same on any machine, busy or idle."""

    def __enter__(self):
        self.calls = 0
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def _count(self, frame, event, argument):
        self.calls += event in ('call', 'c_call')

    def __call__(self):
        return self.calls


def calls(cfg, batch_size):
    with CountedCalls() as clock:
        return hook_times(cfg, batch_size, iterations=2, clock=clock)


@HOOKS.register_module(force=True)
class QuadraticHook(Hook):
    """Looks at all samples for every sample."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for _ in data_batch['data_samples']:
            [len(sample.keys()) for sample in data_batch['data_samples']]


def growing(cfg):
    """Hooks that make more than 4.5 times the calls on a batch that is 4 times as large."""
    few, many = calls(cfg, 32), calls(cfg, 128)
    assert {'CheckpointHook', 'HeartbeatHook'} <= set(few)
    return {name: (few[name], many[name]) for name in few if many[name] > 4.5 * few[name] + 50}


def test_quadratic_hook_in_a_recipe_is_found():
    cfg = load_config(f'configs/{RECIPES[1]}')
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='QuadraticHook')]
    assert set(growing(cfg)) == {'QuadraticHook'}


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda path: path.split('/')[0])
def test_no_hook_grows_faster_than_the_batch(recipe):
    cfg = load_config(f'configs/{recipe}')
    assert {'LabelRangeHook', 'FiniteLossHook', 'CostLedgerHook'} <= {
        hook['type'].removeprefix('mim_bench.') for hook in cfg.custom_hooks
    }
    assert not growing(cfg)
