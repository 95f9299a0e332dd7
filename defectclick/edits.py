"""What an annotator does to an image: clicks, strokes of a brush, and the defects that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from defectclick.clicks import Click
from defectclick.layers import Layer

Kind = Literal["click", "paint", "erase", "clear"]
#: Of all numbers of an edit: far beyond every image, and whatever is computed from it is still a number.
FARTHEST = 10**9


@dataclass(frozen=True)
class Edit:
    """Something that the annotator has done to the mask.

    Attributes:
        kind: A click, a stroke of the brush or of the eraser, or everything taken away.
        class_id: Of the defect that was clicked or painted; 0 for what concerns all.
        defect: Its number, from 0 in the order in which the image's defects were begun; 0 for what concerns all.
        points: (row, column) in pixels, whole numbers in the middle of pixels: of the click, or along the stroke.
        positive: Of a click: it lies on the defect.
        radius: Of a stroke, pixels.
        seconds: When, counted from when the image was shown.
    """

    kind: Kind
    class_id: int = 0
    defect: int = 0
    points: tuple[tuple[float, float], ...] = ()
    positive: bool = True
    radius: float = 0.0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"an edit is one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if not (np.abs([self.radius, self.seconds, *np.ravel(self.points)]) <= FARTHEST).all() or self.radius < 0:
            raise ValueError(f"points, radius and seconds must be numbers up to {FARTHEST:,}, the radius from 0")
        if (len(self.points) != 1) if self.kind == "click" else (self.kind != "clear" and not self.points):
            raise ValueError("a click has one point, a stroke at least one")


@dataclass(frozen=True)
class Defect:
    """A defect of the image.

    Attributes:
        class_id: Its class, from 1.
        clicks: In the order in which they were made.
    """

    class_id: int
    clicks: tuple[Click, ...] = ()


def stroke_mask(points: Sequence[tuple[float, float]], radius: float, shape: tuple[int, int]) -> Layer:
    """The pixels, bool, of an image of ``shape`` whose middle is at most ``radius`` from the line through ``points``.

    The pixel that holds a point belongs to it, however thin the line is.
    """
    line = np.asarray(points, float).reshape(-1, 2)
    (top, left), (bottom, right) = _reach(line, radius, shape)
    mask = np.zeros((bottom - top, right - left), bool)
    for ends in zip(line, line[1:] if len(line) > 1 else line, strict=False):
        low, high = _reach(np.array(ends), radius, shape)
        rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
        part = mask[low[0] - top : high[0] - top, low[1] - left : high[1] - left]
        part |= _distance(rows, columns, *ends) <= radius
    nearest = np.round(line).astype(int)
    nearest = nearest[((nearest >= 0) & (nearest < shape)).all(axis=1)]
    mask[nearest[:, 0] - top, nearest[:, 1] - left] = True
    return Layer(mask, top, left)


def _reach(line: np.ndarray, radius: float, shape: tuple[int, int]) -> list[list[int]]:
    """The corners of the box, cut to the image, that holds every pixel within ``radius`` of points."""
    low, high = np.floor(line.min(axis=0) - radius), np.ceil(line.max(axis=0) + radius) + 1
    return np.clip([low, high], 0, shape).astype(int).tolist()


def _distance(rows: np.ndarray, columns: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    down, right = end - start
    length = max(down**2 + right**2, np.finfo(float).tiny)
    along = np.clip(((rows - start[0]) * down + (columns - start[1]) * right) / length, 0, 1)
    return np.hypot(rows - start[0] - along * down, columns - start[1] - along * right)
