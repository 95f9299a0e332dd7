"""Where Defect-Click looks: boxes in an image, what lies in them at a network's side, and the way back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image
from scipy.linalg import solveh_banded
from skimage.graph import MCP_Geometric

from defectclick.clicks import Click
from defectclick.layers import bounds, union

DISK = 3  # radius of the disk that marks a click, in pixels of the crop
ALIKE = 0.2  # distance of colours at which they count as alike to e^-1/2; black and white are 3.5 apart
CHANNELS = 11  # of what the network is shown of a crop: see :func:`prepare`
EASY, STEEP = 0.5, 20
"""Distances of a way as long as the crop's side: over pixels like the clicked ones, and over others."""
WALKED = 48  # pixels a side, at most, of the picture over which walkers go
BETA = 1000.0
"""How much harder it is for walkers to go over an edge: chosen for the method, see :mod:`defectclick.classical`."""
_UNDER = 1.5
_FLAT = 0.25  # walkers from most pixels hardly ever meet a click: the power spreads their probabilities over [0, 1]
_LEAST = 1e-10  # so that every pixel is left some day


@dataclass(frozen=True)
class Box:
    """A part of an image, in its pixels; edges need not be whole numbers."""

    top: float
    left: float
    bottom: float
    right: float

    @property
    def sides(self) -> tuple[float, float]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def within(self, outer: Box) -> tuple[float, float, float, float]:
        """Its edges as shares of the sides of ``outer``: top, left, bottom, right."""
        height, width = outer.sides
        top, bottom = ((edge - outer.top) / height for edge in (self.top, self.bottom))
        left, right = ((edge - outer.left) / width for edge in (self.left, self.right))
        return top, left, bottom, right

    def at(self, shares: tuple[float, float, float, float]) -> Box:
        """The box with these edges, as shares of the sides of this one; the inverse of :meth:`within`."""
        height, width = self.sides
        top, left, bottom, right = shares
        return Box(
            self.top + top * height, self.left + left * width, self.top + bottom * height, self.left + right * width
        )


def whole(image: np.ndarray) -> Box:
    """All of an image (H, W, ...)."""
    return Box(0.0, 0.0, float(image.shape[0]), float(image.shape[1]))


def around(region: np.ndarray, clicks: Sequence[Click] = ()) -> Box:
    """The least box that holds a bool (H, W) and ``clicks``, at least one of which must be there."""
    pixels = [(slice(click.row, click.row + 1), slice(click.column, click.column + 1)) for click in clicks]
    rows, columns = union([bounds(region), *pixels])
    return Box(float(rows.start), float(columns.start), float(rows.stop), float(columns.stop))


def square(box: Box, ratio: float, least: float, outer: Box) -> Box:
    """A square about ``box``, ``ratio`` times its longer side and ``least`` pixels at least, moved into ``outer``.

    Where a side of ``outer`` is shorter than that, it is that side.
    """
    side = max(ratio * max(box.sides), least)
    top, bottom = _moved((box.top + box.bottom) / 2, side, outer.top, outer.bottom)
    left, right = _moved((box.left + box.right) / 2, side, outer.left, outer.right)
    return Box(top, left, bottom, right)


def _moved(centre: float, side: float, low: float, high: float) -> tuple[float, float]:
    side = min(side, high - low)
    start = min(max(centre - side / 2, low), high - side)
    return start, start + side


def cut(array: np.ndarray, box: Box, side: int) -> np.ndarray:
    """What lies in ``box`` of an array, scaled to ``side`` pixels a side; every pixel counts.

    The array is uint8 (H, W) or (H, W, 3), or bool (H, W), of which True counts as 255.
    """
    top, left = int(box.top), int(box.left)
    part = np.ascontiguousarray(array[top : math.ceil(box.bottom), left : math.ceil(box.right)])
    part = part * np.uint8(255) if part.dtype == bool else part
    edges = (box.left - left, box.top - top, box.right - left, box.bottom - top)
    return np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.BILINEAR, box=edges))


def cut_mask(mask: np.ndarray, box: Box, side: int) -> np.ndarray:
    """:func:`cut` of a bool (H, W): where at least half is covered."""
    return cut(mask, box, side) >= 128


