"""InstaBoost: objects of a picture jittered in place, with everything that is known of them."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mim_bench.data.jitter_paste import (
    Jitter,
    MovedObject,
    fill_hole,
    mask_box,
    move_object,
    paste,
)
from mim_bench.errors import ConfigError
from mim_bench.registry import TRANSFORMS

ACTIONS = ('normal', 'horizontal', 'skip')
COLOUR_RANGE = (0.8, 1.2)
# Pixels around an object's mask that show it still.
RIM = 2


@TRANSFORMS.register_module()
class InstaBoost(BaseTransform):
    """Cut each object out, fill the hole, paste the object moved, scaled and turned a little.

    Stands after ``LoadAnnotations`` of mmdet with boxes and masks. Changes ``img`` (uint8),
    ``gt_masks`` (bitmaps afterwards), ``gt_bboxes`` and, where it is there, ``gt_seg_map``:

    - An object's mask moves with its pixels, its box is the extent of its mask.
    - Later objects lie over earlier ones, and all that moved lie over all that did not; masks
      lose the pixels that are covered, and an object of which nothing is seen is dropped.
    - In the semantic map the old place becomes ``ignore_index``, since nobody knows what was
      behind the object; the new place gets the label that most of the old place had.
    - Crowds and ignored objects stay, with their masks.

    Args:
        actions: Some of 'normal' (as it is), 'horizontal' (mirrored), 'skip' (not moved).
        action_probs: Probability of each action, for each object.
        scale: Least and greatest factor of an object's size.
        dx: An object moves by at most its width / dx to either side.
        dy: An object moves by at most its height / dy up or down.
        theta: Least and greatest rotation in degrees.
        color_prob: Probability that contrast, saturation and brightness of the picture are
            each multiplied by a factor in [0.8, 1.2].
        aug_ratio: Probability that a picture is changed at all.
        ignore_index: Label of the semantic map that means nothing.

    Raises:
        ConfigError: An action is unknown, probabilities do not fit, or a limit is not positive.

    Source: InstaBoost, arXiv:1908.07801, its random variant (no heatmap); arguments as mmdet's
    transform, which needs the package instaboostfast. Differs: works on masks after loading,
    keeps the semantic map and occlusion consistent; the colour change is this project's, since
    no source that was read defines it; the package's matting and inpainting are others.
    """

    def __init__(
        self,
        actions: Sequence[str] = ACTIONS,
        action_probs: Sequence[float] = (1, 0, 0),
        *,
        scale: tuple[float, float] = (0.8, 1.2),
        dx: float = 15,
        dy: float = 15,
        theta: tuple[float, float] = (-1, 1),
        color_prob: float = 0.5,
        aug_ratio: float = 0.5,
        ignore_index: int = 255,
    ) -> None:
        if unknown := sorted(set(actions) - set(ACTIONS)):
            raise ConfigError(
                f'InstaBoost: unknown actions {unknown}. Known: {", ".join(ACTIONS)}.'
            )
        if len(actions) != len(action_probs) or abs(sum(action_probs) - 1) > 1e-6:
            raise ConfigError(
                f'InstaBoost: action_probs {tuple(action_probs)} must be {len(actions)} numbers '
                'with the sum 1, one for each action.'
            )
        if min(dx, dy, *scale) <= 0:
            raise ConfigError(
                f'InstaBoost: dx {dx}, dy {dy} and scale {tuple(scale)} must be positive.'
            )
        self.actions, self.action_probs = tuple(actions), tuple(action_probs)
        self.scale, self.dx, self.dy, self.theta = scale, dx, dy, theta
        self.color_prob, self.aug_ratio = color_prob, aug_ratio
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Jitter the objects, drawn from numpy's global generator.

        Raises:
            ConfigError: There are no masks; put it after ``LoadAnnotations(with_mask=True)``.
        """
        # The loader seeds the global generator for each sample.
        rng = np.random.default_rng(np.random.randint(0, 2**31, size=4))
        if rng.random() >= self.aug_ratio:
            return results
        if 'gt_masks' not in results:
            raise ConfigError(
                'InstaBoost: there are no masks. Put it after LoadAnnotations(with_bbox=True, '
                'with_mask=True).'
            )
        masks = results['gt_masks'].to_ndarray().astype(bool)
        image = results['img'].copy()
        moved = self._move(image, masks, results['gt_ignore_flags'], rng)
        if moved:
            hole, rim = _erased(masks, moved)
            fill_hole(image, hole | rim)
            for patch in moved.values():
                paste(image, patch)
            if 'gt_seg_map' in results:
                results['gt_seg_map'] = self._relabel(results['gt_seg_map'], masks, hole, moved)
            _update_objects(results, masks, moved)
        results['img'] = self._recolour(image, rng)
        return results

    def _move(
        self,
        image: np.ndarray,
        masks: np.ndarray,
        is_ignored: np.ndarray,
        rng: np.random.Generator,
    ) -> dict[int, MovedObject]:
        """The objects that move, by their number, in the order in which they are pasted."""
        moved = {}
        for number, mask in enumerate(masks):
            jitter = None if is_ignored[number] else self._draw(mask, rng)
            patch = move_object(image, mask, jitter) if jitter else None
            if patch:
                moved[number] = patch
        return moved

    def _draw(self, mask: np.ndarray, rng: np.random.Generator) -> Jitter | None:
        action = self.actions[rng.choice(len(self.actions), p=self.action_probs)]
        box = mask_box(mask)
        if action == 'skip' or box is None:
            return None
        limits = (box[2] - box[0]) / self.dx, (box[3] - box[1]) / self.dy
        return Jitter(
            scale=rng.uniform(*self.scale),
            degrees=rng.uniform(*self.theta),
            shift=tuple(rng.uniform(-limit, limit) for limit in limits),
            is_mirrored=action == 'horizontal',
        )

    def _relabel(
        self,
        labels: np.ndarray,
        masks: np.ndarray,
        hole: np.ndarray,
        moved: dict[int, MovedObject],
    ) -> np.ndarray:
        new = labels.copy()
        new[hole] = self.ignore_index
        for number, patch in moved.items():
            known = labels[masks[number]]
            known = known[known != self.ignore_index]
            label = np.bincount(known).argmax() if len(known) else self.ignore_index
            new[patch.region][patch.mask] = label
        return new

    def _recolour(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.color_prob:
            return image
        contrast, saturation, brightness = rng.uniform(*COLOUR_RANGE, size=3)
        pixels = image.astype(np.float32)
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None].astype(np.float32)
        pixels = grey + saturation * (pixels - grey)
        pixels = (grey.mean() + contrast * (pixels - grey.mean())) * brightness
        return np.rint(np.clip(pixels, 0, 255)).astype(image.dtype)


