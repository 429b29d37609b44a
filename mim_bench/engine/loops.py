"""The loops that evaluate frozen features; registered in LOOPS."""

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner, TestLoop
from torch.utils.data import DataLoader

from mim_bench.data.summary import known_classes
from mim_bench.engine.hooks.heartbeat_hook import HeartbeatHook
from mim_bench.errors import ConfigError
from mim_bench.evaluation.outcomes import image_paths, names_of_samples
from mim_bench.evaluation.probes.dispatch import (
    PROBE_FUNCTIONS,
    PROBES,
    SWEEPS,
    check_probe,
    run_on_best_layer,
    run_probe,
)
from mim_bench.evaluation.probes.extraction import (
    backbone_of,
    check_arithmetic,
    check_loader,
    extract_features,
    features_of_batches,
)
from mim_bench.evaluation.probes.feature_cache import cached_features
from mim_bench.evaluation.probes.feature_settings import feature_settings, weights_digest
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.fitted import FittedProbes, class_scores
from mim_bench.evaluation.probes.patch_classifiers import (
    CLASSIFIERS,
    check_classifier,
    fit_patches,
)
from mim_bench.evaluation.probes.patches import PatchBank, extract_patches
from mim_bench.evaluation.probes.together import on_main_process, shared_temporary_folder
from mim_bench.files.hashing import protocol_hash
from mim_bench.recipe.protocol import plain_settings
from mim_bench.recipe.tta import unwrap
from mim_bench.registry import LOOPS
from mim_bench.results.outcomes import Hits, number_images
from mim_bench.results.protocol_file import setting_differences

LOG_EVERY = 50
# Images that are compared with the bank of k-NN at a time.
_BLOCK_ROWS = 4096
Kept = TypeVar('Kept', Features, PatchBank)


class _FeatureLoop(TestLoop):
    """What the loops of frozen features share: the hooks around a test, and kept features."""

    kind: type[Features | PatchBank]
    cache_dir: str | None

    def run(self) -> dict[str, float]:
        """Measure and report; the metrics are the same on every process."""
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        metrics = self._test()
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics

    def _test(self) -> dict[str, float]:
        raise NotImplementedError

    def _kept(
        self,
        dataloader: DataLoader,
        settings: dict | None,
        how: Mapping[str, Any],
        extract: Callable[[Path], Kept],
        stack: ExitStack,
    ) -> Kept:
        """Features from the cache, or extracted; without a cache they live as long as the stack."""
        runner, work_dir = self.runner, Path(self.runner.work_dir)
        # A loader that was given ready-made does not say what it reads.
        if self.cache_dir is None or settings is None:
            return extract(stack.enter_context(shared_temporary_folder(work_dir)))
        dataset = dataloader.dataset
        key = on_main_process(
            lambda: feature_settings(runner.cfg, runner.model, settings, dataset, **how)
        )
        folder = work_dir / Path(self.cache_dir).expanduser()
        return cached_features(folder, key, extract, self.kind.open)

    def _progress(self, what: str) -> Callable[[int, int], None]:
        """A function that logs, and puts into the heartbeat, how many features there are."""
        beats = [hook for hook in self.runner.hooks if isinstance(hook, HeartbeatHook)]

        def log(done: int, total: int) -> None:
            for hook in beats:
                hook.beat(self.runner, f'features of {what}', done, total)
            if done % LOG_EVERY == 0 or done == total:
                self.runner.logger.info(f'Features of the {what} data [{done}/{total}]')

        return log


