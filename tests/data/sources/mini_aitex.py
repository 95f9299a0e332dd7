"""AITEX in small: the archives as published, the image that has no mask among them."""

from pathlib import Path

import numpy as np

from tests.data.sources import miniature


def write_aitex(root: Path) -> Path:
    return miniature.write(root, "aitex", is_mask=lambda path: path.startswith("Mask_images/"), paint=paint)


def paint(path: str) -> np.ndarray:
    """Twelve white pixels, two columns further right in the second part of a mask; none in the mask published black."""
    mask = miniature.white_box(path)
    if path.endswith("_mask2.png"):
        mask = np.roll(mask, 2, axis=1)
    return mask * np.uint8("0106_010_03" not in path)
