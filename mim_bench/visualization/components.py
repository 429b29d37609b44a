"""Principal components of patch features as colours."""

from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import PCA

from mim_bench.errors import ConfigError

NUM_COLOURS = 3
# Patches that the components are computed from; of more, a sample of this size is drawn.
MAX_PATCHES = 50_000
_QUANTILES = (0.01, 0.99)
_GREY = 32  # grey value of the background


def component_pictures(
    maps: Sequence[np.ndarray], *, foreground: bool = False, seed: int = 0
) -> list[np.ndarray]:
    """Draw the first three principal components of all patches as red, green and blue.

    Each component is scaled from its 1st to its 99th percentile over all images, so that a colour
    means the same in all of them.

    Args:
        maps: (D, rows, cols) of each image.
        foreground: Take the patches on one side of the first component as the foreground, compute
            the components from these alone, and grey the others out.
        seed: Seed of the sample of patches that is drawn where there are more than 50,000.

    Returns:
        uint8 (rows, cols, 3) for each image.

    Raises:
        ConfigError: There are fewer than four patches, or three channels.

    Source: the figures of DINOv2, arXiv:2304.07193, section 7.5: a threshold on the first component
    and a second analysis of the patches above it. Own choice: zero as the threshold, and the side
    with fewer patches of the images' borders as the foreground.
    """
    patches = np.concatenate([part.reshape(len(part), -1).T for part in maps]).astype(np.float32)
    if len(patches) <= NUM_COLOURS or patches.shape[1] < NUM_COLOURS:
        raise ConfigError(
            f'{len(patches)} patches of {patches.shape[1]} channels have no three principal '
            'components. Give more or larger images.'
        )
    is_shown = np.ones(len(patches), bool)
    if foreground:
        is_shown = _foreground(_projected(patches, 1, seed)[:, 0], maps)
        if is_shown.sum() <= NUM_COLOURS:
            raise ConfigError('The foreground has no three components. Leave --foreground out.')
    scores = _projected(patches[is_shown], NUM_COLOURS, seed)
    low, high = np.quantile(scores, _QUANTILES, axis=0)
    shades = np.clip((scores - low) / np.maximum(high - low, 1e-12), 0, 1)
    colours = np.full((len(patches), NUM_COLOURS), _GREY, np.uint8)
    colours[is_shown] = (shades * 255).round().astype(np.uint8)
    ends = np.cumsum([part[0].size for part in maps])[:-1]
    parts = zip(np.split(colours, ends), maps, strict=True)
    return [part.reshape(*of.shape[1:], NUM_COLOURS) for part, of in parts]


def _projected(patches: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Scores (N, count) of the first components."""
    drawn = patches
    if len(patches) > MAX_PATCHES:
        chosen = np.random.default_rng(seed).choice(len(patches), MAX_PATCHES, replace=False)
        drawn = patches[np.sort(chosen)]
    return PCA(count, svd_solver='full', random_state=seed).fit(drawn).transform(patches)


def _foreground(scores: np.ndarray, maps: Sequence[np.ndarray]) -> np.ndarray:
    """Whether each patch is on the side of the first component that borders have less of."""
    is_border = []
    for part in maps:
        border = np.ones(part.shape[1:], bool)
        border[1:-1, 1:-1] = False
        is_border.append(border.ravel())
    above = scores > 0
    border = np.concatenate(is_border)
    return above if above[border].mean() <= 0.5 else ~above
