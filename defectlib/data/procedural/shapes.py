"""Outlines of defects: spots with an uneven rim, discs, and strokes that taper at their ends."""

from __future__ import annotations

import numpy as np

from defectlib.data.procedural.rendering import Canvas, lattice, noise, turned
from defectlib.data.procedural.scenes import Defect


def spot(canvas: Canvas, defect: Defect, unevenness: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An ellipse whose rim wanders.

    Args:
        canvas: Where to evaluate it.
        defect: Its length and width are the ellipse's axes.
        unevenness: Relative amplitude of the wandering of the rim; 0 gives the plain ellipse.

    Returns:
        Three (h, w) fields: radius relative to the rim (below 1 inside), and the two coordinates in the
        frame of the image relative to the rim (each in [-1, 1] inside), for shading.
    """
    u, v = turned(canvas.x, canvas.y, (defect.x, defect.y), defect.angle)
    u, v = u / (0.5 * defect.length), v / (0.5 * defect.width)
    radius = np.sqrt(u * u + v * v)
    rim = 1.0
    if unevenness:
        theta = np.arctan2(v, u)
        draw = lattice(np.arange(8), np.zeros(8, np.int64), defect.salt)
        for order in range(2, 6):
            weight = unevenness * (0.4 + 0.6 * float(draw[order - 2])) * 1.6 / order
            rim = rim + weight * np.cos(order * theta + 2.0 * np.pi * float(draw[order + 2]))
    c, s = float(np.cos(defect.angle)), float(np.sin(defect.angle))
    relative = radius / rim
    return relative, (c * u - s * v) / rim, (s * u + c * v) / rim


def stroke(canvas: Canvas, defect: Defect, jagged: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A bent line that tapers over the last twelfth of its length at each end.

    Args:
        canvas: Where to evaluate it.
        defect: Its width is the full width of the line, its bend the offset of the middle.
        jagged: Amplitude of an irregular zigzag, in sides of the image.

    Returns:
        Two (h, w) fields: position along the line in [-1, 1], and signed position across it relative to
        its half width; a point is inside where both lie in (-1, 1).
    """
    u, v = turned(canvas.x, canvas.y, (defect.x, defect.y), defect.angle)
    along = u / (0.5 * defect.length)
    middle = defect.bend * (1.0 - along * along)
    if jagged:
        middle = middle + jagged * noise(along * 5.0, np.zeros_like(along), defect.salt)
    taper = np.clip(6.0 * (1.0 - np.abs(along)), 0.0, 1.0)
    across = (v - middle) / (0.5 * defect.width * (0.40 + 0.60 * taper))
    return along, across
