"""COCO's average precision as mmdet computes it, by the faster of two equal evaluators."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from unittest import mock

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from pycocotools.cocoeval import COCOeval

from mim_bench.data.coco import open_class
from mim_bench.errors import ConfigError
from mim_bench.evaluation.metrics.coco_matches import keeping_matches, outcomes_of_matches
from mim_bench.registry import METRICS
from mim_bench.results.outcomes import Detections

BACKENDS = ('auto', 'pycocotools', 'faster')
FASTER_PACKAGE = 'faster_coco_eval'
# What decides about matches; everything else of the parameters is only for printing.
_SHARED_PARAMS = ('imgIds', 'catIds', 'iouThrs', 'recThrs', 'maxDets', 'areaRng', 'useCats')


@METRICS.register_module(name='CocoMetric')
def coco_metric(
    *, eval_backend: str = 'auto', only_seen: bool = False, **settings: Any
) -> BaseMetric:
    """The CocoMetric of mmdet, which may count matches with faster-coco-eval.

    Args:
        eval_backend: 'pycocotools', 'faster' (the package faster-coco-eval), or 'auto': the
            faster one where it is installed. Both give the same numbers, so it is no part of
            a protocol.
        only_seen: Evaluate the images that were predicted, not all of the annotation file.
        settings: Arguments of mmdet's ``CocoMetric``.

    Raises:
        ConfigError: The backend is unknown or not installed, or ``use_mp_eval`` asks for another.

    Differs: classes have the numbers of their names in the annotation file, whatever the order of
    its categories; areas that are not stated are computed; no detection in any image is an AP of 0,
    where mmdet reports nothing; without an object in the whole set there is no AP, which is -1 as
    in pycocotools.
    """
    backend = chosen_backend(eval_backend, use_mp_eval=settings.get('use_mp_eval', False))
    print_log(f'COCO evaluation: {backend}.', logger='current')
    # mmdet's metric takes the classes from names in its module.
    with mock.patch.object(_mmdet_module(), 'COCO', _truth_class()):
        metric = _metric_class()(**settings)
    metric.is_faster, metric.only_seen = backend == 'faster', only_seen
    return metric


def chosen_backend(eval_backend: str, *, use_mp_eval: bool = False) -> str:
    """'pycocotools' or 'faster', by the arguments of :func:`coco_metric`; raises as it does."""
    if eval_backend not in BACKENDS:
        raise ConfigError(
            f'CocoMetric: unknown eval_backend {eval_backend!r}. Known: {", ".join(BACKENDS)}.'
        )
    if eval_backend == 'auto':
        is_faster = find_spec(FASTER_PACKAGE) is not None and not use_mp_eval
        return 'faster' if is_faster else 'pycocotools'
    if eval_backend == 'faster' and use_mp_eval:
        raise ConfigError(
            "CocoMetric: eval_backend='faster' and use_mp_eval=True ask for two evaluators. "
            'Leave one out.'
        )
    if eval_backend == 'faster' and find_spec(FASTER_PACKAGE) is None:
        raise ConfigError(
            "CocoMetric: eval_backend='faster', but faster-coco-eval is not installed. "
            "Install it (pip install faster-coco-eval), or use eval_backend='auto'."
        )
    return eval_backend


def _mmdet_module() -> ModuleType:
    from mmdet.evaluation.metrics import coco_metric as module

    return module


@cache
def _truth_class() -> type:
    class Truth(open_class()):
        """An annotation file whose objects are numbered from 1.

        Evaluators write the ids of matched objects where 0 and less mean that nothing matched.
        """

        def createIndex(self) -> None:  # noqa: N802, pycocotools' name
            for number, annotation in enumerate(self.dataset.get('annotations', ()), start=1):
                annotation['id'] = number
            super().createIndex()

    return Truth


@cache
def _metric_class() -> type[BaseMetric]:
    mmdet_module = _mmdet_module()

    class CocoMetric(mmdet_module.CocoMetric):
        """mmdet's, with the evaluator that ``is_faster`` names, and ``only_seen`` images or all.

        ``outcomes`` are those of the last evaluation, on the main process.
        """

        is_faster = only_seen = False
        outcomes: Detections | None = None

        def compute_metrics(self, results: list) -> dict[str, float]:
            """Compute mmdet's metrics; 0 where objects exist and none was detected."""
            self.outcomes = None
            if self.only_seen:
                self.img_ids = sorted({found['img_id'] for _, found in results})
            average_precisions = {'bbox', 'segm'} >= set(self.metrics) and not self.format_only
            if average_precisions and not any(len(found['scores']) for _, found in results):
                value = 0.0 if _has_objects(self._coco_api, results, self.img_ids) else -1.0
                print_log(f'Nothing was detected in any image: AP is {value:g}.', logger='current')
                names = ('mAP', 'mAP_50', 'mAP_75')
                return {f'{kind}_{name}': value for kind in self.metrics for name in names}
            base = FasterCOCOeval if self.is_faster else mmdet_module.COCOeval
            evaluator, matches = keeping_matches(base)
            with mock.patch.object(mmdet_module, 'COCOeval', evaluator):
                metrics = super().compute_metrics(results)
            if matches:
                self.outcomes = outcomes_of_matches(matches, self._coco_api)
            return metrics

    return CocoMetric


def _has_objects(coco: Any, results: list, img_ids: Sequence[int] | None) -> bool:
    """Whether the truth has an object: that of the annotation file, or of the samples."""
    if coco is not None:
        images = set(coco.imgs if img_ids is None else img_ids)
        return any(a['image_id'] in images for a in coco.anns.values() if not a.get('iscrowd'))
    return any(not a.get('ignore_flag') for truth, _ in results for a in truth['anns'])


class FasterCOCOeval(COCOeval):
    """Matches and accumulates in C++; sums up by pycocotools' own formulas.

    The names, the order of ``stats`` and the axes of ``eval`` are those of pycocotools.

    Source: faster-coco-eval 1.8.0 (Apache-2.0), ``COCOeval_faster``.
    """

    def evaluate(self) -> None:
        """Match detections with the truth, and accumulate on the way."""
        from faster_coco_eval import COCO, COCOeval_faster

        self.params.maxDets = sorted(self.params.maxDets)
        faster = COCOeval_faster(
            _reread(COCO, self.cocoGt),
            _reread(COCO, self.cocoDt),
            iouType=self.params.iouType,
            print_function=_silent,
        )
        for name in _SHARED_PARAMS:
            setattr(faster.params, name, deepcopy(getattr(self.params, name)))
        faster.evaluate()
        faster.accumulate()
        self.ious = faster.ious
        self.eval = {'params': self.params, **faster.eval}

    def accumulate(self, p: Any = None) -> None:
        """Done already by :meth:`evaluate`.

        Args:
            p: Unused; pycocotools'.
        """


def _reread(kind: type, coco: Any) -> Any:
    """The same annotations in the class of faster-coco-eval; the evaluator writes into them."""
    annotations = [dict(annotation) for annotation in coco.dataset['annotations']]
    return kind({**coco.dataset, 'annotations': annotations})


def _silent(*_: Any) -> None:
    """Discard a message of another library's log."""
