"""A hook for tests: every process writes down its own losses."""

import json
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class LossHook(Hook):
    """Write ``losses-<rank>.json`` at the end: the loss of each iteration, in full precision."""

    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())

    def after_train(self, runner):
        path = Path(runner.work_dir) / f'losses-{get_rank()}.json'
        path.write_text(json.dumps(self.losses))
