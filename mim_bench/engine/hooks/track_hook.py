"""The hook that gives trackers what mmengine's logger keeps in a file only."""

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mim_bench.registry import HOOKS


@HOOKS.register_module()
class TrackHook(Hook):
    """Send the metrics of a test to trackers; those of validations arrive anyway.

    Args:
        names: Names of the visualizer's backends.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def after_test_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Send the metrics of the test."""
        if is_main_process():
            found = {k: float(v) for k, v in (metrics or {}).items() if isinstance(v, int | float)}
            for name in self._names:
                runner.visualizer.get_backend(name).add_scalars(found)
