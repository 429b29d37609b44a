"""The loop that evaluates frozen features; registered in LOOPS."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner, TestLoop
from torch.utils.data import DataLoader

from mim_bench.errors import ConfigError
from mim_bench.evaluation.outcomes import image_paths, names_of_samples
from mim_bench.evaluation.probes.dispatch import check_probe, run_probe
from mim_bench.evaluation.probes.extraction import check_arithmetic, extract_features
from mim_bench.evaluation.probes.feature_cache import cached_features
from mim_bench.evaluation.probes.feature_settings import feature_settings
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.together import on_main_process, shared_temporary_folder
from mim_bench.registry import LOOPS
from mim_bench.results.outcomes import Hits, number_images

LOG_EVERY = 50


@LOOPS.register_module()
class ProbeTestLoop(TestLoop):
    """Test a backbone by probes on its frozen features.

    The features of both data sets are extracted once and serve every probe. They are kept as
    memory-mapped files, so that another test of the same weights on the same data reads them
    (:func:`mim_bench.evaluation.probes.feature_settings.feature_settings` says what counts as the
    same). The metrics are named ``<probe>/<score>``; accuracies are in percent. The validation data
    (``test_dataloader``) are only scored: nothing is selected on them. ``outcomes`` are those of
    all probes on each of them.

    Args:
        runner: The runner.
        dataloader: Loader of the validation images; without shuffling.
        evaluator: Must be empty; the probes are the metrics.
        bank_dataloader: Loader of the labelled training images with test-time transforms;
            without shuffling.
        probes: Settings by probe: ``knn`` (k, temperature) and ``linear`` (learning_rates,
            epochs, batch_size, holdout_share, seed).
        pooling: ``'gap'`` or ``'cls'``, see :func:`mim_bench.evaluation.probes.pooling.pool`.
        fp16: How features are computed, one of
            :data:`mim_bench.evaluation.probes.extraction.ARITHMETICS`; part of the protocol.
        cache_dir: Where features are kept, counted from the work directory; all processes must
            see it, and several runs may share it. None keeps them for the time of the test.
        feature_dtype: Of the files, ``'float32'`` or ``'float16'``.

    Raises:
        ConfigError: A probe or a setting is unknown, or an evaluator is given.
    """

    outcomes: Hits | None = None

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        *,
        bank_dataloader: DataLoader | dict,
        probes: Mapping[str, Mapping[str, Any]],
        pooling: str,
        fp16: bool | str = False,
        cache_dir: str | None = 'features',
        feature_dtype: str = 'float32',
    ) -> None:
        self._settings = [d if isinstance(d, dict) else None for d in (bank_dataloader, dataloader)]
        check_arithmetic(fp16)
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
        self.cache_dir = cache_dir
        self.feature_dtype = feature_dtype

    def run(self) -> dict[str, float]:
        """Extract, probe, report.

        Returns:
            The metrics, the same on every process.
        """
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        with ExitStack() as stack:
            metrics = self._probe(stack)
        self._warn_about_rate(metrics)
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics

    def _probe(self, stack: ExitStack) -> dict[str, float]:
        """Scores by name; temporary files live as long as the stack."""
        bank = self._features(self.bank_dataloader, self._settings[0], 'training', stack)
        query = self._features(self.dataloader, self._settings[1], 'validation', stack)
        device = next(self.runner.model.parameters()).device
        metrics, hits = {}, {}
        for name, settings in self.probes.items():
            result = run_probe(name, bank, query, device=device, settings=settings)
            metrics.update({f'{name}/{key}': value for key, value in result.scores.items()})
            hits.update({f'{name}_{key}': right.numpy() for key, right in result.hits.items()})
        self.outcomes = self._outcomes(hits)
        return metrics

    def _outcomes(self, hits: Mapping[str, np.ndarray]) -> Hits:
        """Those of a record, where a metric is called ``<probe>_<score>``."""
        images, numbers = number_images(names_of_samples(image_paths(self.dataloader.dataset)))
        order = numbers.argsort()
        return Hits(images, {name: right[order] for name, right in hits.items()})

    def _features(
        self, dataloader: DataLoader, settings: dict | None, what: str, stack: ExitStack
    ) -> Features:
        model, work_dir = self.runner.model, Path(self.runner.work_dir)
        how = {'pooling': self.pooling, 'fp16': self.fp16, 'dtype': self.feature_dtype}

        def extract(folder: Path) -> Features:
            return extract_features(model, dataloader, folder, on_batch=self._progress(what), **how)

        # A loader that was given ready-made does not say what it reads.
        if self.cache_dir is None or settings is None:
            return extract(stack.enter_context(shared_temporary_folder(work_dir)))
        key = on_main_process(
            lambda: feature_settings(self.runner.cfg, model, settings, dataloader.dataset, **how)
        )
        return cached_features(work_dir / Path(self.cache_dir).expanduser(), key, extract)

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
