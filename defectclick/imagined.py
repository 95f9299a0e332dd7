"""Defects and materials such as no product has: domains without end, drawn on the images of a few.

A few products teach a network their own few kinds of defect, and that whatever else stands out is the product itself.
Defects of random shapes and fillings, in the spirit of simulated anomalies (DRAEM, Zavrtanik et al. 2021), teach it to
find whatever was clicked; patches of other colours, through which defects go on, teach it what is none.
"""

from __future__ import annotations

import cv2
import numpy as np

from defectclick.clicks import depth

PATCHES = (0.35, 0.3, 0.2, 0.15)  # how often an image is given 0, 1, 2 and 3 patches of other material
SIZE_OF_PATCH = (0.06, 0.6)  # half axes, in longer sides of the image
LEAST_SEEN = 12  # grey levels by which a defect changes the image at least, on average
OPACITY = (0.5, 1.0)
RELIEF, RIM = 0.4, 0.3  # shares of the defects that are lit from a side, and that have a rim
DEPTH = 60  # standard deviation of what light and a rim change, in grey levels
SIZE_OF_BLOT, SIZE_OF_ELLIPSE = (0.02, 0.35), (0.015, 0.3)  # half axes, in longer sides of the image
LENGTH_OF_SCRATCH, WIDTH_OF_SCRATCH = (0.08, 0.9), (0.008, 0.05)  # likewise
_LEAST_PIXELS = 3
_TRIES = 8
_BENDS = 12
_FINER = 4


def imagined(image: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The image with one more defect: a blot, an ellipse or a scratch of any size.

    What lies in it is the image in another colour, or a part of it from elsewhere, more or less opaque, its grain more
    or less lost, with a border more or less soft; some are lit from a side, as dents are, some have a rim of another
    colour, as blisters have. One that can hardly be seen is drawn anew, a few times.

    Returns:
        uint8 (H, W, 3) as ``image`` is, and the defect, bool (H, W), at least one pixel.
    """
    for _ in range(_TRIES):
        cover = _SHAPES[draw.integers(len(_SHAPES))](image.shape[:2], draw)
        target = cover >= 0.5 if (cover >= 0.5).any() else cover == cover.max()
        found = _filled(image, cover, target, draw)
        seen = np.abs(found[target].astype(int) - image[target]).mean() >= LEAST_SEEN
        if seen and target.sum() >= _LEAST_PIXELS:
            break
    return found, target


def _filled(image: np.ndarray, cover: np.ndarray, target: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    other = image
    if draw.random() < 0.5:
        other = np.roll(image, (int(draw.integers(height)), int(draw.integers(width))), axis=(0, 1))
    smooth = draw.random() if draw.random() < 0.5 else 0.0
    gain, shift = np.exp(draw.normal(0, 0.3) + draw.normal(0, 0.15, 3)), draw.normal(0, 60) + draw.normal(0, 25, 3)
    new = ((1 - smooth) * other + smooth * other[target].mean(axis=0)) * gain + shift
    if draw.random() < RELIEF:
        new += draw.normal(0, DEPTH) * _tilt(target, draw)[..., None]
    if draw.random() < RIM:
        inner = depth(target)
        rim = target & (inner <= draw.uniform(0.2, 0.7) * inner.max())
        new += rim[..., None] * (draw.normal(0, DEPTH) + draw.normal(0, 20, 3))
    share = (cover * draw.uniform(*OPACITY))[..., None]
    return np.clip(image * (1 - share) + new * share, 0, 255).round().astype(np.uint8)


def patched(image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The image, uint8 (H, W, 3), as if parts of it were of other materials: ellipses in other colours."""
    for _ in range(draw.choice(len(PATCHES), p=PATCHES)):
        inside = _from_ellipse(image.shape[:2], SIZE_OF_PATCH, draw) <= 1
        gain, shift = np.exp(draw.normal(0, 0.3) + draw.normal(0, 0.25, (3, 1))), draw.normal(0, 0.15, (3, 1))
        table = (np.clip(np.linspace(0, 1, 256) * gain + shift, 0, 1) * 255).round().astype(np.uint8)
        image = np.where(inside[..., None], np.stack([table[i][image[..., i]] for i in range(3)], axis=-1), image)
    return image


def _tilt(target: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A plane through the middle of a bool (H, W), float64 from -1 to 1 within it."""
    angle, (rows, columns) = draw.uniform(0, 2 * np.pi), np.nonzero(target)
    y, x = np.ogrid[: target.shape[0], : target.shape[1]]
    plane = np.sin(angle) * (y - rows.mean()) + np.cos(angle) * (x - columns.mean())
    return np.clip(plane / (np.abs(plane[target]).max() + 1e-6), -1, 1)


# Shapes: how much of each pixel they cover, float32 (H, W) in [0, 1] --------------------------------------------------


def _blot(sides: tuple[int, int], draw: np.random.Generator) -> np.ndarray:
    length = max(sides)
    noise = cv2.GaussianBlur(draw.standard_normal(sides, np.float32), (0, 0), _between(0.015, 0.1, draw) * length)
    noise *= draw.uniform(0.4, 1.2) / (noise.std() + 1e-6)
    return _soft(noise + 2 * (1 - _from_ellipse(sides, SIZE_OF_BLOT, draw)), length / 20, draw)


def _ellipse(sides: tuple[int, int], draw: np.random.Generator) -> np.ndarray:
    return _soft(1 - _from_ellipse(sides, SIZE_OF_ELLIPSE, draw), max(sides) / 10, draw)


def _scratch(sides: tuple[int, int], draw: np.random.Generator) -> np.ndarray:
    """A line that bends, drawn finer than the image is."""
    length = max(sides)
    angles = draw.uniform(0, 2 * np.pi) + np.cumsum(draw.normal(0, draw.uniform(0, 0.35), _BENDS))
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * _between(*LENGTH_OF_SCRATCH, draw) * length / _BENDS
    points = draw.uniform(0, sides[::-1]) + np.cumsum(steps, axis=0)
    canvas = np.zeros((_FINER * sides[0], _FINER * sides[1]), np.uint8)
    width = max(1, round(_FINER * _between(*WIDTH_OF_SCRATCH, draw) * length))
    cv2.polylines(canvas, [(_FINER * points).round().astype(np.int32)], False, 255, width)
    return (cv2.resize(canvas, sides[::-1], interpolation=cv2.INTER_AREA) / 255).astype(np.float32)


_SHAPES = (_blot, _ellipse, _scratch)


def _from_ellipse(sides: tuple[int, int], axes: tuple[float, float], draw: np.random.Generator) -> np.ndarray:
    """How far every pixel lies from a middle, 1 on some ellipse about it."""
    rows, columns = np.ogrid[: sides[0], : sides[1]]
    across, along = (_between(*axes, draw) * max(sides) for _ in range(2))
    y, x, angle = rows - draw.uniform(0, sides[0]), columns - draw.uniform(0, sides[1]), draw.uniform(0, np.pi)
    c, s = np.cos(angle), np.sin(angle)
    return np.sqrt(((c * x + s * y) / along) ** 2 + ((c * y - s * x) / across) ** 2).astype(np.float32)


def _soft(inside: np.ndarray, scale: float, draw: np.random.Generator) -> np.ndarray:
    """What is positive inside, as a cover whose border is more or less wide."""
    return np.clip(inside * scale / draw.uniform(0.3, 1.5) + 0.5, 0, 1).astype(np.float32)


def _between(low: float, high: float, draw: np.random.Generator) -> float:
    """Any size between two, small ones as often as large ones."""
    return float(np.exp(draw.uniform(np.log(low), np.log(high))))
