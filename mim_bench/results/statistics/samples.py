"""What a test needs to know of one metric of one run: its value, and that of every resample."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mim_bench.results.outcomes import Detections, Hits, ImageSet, Outcomes
from mim_bench.results.statistics.resampling import (
    NUM_RESAMPLES,
    centred,
    percentile_interval,
    resample_weights,
)
from mim_bench.results.statistics.scores import detection_scores, segmentation_scores
from mim_bench.results.statistics.seeds import LEVEL

# How far a value of outcomes may lie from the recorded one: mmdet rounds AP to 0.1 points, others
# less, and sums in float32 differ by less than the rest of it.
LARGEST_DIFFERENCE = 0.051


@dataclass(frozen=True)
class Sample:
    """One metric of one run on the images of its evaluation.

    Either ``hits`` or ``replicates`` is there: a mean of hits needs no resample, its
    distribution over resamples is known.

    Attributes:
        images: N of them.
        value: In percent, not rounded.
        hits: (N,) bool.
        replicates: (B,) values in percent on the resamples of
            :func:`~mim_bench.results.statistics.resampling.resample_weights`; NaN where a
            resample holds nothing to measure.
    """

    images: ImageSet
    value: float
    hits: np.ndarray | None = None
    replicates: np.ndarray | None = None


def outcome_values(outcomes: Outcomes) -> dict[str, float]:
    """The metrics of the evaluation itself, in percent, by name; not rounded."""
    if isinstance(outcomes, Hits):
        return {name: 100 * float(hits.mean()) for name, hits in outcomes.hits.items()}
    once = np.ones((1, outcomes.images.num), dtype=np.int32)
    return {name: float(values[0]) for name, values in _scores(outcomes, once).items()}


def make_samples(outcomes: Outcomes, num_resamples: int = NUM_RESAMPLES) -> dict[str, Sample]:
    """A sample for every metric of the outcomes.

    It takes seconds for a segmentation, and for 5,000 images with 500,000 detections 13 s an IoU
    type at 2,000 resamples (one core, see ``docs/statistics.md``).
    """
    images, values = outcomes.images, outcome_values(outcomes)
    if isinstance(outcomes, Hits):
        return {name: Sample(images, values[name], hits) for name, hits in outcomes.hits.items()}
    chunks = [_scores(outcomes, weights) for weights in resample_weights(images.num, num_resamples)]
    return {
        name: Sample(images, value, None, np.concatenate([chunk[name] for chunk in chunks]))
        for name, value in values.items()
    }


def _scores(outcomes: Outcomes, weights: np.ndarray) -> dict[str, np.ndarray]:
    measure = detection_scores if isinstance(outcomes, Detections) else segmentation_scores
    return measure(outcomes, weights)


def image_interval(sample: Sample, level: float = LEVEL) -> tuple[float, float] | None:
    """The bootstrap percentile interval over images, in percent.

    The number of hits in a resample is binomial, so the interval of a mean of hits is exact.
    Replicates are centred at the value first, see
    :func:`~mim_bench.results.statistics.resampling.centred`.

    Args:
        sample: Of one run.
        level: Between 0 and 1.

    Returns:
        Lower and upper end; None if no resample could be measured.
    """
    if sample.hits is not None:
        num, share = sample.images.num, sample.hits.mean()
        ends = stats.binom.ppf([(1 - level) / 2, (1 + level) / 2], num, share)
        return tuple(float(100 * end / num) for end in ends)
    known = centred(sample.replicates, sample.value)
    return percentile_interval(known, level) if len(known) else None