class _ProbeLoop(_FeatureLoop):
    """What the loops of probes of images share: how features are computed."""

    kind = Features
    outcomes: Hits | None = None

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        *,
        probes: Mapping[str, Mapping[str, Any]],
        pooling: str,
        fp16: bool | str = False,
        feature_dtype: str = 'float32',
        layers: str = 'last',
    ) -> None:
        if layers not in ('last', 'best'):
            raise ConfigError(f"{type(self).__name__}: layers={layers!r}. Known: 'last', 'best'.")
        check_arithmetic(fp16)
        super().__init__(runner, dataloader, evaluator, fp16=fp16)
        self.probes, self.pooling, self.layers = probes, pooling, layers
        self.feature_dtype = feature_dtype

    def _fit_settings(self) -> dict[str, Any]:
        """What, besides weights and images, decides the probes that are fitted: plain data."""
        cfg = self.runner.cfg
        backbone = cfg.model.get('backbone') or {}
        backbone = {k: v for k, v in backbone.items() if k != 'init_cfg'}
        how = {
            'test_cfg': {
                'probes': self.probes,
                'pooling': self.pooling,
                'fp16': self.fp16,
                'feature_dtype': self.feature_dtype,
                'layers': self.layers,
            },
            'model.backbone': backbone,
            'randomness.seed': self.runner.seed,
        }
        return plain_settings(how, cfg)


