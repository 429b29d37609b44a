"""Resamples of images: the same ones for everyone who asks for as many of as many images.

Two runs on the same images thus meet the same resamples, and the difference of their replicates
is the paired bootstrap of their difference.
"""

from collections.abc import Iterator

import numpy as np

NUM_RESAMPLES = 2000
SEED = 20260101
# Of the weights that are in memory at a time.
_CHUNK_BYTES = 4 * 2**20


def resample_weights(
    num_images: int, num_resamples: int = NUM_RESAMPLES, seed: int = SEED
) -> Iterator[np.ndarray]:
    """How often each image occurs in each resample.

    A resample draws N of N images with replacement, so its weights are multinomial. They come
    from the raw numbers of PCG64, which numpy promises to keep; the first resamples do not
    depend on how many are asked for.

    Args:
        num_images: N, below 2**32.
        num_resamples: B.
        seed: Of the generator.

    Yields:
        (b, N) int32 with rows that add up to N; B rows in all.
    """
    source = np.random.PCG64(seed)
    chunk = max(1, _CHUNK_BYTES // (16 * num_images))
    for start in range(0, num_resamples, chunk):
        rows = min(chunk, num_resamples - start)
        raw = source.random_raw(rows * num_images).reshape(rows, num_images)
        # The upper half as a fraction of 2**32, times N: even to one part in 2**32 / N.
        drawn = ((raw >> np.uint64(32)) * np.uint64(num_images)) >> np.uint64(32)
        drawn += np.arange(rows, dtype=np.uint64)[:, None] * np.uint64(num_images)
        counts = np.bincount(drawn.ravel().astype(np.int64), minlength=rows * num_images)
        yield counts.astype(np.int32).reshape(rows, num_images)


def centred(replicates: np.ndarray, value: float) -> np.ndarray:
    """Replicates moved so that their mean is the value; those that are no number are left out.

    mIoU and AP are no means over images: a resample repeats images and lacks others, rare
    classes drop out, and the metric lies higher on average. That says how resamples differ from
    the data set, not how the model might do on other images.

    Args:
        replicates: (B,).
        value: On the images themselves.
    """
    known = replicates[np.isfinite(replicates)]
    return known + (value - known.mean()) if len(known) else known


def percentile_interval(replicates: np.ndarray, level: float) -> tuple[float, float]:
    """The interval that holds the middle share ``level`` of the replicates."""
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def two_sided_p(differences: np.ndarray) -> float:
    """How easily a resample turns the sign of a difference: 2 min(P(d <= 0), P(d >= 0)).

    The sample itself counts as one more resample on either side, so that B resamples never claim
    a p-value below 2 / (B + 1).

    Args:
        differences: (B,) bootstrap replicates of a difference.
    """
    fewer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(differences) + 1))
