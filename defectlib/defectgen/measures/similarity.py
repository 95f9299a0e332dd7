"""Diversity of a set of images as people see it: how unlike its images are by multi-scale structural similarity."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.ndimage import correlate1d

#: Weights of the scales, finest first (Wang et al. 2003, §3.2).
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11  # pixels a side of the Gaussian window
_INSIDE = slice(_WINDOW // 2, -(_WINDOW // 2))  # where it needs no mirrored pixels
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2  # for images in [0, 1]
_MOST_PAIRS = 300  # all those of 25 images


def diversity(images: np.ndarray) -> float:
    """One minus the mean similarity of two images of a set, as Odena et al. 2017 (AC-GAN, §4.2) judge diversity.

    Of more than 300 pairs, 300 evenly spaced ones are taken.

    Args:
        images: uint8 (N, H, W, 3), two at least.

    Returns:
        In [0, 1]: 0 if all images are the same.
    """
    pairs = np.array(list(combinations(range(len(images)), 2)))
    chosen = pairs[np.linspace(0, len(pairs) - 1, min(len(pairs), _MOST_PAIRS)).round().astype(int)]
    return 1 - float(np.mean([ms_ssim(images[i], images[j]) for i, j in chosen]))


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Multi-scale structural similarity of two images (Wang et al. 2003), averaged over colours.

    The paper's five scales need 176 px a side. A smaller image has as many as its shorter side, halved from scale to
    scale, still holds the 11 px window (three at 64 px, two at 32 px), and their weights are scaled to the sum 1; so
    values at different sizes are not comparable. A term whose mean is negative counts as 0; the coarsest scale is
    mirrored at its edges and counts to the last pixel. Both are as in torchmetrics.

    Args:
        a: uint8 (H, W, 3), 11 px a side or more.
        b: The same.

    Returns:
        In [0, 1]; 1 for equal images.

    Raises:
        ValueError: The images are smaller than the window.
    """
    count = scales(min(a.shape[:2]))
    if not count:
        raise ValueError(f"images of {a.shape[0]} × {a.shape[1]} px are smaller than the window of {_WINDOW} px")
    weights = np.array(SCALE_WEIGHTS[:count]) / sum(SCALE_WEIGHTS[:count])
    x, y = (image.astype(np.float64) / 255 for image in (a, b))
    value = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            x, y = _halved(x), _halved(y)
        luminance, contrast = _similarity(x, y)
        term = luminance * contrast if scale == count - 1 else contrast[_INSIDE, _INSIDE]
        value *= max(0.0, float(term.mean())) ** weight
    return value


def scales(side: int) -> int:
    """How many of the five scales an image has whose shorter side is ``side`` pixels."""
    return sum(side // 2**scale >= _WINDOW for scale in range(len(SCALE_WEIGHTS)))


def _similarity(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The luminance term, and contrast times structure, at every pixel."""
    mean_x, mean_y = _smooth(x), _smooth(y)
    variances = _smooth(x * x) - mean_x**2 + _smooth(y * y) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return luminance, (2 * covariance + _C2) / (variances + _C2)


def _smooth(x: np.ndarray) -> np.ndarray:
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    kernel = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    kernel /= kernel.sum()
    return correlate1d(correlate1d(x, kernel, axis=0, mode="mirror"), kernel, axis=1, mode="mirror")


def _halved(x: np.ndarray) -> np.ndarray:
    height, width = (length // 2 for length in x.shape[:2])
    return x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).mean(axis=(1, 3))
