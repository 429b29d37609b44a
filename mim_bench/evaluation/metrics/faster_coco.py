"""The interface of pycocotools' COCOeval on the compiled matching of faster-coco-eval."""

from copy import deepcopy
from typing import Any

from pycocotools.cocoeval import COCOeval

# What decides about matches; everything else of the parameters is only for printing.
_SHARED_PARAMS = ('imgIds', 'catIds', 'iouThrs', 'recThrs', 'maxDets', 'areaRng', 'useCats')


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
