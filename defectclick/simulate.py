"""Clicks of a simulated annotator: where the mask is wrong, as in RITM and FocalClick.

The evaluation is that of all work on interactive segmentation: each click goes to the middle of the largest error,
which is the pixel that lies deepest in one, by distance transform, whether the mask misses the defect there or goes
beyond it. In training the click is drawn at random from the deeper half of that error (Sofiiuk et al. 2022, §3.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from defectclick.clicks import Click

DEEP = 0.5
"""Share of the greatest depth from which on a pixel may be drawn in training."""


def next_click(mask: np.ndarray, truth: np.ndarray, clicks: Sequence[Click] = ()) -> Click | None:
    """The click that an annotator of the evaluation makes; always the same one.

    Args:
        mask: bool (H, W), what the method has made of the ``clicks`` so far.
        truth: bool (H, W).
        clicks: Those so far: none is repeated.

    Returns:
        The middle of the largest error, of equals the first by rows; None if nothing but clicked pixels is wrong.
    """
    depths = np.stack([depth(truth & ~mask), depth(mask & ~truth)])
    for click in clicks:
        depths[:, click.row, click.column] = 0
    if not depths.any():
        return None
    kind, row, column = np.unravel_index(depths.argmax(), depths.shape)
    return Click(int(row), int(column), positive=bool(kind == 0))


def random_click(mask: np.ndarray, truth: np.ndarray, draw: np.random.Generator) -> Click | None:
    """A click of training: somewhere deep in the largest error; None if nothing is wrong.

    Args:
        mask: bool (H, W).
        truth: bool (H, W).
        draw: Decides where.
    """
    depths = np.stack([depth(truth & ~mask), depth(mask & ~truth)])
    kind = int(depths[1].max() > depths[0].max())
    spot = random_spot(depths[kind], draw)
    return None if spot is None else Click(*spot, positive=kind == 0)


def random_spot(depths: np.ndarray, draw: np.random.Generator) -> tuple[int, int] | None:
    """Row and column of a pixel of at least half the greatest of ``depths`` (H, W); None if all are zero."""
    places = np.flatnonzero(depths >= DEEP * depths.max()) if depths.any() else ()
    if not len(places):
        return None
    row, column = divmod(int(draw.choice(places)), depths.shape[1])
    return row, column


def depth(region: np.ndarray) -> np.ndarray:
    """How far each pixel of a bool (H, W) lies from the nearest outside, beyond the image too; float32, in pixels."""
    padded = np.pad(region, 1).astype(np.uint8)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