def put_back(values: np.ndarray, box: Box, shape: tuple[int, int]) -> tuple[np.ndarray, tuple[slice, slice]]:
    """``values`` float32 (S, S) of ``box``, scaled to the pixels of an image of ``shape`` whose middles lie in it.

    Returns:
        float32 (h, w), and the rows and columns where it belongs.
    """
    rows, columns = _pixels(box.top, box.bottom, shape[0]), _pixels(box.left, box.right, shape[1])
    inner = Box(float(rows.start), float(columns.start), float(rows.stop), float(columns.stop)).within(box)
    side = values.shape[0]
    edges = tuple(min(max(share * side, 0.0), float(side)) for share in (inner[1], inner[0], inner[3], inner[2]))
    sides = (columns.stop - columns.start, rows.stop - rows.start)
    return np.asarray(Image.fromarray(values).resize(sides, Image.Resampling.BILINEAR, box=edges)), (rows, columns)


def _pixels(low: float, high: float, count: int) -> slice:
    start = min(max(math.ceil(low - 0.5), 0), count - 1)
    return slice(start, max(min(math.floor(high - 0.5) + 1, count), start + 1))


def disks(clicks: Sequence[Click], box: Box, side: int) -> np.ndarray:
    """Disks around the clicks that lie in ``box``, bool (side, side)."""
    return np.logical_or.reduce([np.zeros((side, side), bool), *(_disk(click, box, side, DISK) for click in clicks)])


def likeness(crop: np.ndarray, clicks: Sequence[Click], box: Box) -> np.ndarray:
    """How near each colour of a crop comes to that under the nearest, in colour, of the ``clicks`` in ``box``.

    Args:
        crop: float32 (3, S, S) in [-1, 1], of ``box``.
        clicks: In pixels of the image.
        box: What the crop shows of it.

    Returns:
        float32 (S, S) in [0, 1]; all zero without such a click.
    """
    found = np.zeros(crop.shape[1:], np.float32)
    for click in clicks:
        under = _disk(click, box, crop.shape[-1], _UNDER)
        if under.any():
            colour = crop[:, under].mean(axis=1)[:, None, None]
            np.maximum(found, np.exp(-((crop - colour) ** 2).sum(axis=0) / (2 * ALIKE**2)), out=found)
    return found


