"""A hook for tests: the run ends as if the machine had lost its power."""

import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class KillHook(Hook):
    """Kill this process by SIGKILL, at a place in the run.

    Args:
        iteration: Before the training iteration of this number, counted from 0.
        validation: Before the validation of this number, counted from 0.
    """

    def __init__(self, iteration=None, validation=None):
        self.iteration = iteration
        self.validation = validation

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        # In the middle of it, after its first batch.
        if self.validation == 0 and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.validation and batch_idx == 0:
            self.validation -= 1