@LOOPS.register_module()
class ProbeTestLoop(_ProbeLoop):
    """Test a backbone by probes on its frozen features.

    The features of both data sets are extracted once and serve every probe. They are kept as
    memory-mapped files, so that another test of the same weights on the same data reads them
    (:func:`mim_bench.evaluation.probes.feature_settings.feature_settings` says what counts as the
    same). The metrics are named ``<probe>/<score>``; accuracies are in percent. The validation data
    (``test_dataloader``) are only scored: nothing is selected on them. ``outcomes`` are those of
    all probes on each of them. The probes stay in the work directory, for
    :class:`FittedProbeTestLoop`.

    Args:
        runner: The runner.
        dataloader: Loader of the validation images; without shuffling.
        evaluator: Must be empty; the probes are the metrics.
        bank_dataloader: Loader of the labelled training images with test-time transforms;
            without shuffling.
        probes: Settings by probe: ``knn`` (k, temperature), ``linear`` and, with the pooling
            ``'tokens'``, ``attentive`` (learning_rates, epochs, batch_size, holdout_share, seed).
        pooling: ``'gap'``, ``'cls'`` or ``'tokens'``, see
            :func:`mim_bench.evaluation.probes.pooling.pool`.
        fp16: How features are computed, one of
            :data:`mim_bench.evaluation.probes.extraction.ARITHMETICS`; part of the protocol.
        cache_dir: Where features are kept, counted from the work directory; all processes must
            see it, and several runs may share it. None keeps them for the time of the test.
        feature_dtype: Type of the files, ``'float32'`` or ``'float16'``.
        layers: ``'last'``, or ``'best'``: each probe runs on the output of the backbone that is
            best for it on a held-out part of the training images.

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
        cache_dir: str | None = 'features',
        **how: Any,
    ) -> None:
        self._settings = [d if isinstance(d, dict) else None for d in (bank_dataloader, dataloader)]
        super().__init__(runner, dataloader, evaluator, **how)
        if self.evaluator.metrics:
            raise ConfigError(
                'ProbeTestLoop measures with its probes and would ignore test_evaluator. '
                'Set test_evaluator=[].'
            )
        if not self.probes:
            raise ConfigError(f'ProbeTestLoop has no probes. Give it some of {", ".join(PROBES)}.')
        for name, settings in self.probes.items():
            check_probe(name, settings)
        if isinstance(bank_dataloader, dict):
            bank_dataloader = runner.build_dataloader(bank_dataloader, seed=runner.seed)
        self.bank_dataloader = bank_dataloader
        self.cache_dir = cache_dir

    def _test(self) -> dict[str, float]:
        with ExitStack() as stack:
            metrics = self._probe(stack)
        self._warn_about_rate(metrics)
        return metrics

    def _probe(self, stack: ExitStack) -> dict[str, float]:
        """Scores by name; temporary files live as long as the stack."""
        bank = self._features(self.bank_dataloader, self._settings[0], 'training', stack)
        query = self._features(self.dataloader, self._settings[1], 'validation', stack)
        device = next(self.runner.model.parameters()).device
        metrics, hits, fitted = {}, {}, {}
        for name, settings in self.probes.items():
            drawn = _with_seed(PROBE_FUNCTIONS[name], settings, self.runner.seed)
            how = {'device': device, 'settings': drawn}
            if self.layers == 'best':
                widths = self._widths(bank)
                result = run_on_best_layer(name, bank, query, widths, **how)
            else:
                result = run_probe(name, bank, query, **how)
            metrics.update({f'{name}/{key}': value for key, value in result.scores.items()})
            hits.update({f'{name}_{key}': right.numpy() for key, right in result.hits.items()})
            fitted[name] = result.fitted
        self.outcomes = self._outcomes(hits)
        if self.cache_dir is not None and self._settings[0] is not None:
            on_main_process(lambda: self._keep(bank, fitted))
        return metrics

    def _keep(self, bank: Features, fitted: dict[str, dict[str, Any]]) -> None:
        """Leave the probes in the work directory."""
        cfg, folder = self.runner.cfg, Path(self.runner.work_dir)
        content = {
            'dataset': plain_settings(self._settings[0].get('dataset'), cfg),
            'content': (cfg.get('protocol_data') or {}).get('bank'),
        }
        FittedProbes(
            weights=weights_digest(unwrap(self.runner.model)),
            num_classes=bank.num_classes,
            bank=os.path.relpath(bank.x.path.parent, folder),
            bank_digest=protocol_hash(content),
            fit=self._fit_settings(),
            probes=fitted,
        ).write(folder)

    def _widths(self, bank: Features) -> list[int]:
        """Widths of the layers in the features; tokens of a layer stand side by side."""
        widths = list(backbone_of(unwrap(self.runner.model)).out_channels)
        return [width * bank.x.shape[1] // sum(widths) for width in widths]

    def _outcomes(self, hits: Mapping[str, np.ndarray]) -> Hits:
        """The outcomes by metric name of the record, ``<probe>_<score>``."""
        images, numbers = number_images(names_of_samples(image_paths(self.dataloader.dataset)))
        order = numbers.argsort()
        return Hits(images, {name: right[order] for name, right in hits.items()})

    def _features(
        self, dataloader: DataLoader, settings: dict | None, what: str, stack: ExitStack
    ) -> Features:
        model = self.runner.model
        how = {'pooling': self.pooling, 'fp16': self.fp16, 'dtype': self.feature_dtype}
        if self.layers == 'best':
            how['every_layer'] = True

        def extract(folder: Path) -> Features:
            return extract_features(model, dataloader, folder, on_batch=self._progress(what), **how)

        kept = self._kept(dataloader, settings, how, extract, stack)
        return replace(kept, known_classes=known_classes(dataloader.dataset))

    def _warn_about_rate(self, metrics: Mapping[str, float]) -> None:
        """A rate at the end of the range may not be the best there is."""
        for probe in SWEEPS:
            prefix = f'{probe}/holdout_top1_lr'
            tried = [float(key.removeprefix(prefix)) for key in metrics if key.startswith(prefix)]
            if len(tried) > 1 and metrics[f'{probe}/lr'] in (min(tried), max(tried)):
                end = 'smallest' if metrics[f'{probe}/lr'] == min(tried) else 'largest'
                self.runner.logger.warning(
                    f'{probe.capitalize()} probe: the selected learning rate '
                    f'{metrics[f"{probe}/lr"]:g} is the {end} that was tried. Widen learning_rates.'
                )


@LOOPS.register_module()
class FittedProbeTestLoop(_ProbeLoop):
    """Test probes that :class:`ProbeTestLoop` has fitted on other images; nothing is trained.

    The features of the images are classified as they come and not kept. The metrics are those of
    the evaluator for each probe, named ``<probe>/<score>``.

    Args:
        runner: The runner.
        dataloader: Loader of the images, without shuffling.
        evaluator: Metrics of a classifier.
        probes: The probes and their settings, as of the test that fitted them.
        pooling: As of that test, like ``fp16``, ``feature_dtype`` and ``layers``.
        fp16: See :class:`ProbeTestLoop`.
        feature_dtype: See :class:`ProbeTestLoop`.
        layers: See :class:`ProbeTestLoop`.
        fitted: Work directory of that test.
        bank: ``bank_digest`` of its :class:`mim_bench.evaluation.probes.fitted.FittedProbes`; part
            of the protocol.

    Raises:
        ConfigError: No work directory is given, or its probes are of other weights.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        *,
        fitted: str | None = None,
        bank: str | None = None,
        **how: Any,
    ) -> None:
        if fitted is None:
            raise ConfigError(
                'A test set of robustness is classified by probes that were fitted before. Give '
                'the work directory of their test: `mim-bench test CONFIG WORK_DIR --variant ...`.'
            )
        super().__init__(runner, dataloader, evaluator, **how)
        check_loader(self.dataloader, self.feature_dtype)
        self.folder = Path(fitted)

    def _test(self) -> dict[str, float]:
        classifiers = self._classifiers()
        evaluators = {name: deepcopy(self.evaluator) for name in classifiers}
        size, rank, world_size = len(self.dataloader.dataset), get_rank(), get_world_size()
        place = rank
        with ExitStack() as stack:
            for features in self._blocks(stack):
                numbers = [(place + world_size * row) % size for row in range(len(features))]
                place += world_size * len(features)
                samples = [self._sample(number) for number in numbers]
                for name, classify in classifiers.items():
                    scores = classify(features).cpu()
                    evaluators[name].process(
                        [{**s, 'pred_score': row} for s, row in zip(samples, scores, strict=True)]
                    )
        metrics, hits = {}, {}
        for name, evaluator in evaluators.items():
            found = evaluator.evaluate(size)
            metrics |= {f'{name}/{k.removeprefix("accuracy/")}': v for k, v in found.items()}
            for outcomes in filter(None, (getattr(m, 'outcomes', None) for m in evaluator.metrics)):
                hits |= {f'{name}_{key}': right for key, right in outcomes.hits.items()}
                self.outcomes = Hits(outcomes.images, hits)
        return metrics

    def _classifiers(self) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
        model = unwrap(self.runner.model)
        found = FittedProbes.read(self.folder)
        if found.weights != weights_digest(model):
            raise ConfigError(
                f'{self.folder}: its probes were fitted to features of other weights. Give the '
                'work directory of the test of this checkpoint.'
            )
        if differ := list(setting_differences(found.fit, self._fit_settings())):
            told = '; '.join(f'{d.key}: {d.first} there, {d.second} here' for d in differ)
            raise ConfigError(
                f'{self.folder}: its probes were fitted with other settings ({told}). Test with '
                'the settings, options and --seed of that test.'
            )
        device = next(model.parameters()).device

        def bank() -> Features:
            kept = Features.open(self.folder / found.bank)
            return replace(kept, known_classes=found.num_classes)

        return {name: class_scores(name, found.probes[name], bank, device) for name in self.probes}

    def _blocks(self, stack: ExitStack) -> Iterator[torch.Tensor]:
        """Features (B, D) of this process, as they are read from a file; the stack ends them."""
        batches = features_of_batches(
            self.runner.model,
            self.dataloader,
            self.pooling,
            self.fp16,
            self._progress('test'),
            every_layer=self.layers == 'best',
        )
        stack.enter_context(closing(batches))
        dtype = getattr(torch, self.feature_dtype)
        return _joined((x.to(dtype).float() for x, _ in batches), _BLOCK_ROWS)

    def _sample(self, number: int) -> dict[str, Any]:
        """What metrics read of an image, besides its scores."""
        info = self.dataloader.dataset.get_data_info(number)
        kept = {key: info[key] for key in ('img_path', 'corruption') if key in info}
        return {'gt_label': torch.tensor([info['gt_label']]), **kept}


