"""Patches of images as vectors: the common ground of what looks at images up close."""

from __future__ import annotations

import numpy as np


def patches(image: np.ndarray, side: int, places: int) -> np.ndarray:
    """Square patches on a regular grid that reaches every edge of the image.

    Args:
        image: uint8 (H, W, 3).
        side: Pixels a side of a patch.
        places: How many there are along each axis at most; fewer where they would overlap by more than half.

    Returns:
        uint8 (P, 3 · side²), the same places in the same order for all images of one size.
    """
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), axis=(0, 1))
    rows, columns = (_starts(length, side, places) for length in image.shape[:2])
    return windows[np.ix_(rows, columns)].reshape(len(rows) * len(columns), -1)


def patches_of_all(images: np.ndarray, share: float, places: int) -> np.ndarray:
    """Patches of images (N, H, W, 3) whose side is a ``share`` of the image's: uint8 (N, P, D)."""
    return np.stack([patches(image, side_of(images, share), places) for image in images])


def side_of(images: np.ndarray, share: float) -> int:
    """Pixels that are a ``share`` of the shorter side of images (N, H, W, 3), at least one."""
    return max(1, round(share * min(images.shape[1:3])))


def _starts(length: int, side: int, places: int) -> np.ndarray:
    last = length - side
    return np.linspace(0, last, min(places, 1 + 2 * last // side)).round().astype(int)
