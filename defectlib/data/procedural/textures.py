"""Painted surfaces with grain and defects of any kind, gray and in colour: what the shipped base learns from.

Not a product: no two images show the same material. Fields are drawn in the frequency domain, where the roughness of
a surface is the slope of its power spectrum.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from defectlib.data.sample import Sample
from defectlib.runtime import numpy_generator

CLASSES = ("defect",)


def sample(index: int, size: int, seed: int = 0) -> Sample:
    """Surface number ``index``, square, with none to three defects, all of the one type."""
    rng = numpy_generator(seed, "textures", index)
    surface = _surface(rng, size)
    mask = np.zeros((size, size), bool)
    for _ in range(rng.choice(4, p=(0.1, 0.5, 0.25, 0.15))):
        cover = _cover(rng, size)  # in [0, 1]
        surface += cover * (_damaged(rng, surface, size) - surface)
        mask |= cover >= 0.5
    surface += _light(rng, size) + _grain(rng, size)  # a camera adds its noise to everything
    image = np.clip(_coloured(rng, surface), 0, 255).round().astype(np.uint8)
    return Sample(f"texture_{index:05d}", image, mask.astype(np.uint8), CLASSES, "texture")


def _field(rng: np.random.Generator, size: int, slope: float, stretch: float = 1.0, angle: float = 0.0) -> np.ndarray:
    """A Gaussian field (size, size) of mean 0 and deviation 1 whose amplitude falls with frequency^-slope.

    Its structures are ``stretch`` times as long along ``angle`` (radians) as across.
    """
    padded = 2 * size  # so that what is cut from it does not continue at the opposite border
    v, u = np.meshgrid(np.fft.fftfreq(padded), np.fft.rfftfreq(padded), indexing="ij")
    along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    frequency = np.hypot(along * stretch, across)
    amplitude = np.maximum(frequency, 1 / padded) ** -slope
    noise = rng.standard_normal((padded, padded // 2 + 1)) + 1j * rng.standard_normal((padded, padded // 2 + 1))
    field = np.fft.irfft2(amplitude * noise, s=(padded, padded))[:size, :size]
    return (field - field.mean()) / (field.std() + 1e-9)


def _surface(rng: np.random.Generator, size: int) -> np.ndarray:
    """Gray levels (size, size) of a material without noise."""
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    stretch = rng.choice([1.0, rng.uniform(2, 6), rng.uniform(6, 30)])
    surface = rng.uniform(2, 25) * _field(rng, size, rng.uniform(0.3, 1.8), stretch, angle)
    kind = rng.choice(["plain", "grains", "weave", "dots"], p=(0.5, 0.2, 0.2, 0.1))
    if kind == "grains":  # crystals, each of its own brightness
        cells = rng.uniform(0, size, (rng.integers(10, 400), 2))
        grid = np.moveaxis(np.indices((size, size)), 0, -1)
        nearest = np.square(grid[:, :, None] - cells).sum(-1).argmin(-1)
        surface += ndimage.gaussian_filter(rng.uniform(3, 25) * rng.standard_normal(len(cells))[nearest], 0.6)
    elif kind in ("weave", "dots"):
        y, x = np.indices((size, size)) + 0.5 * np.stack([_field(rng, size, 1.8) for _ in range(2)])
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        waves = np.sin(2 * np.pi * along / rng.uniform(3, 14)), np.sin(2 * np.pi * across / rng.uniform(3, 14))
        surface += rng.uniform(5, 30) * (waves[0] + waves[1] if kind == "weave" else waves[0] * waves[1])
    return surface + rng.uniform(40, 215)


def _cover(rng: np.random.Generator, size: int) -> np.ndarray:
    """How much of each pixel a defect covers, in [0, 1]: a patch, a speck, a line that is straight or wanders."""
    centre, unit = rng.uniform(0.1, 0.9, 2) * size, size / 64
    if rng.random() < 0.55:
        radii = unit * np.exp(rng.uniform(np.log(1.5), np.log(22), 2))
        angle = rng.uniform(0, np.pi)
        y, x = np.indices((size, size)) - centre[:, None, None]
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        rim = rng.uniform(0.05, 0.45) * _field(rng, size, rng.uniform(1.2, 2.2))
        distance = (1 + rim - np.hypot(along / radii[0], across / radii[1])) * radii.min()
    else:
        steps, turn = rng.integers(8, 70), rng.choice([0.02, 0.15, 0.5])
        headings = rng.uniform(0, 2 * np.pi) + turn * np.cumsum(rng.standard_normal(steps))
        path = centre + unit * np.cumsum(np.stack([np.sin(headings), np.cos(headings)], axis=-1), axis=0)
        off = np.ones((4 * size, 4 * size), bool)  # four points a pixel: a line may be thinner than one
        fine = np.concatenate([path[:-1] + f * np.diff(path, axis=0) for f in np.linspace(0, 1, 8)]) * 4
        fine = fine[((fine >= 0) & (fine < 4 * size)).all(axis=1)].astype(int)
        off[tuple(fine.T)] = False
        if off.all():
            return np.zeros((size, size))
        width = unit * rng.uniform(0.6, 2.5)
        near = ndimage.distance_transform_edt(off).reshape(size, 4, size, 4).mean(axis=(1, 3)) / 4
        distance = width - near
    return np.clip(distance / rng.uniform(0.7, 2.5) + 0.5, 0, 1)


def _damaged(rng: np.random.Generator, surface: np.ndarray, size: int) -> np.ndarray:
    """The material where it is damaged: darker or brighter, rough, smeared, or another one."""
    shift = rng.choice([-1, -1, 1]) * rng.uniform(12, 90)
    kind = rng.choice(["shift", "flat", "rough", "other"], p=(0.45, 0.2, 0.2, 0.15))
    if kind == "shift":
        return surface + shift
    if kind == "flat":
        return ndimage.gaussian_filter(surface, rng.uniform(1, 4)) + shift
    if kind == "rough":
        return surface + shift / 2 + rng.uniform(8, 40) * _field(rng, size, rng.uniform(0.3, 1.5))
    return _surface(rng, size)


def _light(rng: np.random.Generator, size: int) -> np.ndarray:
    y, x = np.indices((size, size)) / size - 0.5
    slope = rng.uniform(-30, 30, 2)
    return slope[0] * x + slope[1] * y + rng.uniform(0, 12) * _field(rng, size, 2.5)


def _grain(rng: np.random.Generator, size: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), rng.uniform(0, 0.8))
    return np.exp(rng.uniform(np.log(1), np.log(10))) * noise / noise.std()


def _coloured(rng: np.random.Generator, surface: np.ndarray) -> np.ndarray:
    """Gray levels as (size, size, 3): six in ten stay gray, others lie between two colours and have noise in each."""
    if rng.random() < 0.6:
        return np.repeat(surface[..., None], 3, axis=-1)
    dark, bright = rng.uniform(0, 110, 3), rng.uniform(120, 255, 3)
    colours = dark + np.clip(surface, 0, 255)[..., None] / 255 * (bright - dark)
    return colours + rng.uniform(0, 4) * rng.standard_normal(colours.shape)