def _with_seed(
    function: Callable[..., Any], settings: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Settings of a function; its ``seed``, where it has one, and the run's are added up."""
    if 'seed' not in inspect.signature(function).parameters:
        return dict(settings)
    return {**settings, 'seed': settings.get('seed', 0) + seed}


def _joined(batches: Iterable[torch.Tensor], least_rows: int) -> Iterator[torch.Tensor]:
    """Batches joined to pieces of at least so many rows; the last one may have fewer."""
    waiting: list[torch.Tensor] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= least_rows:
            yield torch.cat(waiting)
            waiting = []
    if waiting:
        yield torch.cat(waiting)


@LOOPS.register_module()
class PatchProbeTestLoop(_FeatureLoop):
    """Test a segmentor whose head is fitted to frozen features of patches of the training images.

    The head is a :class:`mim_bench.models.heads.patch_probe.PatchProbeHead`. A bank of patches is
    extracted once and kept, as by :class:`ProbeTestLoop`; the classifier is fitted to it; then
    the test is that of any segmentor. The validation data are only scored.

    Args:
        runner: The runner.
        dataloader: Loader of the validation images.
        evaluator: Metrics of the segmentation.
        bank_dataloader: Loader of the training images with their label maps, all of one size;
            without shuffling.
        classifier: ``name`` (``knn`` or ``logreg``) and its settings, see
            :mod:`mim_bench.evaluation.probes.patch_classifiers`.
        num_patches: Size of the bank.
        sampling: See :func:`mim_bench.evaluation.probes.patches.extract_patches`.
        seed: Decides, with the run's seed, the patches of the bank.
        fp16: See :class:`ProbeTestLoop`.
        cache_dir: As of :class:`ProbeTestLoop`.
        feature_dtype: Type of the files, ``'float32'`` or ``'float16'``.

    Raises:
        ConfigError: The classifier or a setting is unknown, or the head is another one.
    """

    kind = PatchBank

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        *,
        bank_dataloader: dict,
        classifier: Mapping[str, Any],
        num_patches: int,
        sampling: str = 'uniform',
        seed: int = 0,
        fp16: bool | str = False,
        cache_dir: str | None = 'features',
        feature_dtype: str = 'float16',
    ) -> None:
        check_arithmetic(fp16)
        super().__init__(runner, dataloader, evaluator, fp16=fp16)
        self._classifier = {k: v for k, v in classifier.items() if k != 'name'}
        self._name = classifier.get('name')
        check_classifier(self._name, self._classifier)
        if not hasattr(getattr(unwrap(runner.model), 'decode_head', None), 'classifier'):
            raise ConfigError(
                'PatchProbeTestLoop fits the head of a segmentor. Set model.decode_head='
                "dict(type='mim_bench.PatchProbeHead', num_classes=...)."
            )
        self._settings = bank_dataloader
        self.bank_dataloader = runner.build_dataloader(bank_dataloader, seed=runner.seed)
        self.cache_dir = cache_dir
        self._how = {
            'num_patches': num_patches,
            'sampling': sampling,
            'seed': seed + runner.seed,
            'dtype': feature_dtype,
        }

    def _test(self) -> dict[str, float]:
        """Fit the head, then test."""
        self._fit(unwrap(self.runner.model))
        self.runner.model.eval()
        for place, batch in enumerate(self.dataloader):
            self.run_iter(place, batch)
        return self.evaluator.evaluate(len(self.dataloader.dataset))

    def _fit(self, model: Any) -> None:
        device = next(model.parameters()).device
        with ExitStack() as stack:
            bank = self._bank(model, stack)
            settings = _with_seed(CLASSIFIERS[self._name], self._classifier, self.runner.seed)
            fitted = fit_patches(self._name, bank, device=device, settings=settings)
        for name, value in fitted.chosen.items():
            self.runner.logger.info(f'{name}: {value:g}')
        model.decode_head.classifier = fitted.scores

    def _bank(self, model: Any, stack: ExitStack) -> PatchBank:
        how = {**self._how, 'num_classes': model.decode_head.num_classes, 'fp16': self.fp16}

        def extract(folder: Path) -> PatchBank:
            on_batch = self._progress('training')
            return extract_patches(model, self.bank_dataloader, folder, on_batch=on_batch, **how)

        about = {**how, 'pooling': 'patches'}
        return self._kept(self.bank_dataloader, self._settings, about, extract, stack)
