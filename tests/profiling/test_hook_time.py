"""No hook of a recipe grows faster than its batch, or takes long."""

import sys

import pytest
from mmengine.config import Config
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
        times = hook_times(cfg, batch_size, iterations=2, clock=clock)
    return {time.hook: time.seconds for time in times}


@HOOKS.register_module(force=True)
class QuadraticHook(Hook):
    """Looks at all samples for every sample."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for _ in data_batch['data_samples']:
            [len(sample.keys()) for sample in data_batch['data_samples']]


def test_quadratic_hook_is_seen():
    cfg = Config(dict(train_cfg=dict(max_epochs=1), custom_hooks=[dict(type='QuadraticHook')]))
    few, many = (calls(cfg, n)['QuadraticHook'] for n in (16, 64))
    assert many > 12 * few


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda path: path.split('/')[0])
def test_no_hook_grows_faster_than_the_batch(recipe):
    cfg = load_config(f'configs/{recipe}')
    few, many = calls(cfg, 32), calls(cfg, 128)
    assert {'LabelRangeHook', 'FiniteLossHook', 'CostLedgerHook', 'CheckpointHook'} <= set(few)
    faster = {name: (few[name], many[name]) for name in few if many[name] > 4.5 * few[name] + 50}
    assert not faster
