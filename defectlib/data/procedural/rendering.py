"""A canvas of supersampled points, and the fields painters evaluate on it: light, noise and distances.

Everything is float64 in the unit square (x to the right, y downwards) and is rounded once, in
``Canvas.pixels``: float32 transcendental functions differ between processors, and one last bit
of a float64 does not survive the rounding. Colours are display values in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Colour = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Canvas:
    """Points to paint on; a window shares its memory with the canvas it was cut from.

    Attributes:
        x: float64 (h, w), position from the left, in sides of the image.
        y: float64 (h, w), position from the top, in sides of the image.
        rgb: float64 (3, h, w), display colour of every point.
        label: uint8 (h, w), class id of every point, 0 where there is no defect.
        factor: Points per pixel along each axis.
    """

    x: np.ndarray
    y: np.ndarray
    rgb: np.ndarray
    label: np.ndarray
    factor: int

    @classmethod
    def blank(cls, size: int) -> Canvas:
        """An unpainted canvas for an image of ``size`` pixels a side."""
        # Nine points a pixel keep two-pixel lines smooth; from 97 px on features are broad and four do.
        factor = 3 if size <= 96 else 2
        x, y = _grid(size * factor)
        return cls(x, y, np.zeros((3, *x.shape)), np.zeros(x.shape, np.uint8), factor)

    def window(self, x: float, y: float, reach: float, down: float | None = None) -> Canvas:
        """The points within ``reach`` of x and ``down`` (or ``reach``) of y; at least one point of the canvas."""
        rows = _span(y, reach if down is None else down, self.y.shape[0])
        columns = _span(x, reach, self.x.shape[1])
        return Canvas(
            self.x[rows, columns],
            self.y[rows, columns],
            self.rgb[:, rows, columns],
            self.label[rows, columns],
            self.factor,
        )

    def blend(self, alpha: np.ndarray, colour: Colour | np.ndarray) -> None:
        """Mix ``colour``, three values or (3, h, w), over the points by ``alpha`` (h, w) in [0, 1]."""
        target = colour if isinstance(colour, np.ndarray) else np.array(colour).reshape(3, 1, 1)
        self.rgb[...] += alpha * (target - self.rgb)

    def scale(self, gain: np.ndarray) -> None:
        """Multiply all three channels by ``gain`` (h, w)."""
        self.rgb[...] *= gain

    def mark(self, inside: np.ndarray, class_id: int) -> None:
        """Give the points where the boolean (h, w) ``inside`` holds to a class; what is marked later wins."""
        self.label[inside] = class_id

    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """The finished image, uint8 (size, size, 3), and mask, uint8 (size, size).

        A pixel's colour is the mean of its points. It is background unless defects cover at least half of
        it, and otherwise of the class that covers most of it (the lower id where two cover the same).
        """
        size = self.x.shape[0] // self.factor
        blocks = (size, self.factor, size, self.factor)
        mean = np.clip(self.rgb, 0.0, 1.0).reshape(3, *blocks).mean(axis=(2, 4))
        image = np.floor(mean * 255.0 + 0.5).astype(np.uint8).transpose(1, 2, 0)
        return np.ascontiguousarray(image), self._majority(blocks)

    def _majority(self, blocks: tuple[int, int, int, int]) -> np.ndarray:
        label = self.label.reshape(blocks)
        mask = np.zeros((blocks[0], blocks[2]), np.uint8)
        best, total = np.zeros(mask.shape, np.int64), np.zeros(mask.shape, np.int64)
        for class_id in np.unique(label[label > 0]):
            count = (label == class_id).sum(axis=(1, 3))
            total += count
            mask[count > best] = class_id
            best = np.maximum(best, count)
        return np.where(2 * total >= self.factor**2, mask, 0).astype(np.uint8)


@lru_cache(maxsize=8)
def _grid(count: int) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(count) + 0.5) / count
    x, y = (np.ascontiguousarray(plane) for plane in np.broadcast_arrays(axis[None, :], axis[:, None]))
    x.flags.writeable = y.flags.writeable = False
    return x, y


def _span(centre: float, reach: float, count: int) -> slice:
    start = min(max(int(np.floor((centre - reach) * count)), 0), count - 1)
    return slice(start, max(min(int(np.ceil((centre + reach) * count)), count), start + 1))


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, a smooth cubic between; falls instead if ``low`` > ``high``."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def lattice(ix: np.ndarray, iy: np.ndarray, salt: int) -> np.ndarray:
    """A random number in [0, 1) for every pair of int64 coordinates, by integer hashing alone."""
    h = ix.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ iy.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    h = h + np.uint64(salt & 0xFFFFFFFFFFFFFFFF)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((h ^ (h >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53


def noise(x: np.ndarray, y: np.ndarray, salt: int) -> np.ndarray:
    """Value noise in [-1, 1] with one random value per unit of (x, y), smoothly joined."""
    fx, fy = np.floor(x), np.floor(y)
    tx, ty = x - fx, y - fy
    tx, ty = tx * tx * (3.0 - 2.0 * tx), ty * ty * (3.0 - 2.0 * ty)
    ix, iy = fx.astype(np.int64), fy.astype(np.int64)
    left, top = int(ix.min()), int(iy.min())
    columns = np.arange(left, int(ix.max()) + 2)
    rows = np.arange(top, int(iy.max()) + 2)
    table = lattice(*np.broadcast_arrays(columns[None, :], rows[:, None]), salt).ravel()
    at = (iy - top) * columns.size + (ix - left)
    upper = table[at] + tx * (table[at + 1] - table[at])
    at += columns.size
    lower = table[at] + tx * (table[at + 1] - table[at])
    return 2.0 * (upper + ty * (lower - upper)) - 1.0


def even_noise(canvas: Canvas, period: float, salt: int) -> np.ndarray:
    """What ``noise`` gives on a whole canvas, (h, w), for one ``period`` along both axes; several times faster."""
    columns, rows = canvas.x[0] / period, canvas.y[:, 0] / period
    left, top = int(np.floor(columns[0])), int(np.floor(rows[0]))
    ix, iy = (np.floor(axis).astype(np.int64) - start for axis, start in ((columns, left), (rows, top)))
    spots = np.arange(left, left + int(ix[-1]) + 2), np.arange(top, top + int(iy[-1]) + 2)
    table = lattice(*np.broadcast_arrays(spots[0][None, :], spots[1][:, None]), salt)
    tx, ty = columns - np.floor(columns), (rows - np.floor(rows))[:, None]
    tx, ty = tx * tx * (3.0 - 2.0 * tx), ty * ty * (3.0 - 2.0 * ty)
    across = table[:, ix] + tx * (table[:, ix + 1] - table[:, ix])
    return 2.0 * (across[iy] + ty * (across[iy + 1] - across[iy])) - 1.0


def turned(x: np.ndarray, y: np.ndarray, centre: tuple[float, float], angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in a frame with its origin at ``centre``, turned by ``angle`` radians."""
    c, s = float(np.cos(angle)), float(np.sin(angle))
    dx, dy = x - centre[0], y - centre[1]
    return c * dx + s * dy, c * dy - s * dx


def backdrop(canvas: Canvas, colour: Colour, towards: float, fall: float, salt: int) -> None:
    """Paint a matt, softly lit table: brighter ``towards`` an angle by up to ``fall``, faintly mottled."""
    dx, dy = canvas.x - 0.5, canvas.y - 0.5
    light = 1.0 + fall * (dx * np.cos(towards) + dy * np.sin(towards)) - 0.22 * (dx * dx + dy * dy)
    light += 0.012 * even_noise(canvas, 1.0 / 7.0, salt)
    canvas.rgb[...] = np.array(colour).reshape(3, 1, 1) * light


def grain(canvas: Canvas, strength: float, salt: int) -> None:
    """Add the sensor's faint grain, the same in all channels; its period is 1/72 of the side at every size."""
    canvas.rgb[...] += strength * even_noise(canvas, 1.0 / 72.0, salt)
