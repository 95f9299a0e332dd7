"""How much of an image lies at which frequency: the power spectrum, averaged over circles. Grain is its far end."""

from __future__ import annotations

import numpy as np


def radial_spectrum(images: np.ndarray) -> np.ndarray:
    """Power by spatial frequency, mean over images and, for each number of waves across the side, over all directions.

    Of gray levels in [0, 255], under a Hann window, so that opposite borders that do not meet are no edge.

    Args:
        images: uint8 (N, H, H, 3), square.

    Returns:
        float64 (H/2 - 1,), for 1, 2, … waves a side: in decibels, 10 log10 of gray levels squared.
    """
    side = images.shape[1]
    gray = images.mean(axis=-1)
    window = np.outer(np.hanning(side + 2)[1:-1], np.hanning(side + 2)[1:-1])
    window /= np.sqrt(np.square(window).sum())  # white noise of variance σ² has power σ² everywhere
    power = np.square(np.abs(np.fft.fft2((gray - gray.mean(axis=(1, 2), keepdims=True)) * window))).mean(axis=0)
    waves = np.fft.fftfreq(side, 1 / side)
    radius = np.hypot(*np.meshgrid(waves, waves, indexing="ij")).round().astype(int)
    rings = np.bincount(radius.ravel(), power.ravel()) / np.bincount(radius.ravel())
    return 10 * np.log10(rings[1 : side // 2] + 1e-3)


def spectrum_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Root mean square difference of :func:`radial_spectrum` of two sets of images, over frequencies, in decibels."""
    return float(np.sqrt(np.square(radial_spectrum(ours) - radial_spectrum(theirs)).mean()))
