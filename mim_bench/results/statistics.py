"""How far a number can be trusted: seeds, bootstrap over images, tests between two rows.

Resamples of so many images are the same ones for everyone who asks. Two runs on the same images
thus meet the same resamples, and the difference of their replicates is the paired bootstrap of
their difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special, stats

from mim_bench.results.outcomes import Hits, ImageSet, Outcomes

# Of intervals, and of tests.
LEVEL = 0.95
_ENDS = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
ALPHA = 0.05
NUM_RESAMPLES = 2000
SEED = 20260101
# Of the weights that are in memory at a time.
_CHUNK_BYTES = 4 * 2**20
# In points of percent. No source says how far two trainings of one recipe may lie apart, so these
# are this project's choice (inferred): a top-1 of ImageNet moves by some tenths between seeds and
# between re-trainings of others, mIoU of ADE20K by more.
TOP1_TOLERANCE = 0.3
MIOU_TOLERANCE = 0.5
AP_TOLERANCE = 0.3
TOLERANCES = {
    'top1': TOP1_TOLERANCE, 'top5': TOP1_TOLERANCE, 'mIoU': MIOU_TOLERANCE,
    'bbox_mAP': AP_TOLERANCE, 'segm_mAP': AP_TOLERANCE,
}  # fmt: skip


def seed_spread(
    values: Sequence[float],
) -> tuple[float | None, tuple[float, float] | None]:
    """Standard deviation (n - 1) over seeds, and the t-interval of their mean; None for one.

    Equal values have no interval: of k-NN, say, they are one measurement that was repeated.
    """
    if len(values) == 1:
        return None, None
    if np.ptp(values) == 0:
        return 0.0, None
    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    reach = float(special.stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * sd / len(values) ** 0.5
    return sd, (mean - reach, mean + reach)


def welch_test(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Two-sided p-value of equal means of two seeds or more a side, by Welch's t-test.

    None where neither side varies at all: the seeds then say nothing.
    """
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        return None
    # The same numbers as ttest_ind of the values, ten times as fast.
    facts = [fact for side in (a, b) for fact in (np.mean(side), np.std(side, ddof=1), len(side))]
    return float(stats.ttest_ind_from_stats(*facts, equal_var=False).pvalue)


@dataclass(frozen=True)
class Sample:
    """One metric of one run on the images of its evaluation.

    Either ``hits`` or ``replicates`` is there: a mean of hits needs no resample, its
    distribution over resamples is known. Replicates are the values on the resamples of
    :func:`resample_weights`, NaN where one holds nothing to measure.
    """

    images: ImageSet
    value: float  # in percent, not rounded
    hits: np.ndarray | None = None  # (N,) bool
    replicates: np.ndarray | None = None  # (B,) in percent


def make_samples(outcomes: Outcomes, num_resamples: int = NUM_RESAMPLES) -> dict[str, Sample]:
    """A sample for every metric of the outcomes.

    It takes seconds for a segmentation, and for 5,000 images with 500,000 detections 13 s an IoU
    type at 2,000 resamples (one core, see ``docs/statistics.md``).
    """
    images, values = outcomes.images, outcomes.values()
    if isinstance(outcomes, Hits):
        return {name: Sample(images, values[name], hits) for name, hits in outcomes.hits.items()}
    chunks = [outcomes.scores(weights) for weights in resample_weights(images.num, num_resamples)]
    return {
        name: Sample(images, value, None, np.concatenate([chunk[name] for chunk in chunks]))
        for name, value in values.items()
    }


