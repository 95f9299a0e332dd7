"""Masks drawn on photographs: outlines, transparent fills, contact sheets. Arrays in, arrays out.

Images are uint8 (H, W, 3), masks uint8 (H, W) with 0 for background.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from defectlib.plots.style import defect_colour

DISPLAY_PIXELS = 256  # what a side of a small image is enlarged to, about


def scale_for(image: np.ndarray, pixels: int = DISPLAY_PIXELS) -> int:
    """The whole factor, 1 or more, that brings the longer side of ``image`` nearest to ``pixels`` from below."""
    return max(1, pixels // max(image.shape[:2]))


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """``image`` ``scale`` times as large; smooth for photographs (Lanczos), exact for masks (nearest)."""
    if scale == 1:
        return image
    height, width = image.shape[:2]
    smooth = Image.Resampling.LANCZOS if image.ndim == 3 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(image).resize((width * scale, height * scale), smooth))


def outline(image: np.ndarray, mask: np.ndarray, scale: int | None = None, thickness: int = 1) -> np.ndarray:
    """``image``, enlarged, with a line in its type's colour around every defect.

    The line runs just outside the defect, so that it never hides a thin one; where two types touch, the smaller one
    keeps its line.

    Args:
        scale: Enlargement; None for :func:`scale_for`.
        thickness: Pixels of the enlarged image.
    """
    scale = scale_for(image) if scale is None else scale
    drawn = enlarge(image, scale).copy()
    line = _line_around(enlarge(mask, scale), thickness)
    for class_id in np.unique(line[line > 0]):
        drawn[line == class_id] = _rgb(int(class_id))
    return drawn


def _line_around(mask: np.ndarray, thickness: int) -> np.ndarray:
    """Class ids (H, W) of the pixels within ``thickness`` of a defect and outside it, 0 elsewhere."""
    counts = np.bincount(mask.ravel(), minlength=256)
    # Ranked from large to small, so that a grey dilation lets the smaller type win; background ranks lowest.
    by_size = [0, *sorted((k for k in range(1, 256) if counts[k]), key=lambda k: (-counts[k], k))]
    rank = np.zeros(256, np.uint8)
    rank[by_size] = np.arange(len(by_size))
    ranks = rank[mask]
    dilated = np.asarray(Image.fromarray(ranks).filter(ImageFilter.MaxFilter(2 * thickness + 1)))
    return np.where(dilated > ranks, np.array(by_size, np.uint8)[dilated], 0)


def blend(image: np.ndarray, mask: np.ndarray, scale: int | None = None, alpha: float = 0.5) -> np.ndarray:
    """``image``, enlarged, with every defect filled in its type's colour at opacity ``alpha`` in [0, 1]."""
    scale = scale_for(image) if scale is None else scale
    mask = enlarge(mask, scale)
    drawn = enlarge(image, scale).astype(np.float64)
    for class_id in np.unique(mask[mask > 0]):
        drawn[mask == class_id] = (1 - alpha) * drawn[mask == class_id] + alpha * _rgb(int(class_id))
    return drawn.round().astype(np.uint8)


def side_by_side(images: Sequence[np.ndarray], gap: int = 4) -> np.ndarray:
    """Images in one row on white, ``gap`` pixels apart."""
    return sheet(images, columns=len(images), gap=gap)


def sheet(images: Sequence[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """A contact sheet: images in rows of ``columns`` on white, ``gap`` pixels apart; all of one size.

    Raises:
        ValueError: There is no image, or their sizes differ.
    """
    sizes = {image.shape for image in images}
    if len(sizes) != 1:
        raise ValueError(f"a contact sheet needs images of one size, got {sorted(sizes)}")
    ((height, width, channels),) = sizes
    rows = math.ceil(len(images) / columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, np.uint8)
    for position, image in enumerate(images):
        top, left = position // columns * (height + gap), position % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def shrink(image: np.ndarray, width: int) -> np.ndarray:
    """``image``, at most ``width`` pixels wide; its proportions stay."""
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def to_bytes(image: np.ndarray, quality: int = 85) -> bytes:
    """``image`` as the content of a JPEG file; ``quality`` in [1, 100].

    Colour keeps its full resolution: halved, as WebP does, thin outlines lose theirs.
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=quality, subsampling=0)
    return buffer.getvalue()


def _rgb(class_id: int) -> np.ndarray:
    return np.array(defect_colour(class_id)[:3]) * 255