def reach(alike: np.ndarray, clicks: Sequence[Click], box: Box) -> np.ndarray:
    """How easily each pixel of a crop is reached from ``clicks`` in ``box`` over pixels that are like the clicked ones.

    It is e^-d, where d is the geodesic distance (as in DeepIGeoS, Wang et al. 2019): the length of the way in sides of
    the crop, times :data:`STEEP` where nothing on it is alike, and times :data:`EASY` where all is. Seen at half the
    resolution.

    From :func:`likeness` to these clicks to float32 (S, S) in [0, 1]; all zero without such a click.
    """
    side = len(alike)
    half = cv2.resize(alike, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    starts = _pixels_of(clicks, box, side // 2)
    if not starts:
        return np.zeros_like(alike)
    cost = (EASY + (STEEP - EASY) * (1 - half.astype(np.float64))) * 2 / side
    distance, _ = MCP_Geometric(cost).find_costs(starts)
    return cv2.resize(np.exp(-distance).astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)


def walk(crop: np.ndarray, clicks: Sequence[Click], box: Box) -> np.ndarray:
    """How likely a walker from each pixel of a crop meets a positive click before a negative one or the rim.

    Seen at half the resolution, or at :data:`WALKED` pixels a side; see :func:`first_met`.

    From a crop uint8 (S, S, 3) to the fourth root of that probability, float32 (S, S); all zero without a positive
    click in ``box``.
    """
    side = min(len(crop) // 2, WALKED)
    marks = np.pad(np.zeros((side - 2, side - 2), np.int8), 1, constant_values=2)
    for positive, mark in ((False, 2), (True, 1)):
        for spot in _pixels_of([click for click in clicks if click.positive is positive], box, side):
            marks[spot] = mark
    if not (marks == 1).any():
        return np.zeros(crop.shape[:2], np.float32)
    small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) / 255
    found = first_met(small, marks) ** _FLAT
    return cv2.resize(found.astype(np.float32), crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _pixels_of(clicks: Sequence[Click], box: Box, side: int) -> list[tuple[int, int]]:
    """The pixels of a crop of ``side`` that are clicked on, of ``clicks`` that lie in ``box``."""
    spots = (np.floor(place(click, box, side)).astype(int) for click in clicks)
    return [(int(row), int(column)) for row, column in spots if 0 <= row < side and 0 <= column < side]


def _disk(click: Click, box: Box, side: int, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[:side, :side]
    row, column = place(click, box, side)
    return (rows + 0.5 - row) ** 2 + (columns + 0.5 - column) ** 2 <= radius**2


def place(click: Click, box: Box, side: int) -> tuple[float, float]:
    """Where the middle of the clicked pixel lies in a crop of ``box``, in pixels from its upper left corner."""
    height, width = box.sides
    return (click.row + 0.5 - box.top) / height * side, (click.column + 0.5 - box.left) / width * side


def prepare(crop: np.ndarray, previous: np.ndarray, clicks: Sequence[Click], box: Box) -> np.ndarray:
    """The network's input for a crop, float32 (11, S, S).

    Colours, the previous mask, of positive and then of negative clicks where they are, likeness and reach; the walk.

    Args:
        crop: uint8 (S, S, 3).
        previous: bool (S, S).
        clicks: In pixels of the image.
        box: What the crop shows of it.
    """
    colours = np.ascontiguousarray(crop.transpose(2, 0, 1)).astype(np.float32) / 127.5 - 1
    x = np.empty((CHANNELS, *previous.shape), np.float32)
    x[:3], x[3] = colours, previous
    for first, positive in ((4, True), (7, False)):
        found = [click for click in clicks if click.positive is positive]
        x[first] = disks(found, box, len(crop))
        x[first + 1] = likeness(colours, found, box)
        x[first + 2] = reach(x[first + 1], found, box)
    x[10] = walk(crop, clicks, box)
    return x


# A random walk ------------------------------------------------------------------------------------------------------
# scikit-image has it too. Here it is part of what a network is shown, dozens of times in every step of its training: on
# a picture this small a banded Cholesky factorisation takes less than half the time of its sparse solvers.


def first_met(image: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The probability that a walker from a pixel meets one marked 1 before any marked otherwise (Grady 2006).

    A step to a neighbour is taken in proportion to exp(−β |difference of colours|² / (10 σ √C)), where σ is the
    standard deviation of all values (their eq. 1, at the scale of scikit-image). The time grows as H W³.

    Args:
        image: float64 (H, W, C).
        marks: Integers (H, W), 0 where none is; some pixel must be marked.

    Returns:
        float64 (H, W), 1 and 0 at marked pixels.
    """
    free, goal = marks == 0, (marks == 1).astype(float)
    down, right = _ease(image, 0), _ease(image, 1)
    width = image.shape[1]
    bands = np.zeros((width + 1, image.size // image.shape[2]))  # row i holds what is i below the diagonal
    bands[0] = np.where(free, _around(down, right, np.ones_like(goal)), 1).ravel()
    bands[1].reshape(free.shape)[:, :-1] = -right * (free[:, :-1] & free[:, 1:])
    bands[width].reshape(free.shape)[:-1] -= down * (free[:-1] & free[1:])  # of a single column both are the same
    wanted = np.where(free, _around(down, right, goal), goal)
    found = solveh_banded(bands, wanted.ravel(), lower=True, overwrite_ab=True, overwrite_b=True, check_finite=False)
    return np.clip(found, 0, 1).reshape(free.shape)


def _ease(image: np.ndarray, axis: int) -> np.ndarray:
    """How easy the step is from each pixel to the next one along ``axis``, (0, 1]."""
    spread = 10 * image.std() * np.sqrt(image.shape[2])
    difference = (np.diff(image, axis=axis) ** 2).sum(axis=-1)
    return np.exp(-BETA * difference / max(spread, _LEAST)) + _LEAST


def _around(down: np.ndarray, right: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each pixel the sum of its neighbours' ``values``, each times the ease of the step there."""
    total = np.zeros_like(values)
    total[:-1] += down * values[1:]
    total[1:] += down * values[:-1]
    total[:, :-1] += right * values[:, 1:]
    total[:, 1:] += right * values[:, :-1]
    return total
