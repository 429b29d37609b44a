"""Converts coverage maps of digits to COCO polygons."""

from dataclasses import dataclass

import numpy as np
from skimage.measure import approximate_polygon, find_contours

_TOLERANCE = 0.1  # pixels that a vertex may be off when near-straight runs are merged
_MIN_AREA = 1.0  # square pixels; smaller regions are dropped


@dataclass(frozen=True)
class Outline:
    """A region in COCO's form; box and area are those of the polygons.

    Attributes:
        polygons: ``[x1, y1, x2, y2, ...]`` each; a pixel's centre is at half numbers.
        bbox: Left, top, width, height.
        area: Square pixels.
    """

    polygons: list[list[float]]
    bbox: list[float]
    area: float


def outline(coverage: np.ndarray) -> Outline | None:
    """Trace the half-way line of a coverage map, 0..1; None where nothing is covered by half.

    A hole is joined to the ring around it by a cut of no width, since COCO's polygons have no
    holes: the loop of a 9 stays photograph.
    """
    rings = _rings(coverage)
    solids = [ring for ring in rings if signed_area(ring) >= _MIN_AREA]
    if not solids:
        return None
    for hole in (ring for ring in rings if signed_area(ring) <= -_MIN_AREA):
        owner = next((i for i, ring in enumerate(solids) if _contains(ring, hole[0])), None)
        if owner is not None:
            solids[owner] = _join(solids[owner], hole)
    points = np.concatenate(solids)
    low, high = points.min(axis=0), points.max(axis=0)
    return Outline(
        polygons=[[round(float(value), 2) for value in ring.ravel()] for ring in solids],
        bbox=[round(float(value), 2) for value in (*low, *(high - low))],
        area=round(float(sum(signed_area(ring) for ring in solids)), 2),
    )


def signed_area(ring: np.ndarray) -> float:
    """Area inside a ring of (x, y) points; negative for the ring of a hole."""
    x, y = ring.T
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def _rings(coverage: np.ndarray) -> list[np.ndarray]:
    """Closed half-way lines, (points, 2) as (x, y); solids positive, holes negative."""
    height, width = coverage.shape
    # A border of paper closes the lines that would leave the image.
    lines = find_contours(np.pad(coverage, 1), 0.5, positive_orientation='low')
    rings = []
    for line in lines:
        ring = approximate_polygon(line, _TOLERANCE)[:-1, ::-1]
        # One pixel of border off, half a pixel on: find_contours puts centres at
        # whole numbers, COCO at half ones.
        ring = np.clip(ring - 0.5, 0, (width, height)).round(2)
        if len(ring) >= 3:
            rings.append(ring)
    return rings


def _contains(ring: np.ndarray, point: np.ndarray) -> bool:
    """Whether a ray from the point to the right crosses the ring an odd number of times."""
    start, end = ring, np.roll(ring, -1, axis=0)
    crosses = (start[:, 1] > point[1]) != (end[:, 1] > point[1])
    start, end = start[crosses], end[crosses]
    share = (point[1] - start[:, 1]) / (end[:, 1] - start[:, 1])
    return int(np.sum(start[:, 0] + share * (end[:, 0] - start[:, 0]) > point[0])) % 2 == 1


def _join(ring: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Join a hole to a ring at the point nearest to the hole."""
    distance = np.linalg.norm(ring[:, None] - hole[None], axis=-1)
    at_ring, at_hole = np.unravel_index(distance.argmin(), distance.shape)
    loop = np.roll(hole, -at_hole, axis=0)
    return np.concatenate(
        [ring[: at_ring + 1], loop, loop[:1], ring[at_ring : at_ring + 1], ring[at_ring + 1 :]]
    )