def resample_weights(num_images: int, num_resamples: int = NUM_RESAMPLES) -> Iterator[np.ndarray]:
    """How often each image occurs in each resample.

    A resample draws N of N images with replacement, so its weights are multinomial. They come
    from the raw numbers of PCG64, which numpy promises to keep; the first resamples do not
    depend on how many are asked for.

    Yields:
        (b, N) int32 with rows that add up to N; B rows in all.
    """
    source = np.random.PCG64(SEED)
    chunk = max(1, _CHUNK_BYTES // (16 * num_images))
    for start in range(0, num_resamples, chunk):
        rows = min(chunk, num_resamples - start)
        raw = source.random_raw(rows * num_images).reshape(rows, num_images)
        # The upper half as a fraction of 2**32, times N: even to one part in 2**32 / N.
        drawn = ((raw >> np.uint64(32)) * np.uint64(num_images)) >> np.uint64(32)
        drawn += np.arange(rows, dtype=np.uint64)[:, None] * np.uint64(num_images)
        counts = np.bincount(drawn.ravel().astype(np.int64), minlength=rows * num_images)
        yield counts.astype(np.int32).reshape(rows, num_images)


def image_interval(sample: Sample) -> tuple[float, float] | None:
    """The bootstrap percentile interval over images, in percent; None if nothing was measured.

    The number of hits in a resample is binomial, so the interval of a mean of hits is exact.
    Replicates are centred at the value first, see :func:`centred`.
    """
    if sample.hits is None:
        return _middle(centred(sample.replicates, sample.value))
    num = sample.images.num
    low, high = stats.binom.ppf(_ENDS, num, sample.hits.mean())
    return float(100 * low / num), float(100 * high / num)


def centred(replicates: np.ndarray, value: float) -> np.ndarray:
    """Replicates (B,) moved so that their mean is the value; those that are NaN are left out.

    mIoU and AP are no means over images: a resample repeats images and lacks others, rare
    classes drop out, and the metric lies higher on average. That says how resamples differ from
    the data set, not how the model might do on other images.
    """
    known = replicates[np.isfinite(replicates)]
    return known + (value - known.mean()) if len(known) else known


def _middle(replicates: np.ndarray) -> tuple[float, float] | None:
    """The interval that holds the middle share ``LEVEL`` of the replicates; None of nothing."""
    if not len(replicates):
        return None
    low, high = np.quantile(replicates, _ENDS)
    return float(low), float(high)


@dataclass(frozen=True)
class Measured:
    """One metric of one row: a value a seed, in percent, and the sample behind each."""

    values: tuple[float, ...]
    samples: tuple[Sample | None, ...]  # None where a run kept no outcomes


@dataclass(frozen=True)
class Comparison:
    """The difference of two rows, and how surely there is one.

    ``difference`` is the mean of the first less that of the second, in percent; of what the
    outcomes give where there are any, of the recorded values otherwise.
    """

    difference: float
    # By test: ``welch`` over seeds, ``mcnemar`` and ``bootstrap`` over images.
    p_values: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None  # by the paired bootstrap over images
    missing: str = ''  # what a test over images lacked

    @property
    def is_distinguishable(self) -> bool | None:
        """Whether the rows differ by every test that could be made; None if there was none."""
        return max(self.p_values.values()) < ALPHA if self.p_values else None


def compare(a: Measured, b: Measured) -> Comparison:
    """Test two rows under the same protocol against each other.

    With two seeds or more on both sides there is Welch's t-test over seeds. With the outcomes of
    every run on the same images there is the paired bootstrap over images of the difference of
    the means and, for one classifier against one other, McNemar's exact test. One seed without
    outcomes can be tested by nothing.
    """
    difference = float(np.mean(a.values) - np.mean(b.values))
    p_values = {}
    if min(len(a.values), len(b.values)) > 1:
        p_value = welch_test(a.values, b.values)
        p_values |= {} if p_value is None else {'welch': p_value}
    if missing := _missing([*a.samples, *b.samples]):
        return Comparison(difference, p_values, None, missing)
    # The recorded values are rounded.
    difference = _mean_difference(a.samples, b.samples)
    if len(a.samples) == len(b.samples) == 1 and a.samples[0].hits is not None:
        p_values['mcnemar'] = mcnemar_test(a.samples[0].hits, b.samples[0].hits)
    differences = paired_differences(a.samples, b.samples)
    if not len(differences):
        return Comparison(difference, p_values, None, 'no resample holds anything to measure')
    p_values['bootstrap'] = two_sided_p(differences)
    return Comparison(difference, p_values, _middle(differences))


def _missing(samples: Sequence[Sample | None]) -> str:
    if None in samples:
        return 'outcomes of each image'
    if len({sample.images for sample in samples}) > 1:
        return 'the same images'
    if len({sample.hits is None for sample in samples}) > 1:
        return 'outcomes of one kind'
    return ''


def _mean_difference(a: Sequence[Sample], b: Sequence[Sample]) -> float:
    return float(np.mean([s.value for s in a]) - np.mean([s.value for s in b]))


def mcnemar_test(a: np.ndarray, b: np.ndarray) -> float:
    """Exact two-sided p-value of McNemar's test; (N,) bool, whether each classifier is right."""
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def paired_differences(a: Sequence[Sample], b: Sequence[Sample]) -> np.ndarray:
    """Bootstrap replicates of the difference of two means over seeds, on the same resamples.

    Those of mIoU and AP are centred at the difference on the images themselves, see
    :func:`centred`. All samples are on the same images.

    Returns:
        (B,) float64 in percent; resamples with nothing to measure are left out.
    """
    if a[0].hits is not None:
        return _hit_differences(a, b)
    # Resamples come in one order: who has more of them leaves out the last.
    num = min(len(sample.replicates) for sample in [*a, *b])
    one, other = (np.mean([s.replicates[:num] for s in side], axis=0) for side in (a, b))
    return centred(one - other, _mean_difference(a, b))


def _hit_differences(a: Sequence[Sample], b: Sequence[Sample]) -> np.ndarray:
    """A resample of images is one of the few values that an image's difference can have."""
    # In whole numbers: hits of A times seeds of B, less the opposite.
    one, other = (np.sum([s.hits for s in side], axis=0, dtype=np.int64) for side in (a, b))
    scale = len(a) * len(b)
    counts = np.bincount(one * len(b) - other * len(a) + scale, minlength=2 * scale + 1)
    values = np.arange(-scale, scale + 1) / scale
    num = a[0].images.num
    drawn = np.random.default_rng(SEED).multinomial(num, counts / num, size=NUM_RESAMPLES)
    return 100 * (drawn @ values) / num


def two_sided_p(differences: np.ndarray) -> float:
    """How easily a resample turns the sign of a difference: 2 min(P(d <= 0), P(d >= 0)).

    The sample itself counts as one more resample on either side, so that B resamples (B,) never
    claim a p-value below 2 / (B + 1).
    """
    fewer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(differences) + 1))
