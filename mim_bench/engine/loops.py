"""The loop that evaluates frozen features; registered in LOOPS."""

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.runner import Runner, TestLoop
from torch.utils.data import DataLoader

from mim_bench.engine.probes.dispatch import check_probe, run_probe
from mim_bench.engine.probes.features import extract_features
from mim_bench.errors import ConfigError
from mim_bench.registry import LOOPS

LOG_EVERY = 50


@LOOPS.register_module()
class ProbeTestLoop(TestLoop):
    """Test a backbone by probes on its frozen features.

    The features of both data sets are extracted once and serve every probe. The metrics are
    named ``<probe>/<score>``; accuracies are in percent. The validation data
    (``test_dataloader``) are only scored: nothing is selected on them.

    Args:
        runner: The runner.
        dataloader: Loader of the validation images; without shuffling.
        evaluator: Must be empty; the probes are the metrics.
        bank_dataloader: Loader of the labelled training images with test-time transforms;
            without shuffling.
        probes: Settings by probe: ``knn`` (k, temperature) and ``linear`` (learning_rates,
            epochs, batch_size, holdout_share, seed).
        pooling: ``'gap'`` or ``'cls'``, see :func:`mim_bench.engine.probes.pooling.pool`.
        fp16: Extract features under autocast.

    Raises:
        ConfigError: A probe or a setting is unknown, or an evaluator is given.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        *,
        bank_dataloader: DataLoader | dict,
        probes: Mapping[str, Mapping[str, Any]],
        pooling: str,
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16=fp16)
        if self.evaluator.metrics:
            raise ConfigError(
                'ProbeTestLoop measures with its probes and would ignore test_evaluator. '
                'Set test_evaluator=[].'
            )
        if not probes:
            raise ConfigError('ProbeTestLoop has no probes. Give it knn, linear or both.')
        for name, settings in probes.items():
            check_probe(name, settings)
        if isinstance(bank_dataloader, dict):
            bank_dataloader = runner.build_dataloader(bank_dataloader, seed=runner.seed)
        self.bank_dataloader = bank_dataloader
        self.probes = probes
        self.pooling = pooling

    def run(self) -> dict[str, float]:
        """Extract, probe, report.

        Returns:
            The metrics, the same on every process.
        """
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        bank = self._extract(self.bank_dataloader, 'training')
        query = self._extract(self.dataloader, 'validation')
        device = next(self.runner.model.parameters()).device
        metrics = {}
        for name, settings in self.probes.items():
            scores = run_probe(name, bank, query, device=device, settings=settings)
            metrics.update({f'{name}/{score}': value for score, value in scores.items()})
        self._warn_about_rate(metrics)
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics

    def _extract(self, dataloader: DataLoader, what: str) -> Any:
        return extract_features(
            self.runner.model,
            dataloader,
            pooling=self.pooling,
            fp16=self.fp16,
            on_batch=self._progress(what),
        )

    def _progress(self, what: str) -> Callable[[int, int], None]:
        def log(done: int, total: int) -> None:
            if done % LOG_EVERY == 0 or done == total:
                self.runner.logger.info(f'Features of the {what} data [{done}/{total}]')

        return log

    def _warn_about_rate(self, metrics: Mapping[str, float]) -> None:
        """A rate at the end of the range may not be the best there is."""
        prefix = 'linear/holdout_top1_lr'
        tried = [float(name.removeprefix(prefix)) for name in metrics if name.startswith(prefix)]
        if len(tried) > 1 and metrics['linear/lr'] in (min(tried), max(tried)):
            self.runner.logger.warning(
                f'Linear probe: the selected learning rate {metrics["linear/lr"]:g} is the '
                f'{"smallest" if metrics["linear/lr"] == min(tried) else "largest"} that was '
                'tried. Widen learning_rates.'
            )
