"""What a click is, what turns clicks into a mask, and where a simulated annotator clicks, as in RITM and FocalClick.

The evaluation is that of all work on interactive segmentation: each click goes to the middle of the largest error,
which is the pixel that lies deepest in one, by distance transform, whether the mask misses the defect there or goes
beyond it. In training the click is drawn at random from the deeper half of that error (Sofiiuk et al. 2022, §3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from defectlib.errors import unknown

#: The network that comes with the package, and what it is compared with.
METHODS = ("Defect-Click", "flood fill", "GrabCut", "random walker")
DEEP = 0.5  # share of the greatest depth from which on a pixel may be drawn in training


@dataclass(frozen=True)
class Click:
    """A pixel that the annotator has pointed at: it lies on the defect, or on what the mask took for it."""

    row: int
    column: int
    positive: bool = True


class Clicker(Protocol):
    """A method of interactive segmentation. It keeps nothing between calls, so that undoing is forgetting a click."""

    #: For tables and legends.
    name: str

    def segment(self, image: np.ndarray, clicks: Sequence[Click], previous: np.ndarray) -> np.ndarray:
        """The mask after the latest click, bool (H, W).

        Args:
            image: uint8 (H, W, 3).
            clicks: All so far, the latest last; at least one.
            previous: bool (H, W), the mask before the latest click; all False at first.
        """
        ...


def known_method(name: str) -> str:
    """``name``, if a method is called so.

    Raises:
        UserError: None is.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return name


def load_method(name: str) -> Clicker:
    """The method called ``name``, ready to use.

    Raises:
        UserError: None is called so, or the network is not there.
    """
    if known_method(name) == "Defect-Click":
        from defectclick.focal import shipped

        return shipped()
    from defectclick.classical import FloodFill, GrabCut, RandomWalker

    return {each.name: each for each in (FloodFill, GrabCut, RandomWalker)}[name]()


# The simulated annotator --------------------------------------------------------------------------------------------


def next_click(mask: np.ndarray, truth: np.ndarray, clicks: Sequence[Click] = ()) -> Click | None:
    """The click of the evaluation: the middle of the largest error, of equals the first by rows.

    Args:
        mask: bool (H, W), what the method has made of the ``clicks`` so far.
        truth: bool (H, W).
        clicks: Those so far: none is repeated.

    Returns:
        None if nothing but clicked pixels is wrong.
    """
    depths = np.stack([depth(truth & ~mask), depth(mask & ~truth)])
    for click in clicks:
        depths[:, click.row, click.column] = 0
    if not depths.any():
        return None
    kind, row, column = np.unravel_index(depths.argmax(), depths.shape)
    return Click(int(row), int(column), positive=bool(kind == 0))


def random_click(mask: np.ndarray, truth: np.ndarray, draw: np.random.Generator) -> Click | None:
    """The click of training: somewhere deep in the largest error; None if nothing is wrong. Masks bool (H, W)."""
    depths = np.stack([depth(truth & ~mask), depth(mask & ~truth)])
    kind = int(depths[1].max() > depths[0].max())
    if not depths[kind].any():
        return None
    places = np.flatnonzero(depths[kind] >= DEEP * depths[kind].max())
    row, column = divmod(int(draw.choice(places)), mask.shape[1])
    return Click(row, column, positive=kind == 0)


def depth(region: np.ndarray) -> np.ndarray:
    """How far each pixel of a bool (H, W) lies from the nearest outside, beyond the image too; float32, in pixels."""
    padded = np.pad(region, 1).astype(np.uint8)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
