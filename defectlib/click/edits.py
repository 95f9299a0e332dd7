"""What an annotator does to an image: clicks, strokes of a brush, and the defects that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from defectlib.click.clicks import Click

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


def stroke_mask(points: Sequence[tuple[float, float]], radius: float, shape: tuple[int, int]) -> np.ndarray:
    """The pixels, bool ``shape``, whose middle is at most ``radius`` from the line through ``points`` (row, column).

    The pixel that holds a point belongs to it, however thin the line is.
    """
    mask = np.zeros(shape, bool)
    line = np.asarray(points, float).reshape(-1, 2)
    for start, end in zip(line, line[1:] if len(line) > 1 else line, strict=False):
        low = np.clip(np.floor(np.minimum(start, end) - radius), 0, shape).astype(int)
        high = np.clip(np.ceil(np.maximum(start, end) + radius) + 1, 0, shape).astype(int)
        rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
        mask[low[0] : high[0], low[1] : high[1]] |= _distance(rows, columns, start, end) <= radius
    nearest = np.round(line).astype(int)
    nearest = nearest[((nearest >= 0) & (nearest < shape)).all(axis=1)]
    mask[tuple(nearest.T)] = True
    return mask


def _distance(rows: np.ndarray, columns: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    down, right = end - start
    length = max(down**2 + right**2, np.finfo(float).tiny)
    along = np.clip(((rows - start[0]) * down + (columns - start[1]) * right) / length, 0, 1)
    return np.hypot(rows - start[0] - along * down, columns - start[1] - along * right)
