"""Coarse masks derived from exact ones: what public annotations look like where they are loose (paper §3.2, Fig. 1).

They are *derived*, drawn by no annotator: they show and test the comparison of annotations where no real pair of
annotations is at hand, and say nothing of a real dataset. Two of the faults that the paper names are modelled, loose
contours and one type for a whole image; missed defects are not.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

#: How far a coarse outline runs outside the defect, in shorter sides of the image: 1 pixel at 64, 15 at 1024.
GROWTH = 0.015
_EIGHT = np.ones((3, 3), bool)  # pixels that touch at a corner are one component
_ON_THE_LINE = 1e-9  # pixels; a centre on the hull's edge belongs to it, whatever the last digit says


def coarse(mask: np.ndarray) -> np.ndarray:
    """The coarse mask, uint8 (H, W), that belongs to the exact index mask ``mask``, uint8 (H, W).

    Every connected component, of whatever types, becomes its filled convex hull, grown by :data:`GROWTH` and at least
    a pixel; all of it takes the type with the most pixels (of equals, the lowest id). It covers the exact mask, and
    follows from it alone.
    """
    if not mask.any():
        return np.zeros_like(mask)
    components, _ = ndimage.label(mask > 0, _EIGHT)
    hulls = np.zeros(mask.shape, bool)
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        hulls[box] |= _hull(components[box] == number)
    margin = max(1, round(GROWTH * min(mask.shape)))
    grown = ndimage.distance_transform_edt(~hulls) <= margin
    largest = np.argmax(np.bincount(mask[mask > 0]))
    return np.where(grown, largest, 0).astype(np.uint8)


def _hull(component: np.ndarray) -> np.ndarray:
    """The pixels, bool (H, W), whose centres lie in the convex hull of the component's pixels, taken as squares."""
    centres = np.argwhere(component & ~ndimage.binary_erosion(component))
    # Corners, because a hull of centres has no area where a defect is one pixel wide.
    corners = (centres[:, None] + [(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)]).reshape(-1, 2)
    filled = np.ones(component.shape, bool)
    rows, columns = np.indices(component.shape, sparse=True)
    for down, right, offset in ConvexHull(corners).equations:
        filled &= down * rows + right * columns + offset <= _ON_THE_LINE
    return filled
