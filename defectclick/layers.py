"""Arrays of an image's size of which only the box that is not zero takes memory and time; strokes of a brush."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

Box = tuple[slice, slice]
EMPTY: Box = slice(0, 0), slice(0, 0)


class Layer:
    """Values of a mask, zero outside of a box.

    Args:
        values: (h, w).
        top: Row of the image that their first one is.
        left: Likewise, of columns.

    Attributes:
        box: The smallest that holds every nonzero value.
        values: Those in it.
    """

    def __init__(self, values: np.ndarray, top: int = 0, left: int = 0) -> None:
        rows, columns = box = bounds(values)
        self.values = values[box].copy()
        self.box = slice(rows.start + top, rows.stop + top), slice(columns.start + left, columns.stop + left)

    def read(self, box: Box) -> np.ndarray:
        """A copy of what lies in a box of the image."""
        common = overlap(box, self.box)
        part = np.zeros([side.stop - side.start for side in box], self.values.dtype)
        part[within(common, box)] = self.values[within(common, self.box)]
        return part

    def at(self, row: int, column: int) -> int:
        """The value of a pixel."""
        return int(self.read((slice(row, row + 1), slice(column, column + 1))).item())

    def write(self, box: Box, values: np.ndarray) -> None:
        """Replace what lies in a box of the image."""
        both = union([self.box, box])
        whole = self.read(both)
        whole[within(box, both)] = values
        fresh = Layer(whole, both[0].start, both[1].start)
        self.values, self.box = fresh.values, fresh.box

    def piece(self, row: int, column: int) -> np.ndarray:
        """The connected part, bool like ``values``, that holds a pixel of the image; empty where none does."""
        spot = row - self.box[0].start, column - self.box[1].start
        if not self.at(row, column):
            return np.zeros_like(self.values, bool)
        pieces, _ = ndimage.label(self.values)
        return pieces == pieces[spot]


def bounds(array: np.ndarray) -> Box:
    """The smallest box that holds every nonzero value of an array (H, W)."""
    rows = np.flatnonzero(array.any(axis=1))
    if not len(rows):
        return EMPTY
    inner = slice(int(rows[0]), int(rows[-1]) + 1)
    columns = np.flatnonzero(array[inner].any(axis=0))
    return inner, slice(int(columns[0]), int(columns[-1]) + 1)


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box that holds all of ``boxes``."""
    sides = zip(*(box for box in boxes if all(side.start < side.stop for side in box)), strict=True)
    return tuple(slice(min(s.start for s in side), max(s.stop for s in side)) for side in sides) or EMPTY


def overlap(one: Box, other: Box) -> Box:
    """What two boxes have in common; of no height or width where that is nothing."""
    starts = [max(a.start, b.start) for a, b in zip(one, other, strict=True)]
    stops = [min(a.stop, b.stop) for a, b in zip(one, other, strict=True)]
    return tuple(slice(start, max(start, stop)) for start, stop in zip(starts, stops, strict=True))


def within(inner: Box, outer: Box) -> Box:
    """``inner``, counted from the corner of ``outer``."""
    return tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))


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