def _erased(masks: np.ndarray, moved: dict[int, MovedObject]) -> tuple[np.ndarray, np.ndarray]:
    """(H, W): pixels that moved objects had to themselves; those just around them."""
    is_moved = np.isin(np.arange(len(masks)), list(moved))
    kept = masks[~is_moved].any(0)
    hole = masks[is_moved].any(0) & ~kept
    # Outlines are traced a little inside, and cameras blur them.
    grown = cv2.dilate(hole.astype(np.uint8), np.ones((2 * RIM + 1, 2 * RIM + 1))).astype(bool)
    return hole, grown & ~hole & ~kept


def _update_objects(results: dict, masks: np.ndarray, moved: dict[int, MovedObject]) -> None:
    """Write the masks and boxes of what is seen, in place."""
    from mmdet.structures.mask import BitmapMasks

    new = masks.copy()
    is_ignored = results['gt_ignore_flags']
    new[list(moved)] = False
    pasted: list[int] = []
    for number, patch in moved.items():
        under = [i for i in range(len(new)) if not is_ignored[i] and i not in moved] + pasted
        for other in under:
            new[other][patch.region] &= ~patch.mask
        new[number][patch.region] = patch.mask
        pasted.append(number)
    is_changed = (new != masks).any((1, 2))
    is_kept = is_ignored | new.any((1, 2)) | ~masks.any((1, 2))
    _write_boxes(results, new, is_changed & is_kept)
    height, width = masks.shape[1:]
    results['gt_masks'] = BitmapMasks(new[is_kept].astype(np.uint8), height, width)
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
        results[key] = results[key][is_kept]


def _write_boxes(results: dict, masks: np.ndarray, is_changed: np.ndarray) -> None:
    """Boxes of changed masks are the extents of these."""
    boxes: Any = results['gt_bboxes']
    boxes = boxes.copy() if isinstance(boxes, np.ndarray) else boxes.clone()
    rows = boxes if isinstance(boxes, np.ndarray) else boxes.tensor
    for number in np.flatnonzero(is_changed):
        extent = mask_box(masks[number])
        rows[number] = rows.new_tensor(extent) if hasattr(rows, 'new_tensor') else extent
    results['gt_bboxes'] = boxes
