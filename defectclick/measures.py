"""How good masks from clicks are: IoU, the number of clicks that an IoU takes, the F-score of the boundary.

The number of clicks and the simulated annotator behind it are those of Xu et al. (2016); the F-score of the boundary
is that of Csurka et al. (2013) and of the DAVIS benchmark (Perazzi et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

MOST_CLICKS = 20
TARGETS = (0.80, 0.85, 0.90)
"""IoUs that the number of clicks is counted to."""
TOLERANCE = 0.0075
"""How far boundaries may be apart, as a share of the image's diagonal: that of DAVIS; at least one pixel."""

_EIGHT = np.ones((3, 3), bool)


def rule(most: int = MOST_CLICKS) -> str:
    """What the measures are, in words, for an annotator who gives up after ``most`` clicks."""
    return (
        "NoC@t is the number of clicks after which the IoU is at least t % for the first time; a defect on which "
        f"{most} clicks do not get there counts {most} and is a failure. An annotator who is content stops, and the "
        "mask stays as it is. Boundary F is the harmonic mean of the shares of either boundary's pixels that lie "
        f"within {100 * TOLERANCE:.2f} % of the image's diagonal, and at least one pixel, of the other boundary."
    )


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two bool (H, W); 1 where both are empty."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def clicks_to(ious: Sequence[float], target: float, most: int = MOST_CLICKS) -> int:
    """NoC@target: see :func:`rule`.

    Args:
        ious: After click 1, 2, …, fractions; what comes after ``most`` clicks does not count.
        target: Fraction.
        most: Clicks after which an annotator gives up.
    """
    return next((k for k, value in enumerate(ious[:most], start=1) if value >= target), most)


def fails(ious: Sequence[float], target: float, most: int = MOST_CLICKS) -> bool:
    """Whether ``most`` clicks do not reach ``target``."""
    return all(value < target for value in ious[:most])


def tolerance(shape: tuple[int, int]) -> float:
    """How far boundaries may be apart in an image of (H, W) pixels, in pixels."""
    return max(1.0, TOLERANCE * math.hypot(*shape))


def boundary(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask, bool (H, W), of whose eight neighbours one is outside it, or outside the image."""
    return mask & ~ndimage.binary_erosion(mask, _EIGHT)


def boundary_f(mask: np.ndarray, truth: np.ndarray) -> float:
    """F-score of the boundary, in [0, 1]: see :func:`rule`; 1 where both masks are empty, 0 where one is."""
    if not (mask.any() and truth.any()):
        return float(mask.any() == truth.any())
    within = tolerance(mask.shape)
    ours, theirs = boundary(mask), boundary(truth)
    precision, recall = _near(ours, theirs, within), _near(theirs, ours, within)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _near(points: np.ndarray, others: np.ndarray, within: float) -> float:
    """The share of ``points`` that lie within so many pixels of one of ``others``; both bool (H, W)."""
    return float((ndimage.distance_transform_edt(~others)[points] <= within).mean())


# What people would draw ---------------------------------------------------------------------------------------------


def outline_vertices(mask: np.ndarray, within: float) -> int:
    """Vertices of polygons around every piece and hole of a bool (H, W), nowhere farther off than ``within`` pixels.

    After Douglas and Peucker (1973), on the line between the pixels; a polygon has three vertices at least.
    """
    # Here, because a plan reads this module's constants, and need not wait for all of scikit-image.
    from skimage import measure

    lines = measure.find_contours(np.pad(mask, 1).astype(np.float64), 0.5)
    # The last point of a closed line is its first one again.
    return sum(max(3, len(measure.approximate_polygon(line, within)) - 1) for line in lines)


def repair_vertices(mask: np.ndarray, truth: np.ndarray, within: float) -> int:
    """Vertices that it takes to mend ``mask``: polygons around its errors, each drawn to be added or to be cut off.

    An error counts if it reaches farther than ``within`` pixels from the true boundary; polygons are as exact as half
    of that.
    """
    wrong, count = ndimage.label(mask ^ truth, _EIGHT)
    if not count:
        return 0
    away = _from_boundary(truth)
    reach = ndimage.maximum(away, wrong, np.arange(count + 1))
    return outline_vertices(np.isin(wrong, np.flatnonzero(reach > within)) & (wrong > 0), within / 2)


def _from_boundary(truth: np.ndarray) -> np.ndarray:
    """Pixels from each pixel's middle to the nearest one on the other side of the boundary, float64 (H, W)."""
    if not truth.any():
        return np.full(truth.shape, np.inf)
    inside = ndimage.distance_transform_edt(np.pad(truth, 1))[1:-1, 1:-1]
    return np.where(truth, inside, ndimage.distance_transform_edt(~truth))
