"""Arrays of an image's size of which only the box that is not zero takes memory and time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

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
        self._hold(values, top, left)

    def _hold(self, values: np.ndarray, top: int, left: int) -> None:
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
        self._hold(whole, both[0].start, both[1].start)


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
