"""Copy and paste (Ghiasi et al., 2021): real defects, mirrored, at other places of the training images.

What an engineer would try before any generator, and the paper does not compare with. A defect keeps its type; a soft
border and a shift of its gray levels to those of its new surroundings hide the seam.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import ndimage

from defectlib.data.loading import load_train
from defectlib.defectgen.crops import Crops
from defectlib.defectgen.pairs import write_drawn
from defectlib.runtime import numpy_generator
from defectlib.settings import PastedPairs

MARGIN = 2
"""Pixels beyond a defect's outline that are copied with it, fading out."""
RING = 4
"""Pixels beyond the margin whose mean colour says how light the surroundings are."""


def run(settings: PastedPairs, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: paste ``settings.count`` pairs into the dataset folder ``out/dataset``."""
    crops = Crops(load_train(settings.data), settings.size, "defect")

    def draw(indices: range) -> tuple[np.ndarray, np.ndarray]:
        pairs = [pasted_pair(crops, numpy_generator(settings.seed, "pasted", k)) for k in indices]
        images, masks = zip(*pairs, strict=True)
        return np.stack(images), np.stack(masks)

    write_drawn(draw, settings, out, "copy and paste", "copying and pasting")


def pasted_pair(crops: Crops, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A crop from anywhere with one defect, of a type drawn uniformly, pasted at a place drawn uniformly.

    Returns:
        Image uint8 (side, side, 3) and mask uint8 (side, side).
    """
    (i, rows, columns), (j, *window) = (next(crops.windows(1, rng, share)) for share in (0.0, 1.0))
    image, mask = (part[rows, columns].copy() for part in crops.pair(i))
    source, source_mask = (part[tuple(window)] for part in crops.pair(j))
    labels, _ = ndimage.label(source_mask > 0, np.ones((3, 3)))
    if not labels.any():
        return image, mask
    piece = labels == rng.choice(np.unique(labels[labels > 0]))
    flips = [axis for axis in (0, 1) if rng.random() < 0.5]
    source, source_mask, piece = (np.flip(part, flips) for part in (source, source_mask, piece))

    # Where it comes to lie: the outline stays inside.
    shift = [
        rng.integers(-ends.min(), crops.side - ends.max())
        for ends in (np.nonzero(piece.any(axis=a))[0] for a in (1, 0))
    ]
    source, source_mask, piece = (np.roll(part, shift, axis=(0, 1)) for part in (source, source_mask, piece))

    distance = ndimage.distance_transform_edt(~piece)
    ring = (distance > MARGIN) & (distance <= MARGIN + RING)
    light = image[ring & (mask == 0)], source[ring & (source_mask == 0)]
    offset = light[0].mean(axis=0) - light[1].mean(axis=0) if all(map(len, light)) else 0.0
    alpha = np.clip(1 - distance / (MARGIN + 1), 0, 1)[..., None]
    blended = alpha * (source + offset) + (1 - alpha) * image
    return blended.clip(0, 255).round().astype(np.uint8), np.where(piece, source_mask, mask)
