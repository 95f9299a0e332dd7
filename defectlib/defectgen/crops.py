"""Random training crops at the images' native scale, drawn so that every defect type is seen, and seen whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from defectlib.data.mapped import defect_pixels
from defectlib.data.sample import Sample, continued
from defectlib.device import generator
from defectlib.runtime import numpy_generator
from defectlib.settings import CropBy

#: Share of the crops that hold a pixel of a defect; the others fall anywhere.
DEFECT_SHARE = 0.75
#: Pieces of one type up to twice so many pixels apart are one defect: masks drawn by hand fall into specks.
NEAR = 2

#: Index of an image, and rows and columns of a crop of it.
Window = tuple[int, slice, slice]


class Crops:
    """Draws square crops from images of any size, which are read where they lie and not copied.

    Three in four hold a defect, whose type is drawn uniformly from the types that occur, so that rare and small ones
    are not drowned. Images smaller than the crop are continued by reflection.

    Args:
        samples: The images to crop.
        side: Side of a crop in pixels.
        by: What these crops hold. ``pixel``: one drawn from those of the type, so that large defects are drawn more
            often than small ones, and most are cut. ``defect``: one drawn from the defects of the type (connected
            pieces), whole along every axis on which it fits.
    """

    def __init__(self, samples: Sequence[Sample], side: int, by: CropBy = "pixel") -> None:
        self.samples, self.side, self.by = samples, side, by
        #: Sides (height, width) of the images, continued where they are smaller than a crop.
        self.shapes = [tuple(max(length, side) for length in sample.mask.shape) for sample in samples]
        masks = (self.pair(i)[1] for i in range(len(samples)))
        #: See :func:`~defectlib.data.mapped.defect_pixels`; by defect, every piece is a part.
        self.pixels = defect_pixels(masks, len(samples[0].classes), partial(_parts, by=by))

    def pair(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) and mask uint8 (H, W) number ``i``, continued where they are smaller than a crop."""
        return continued(self.samples[i].image, self.samples[i].mask, self.side)

    def draw(self, count: int, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """``count`` crops: images uint8 (N, 3, side, side) and masks uint8 (N, side, side)."""
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=draw)))
        pairs = [[part[rows, columns] for part in self.pair(i)] for i, rows, columns in self.windows(count, rng)]
        images, masks = (torch.from_numpy(np.stack(parts)) for parts in zip(*pairs, strict=True))
        return images.movedim(-1, 1).contiguous(), masks

    def windows(self, count: int, rng: np.random.Generator, defect_share: float = DEFECT_SHARE) -> Iterator[Window]:
        """Where ``count`` crops lie, of which ``defect_share`` are placed to hold a defect."""
        for _ in range(count):
            i, corner = self._place(rng, defect_share)
            top, left = np.clip(corner, 0, np.array(self.shapes[i]) - self.side)
            yield i, slice(top, top + self.side), slice(left, left + self.side)

    def _place(self, rng: np.random.Generator, defect_share: float) -> tuple[int, np.ndarray]:
        """Index of an image, and the corner of a crop of it, which may lie beyond the border."""
        if self.pixels and rng.random() < defect_share:
            held = list(self.pixels.values())[rng.integers(len(self.pixels))]
            i, parts = held[rng.integers(len(held))]
            return i, self._corner(parts[0] if len(parts) == 1 else parts[rng.integers(len(parts))], rng)
        i = rng.integers(len(self.shapes))
        return i, rng.integers(np.array(self.shapes[i]) - self.side + 1)

    def _corner(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        # What is held may lie anywhere in the crop: a generator that only saw centred defects would centre them.
        pixel = pixels[rng.integers(len(pixels))]
        if self.by == "pixel":
            return pixel - rng.integers(self.side, size=2)
        first, last = pixels.max(axis=0) - self.side + 1, pixels.min(axis=0)
        fits = first <= last
        return rng.integers(np.where(fits, first, pixel - self.side + 1), np.where(fits, last, pixel) + 1)


def drawn_samples(samples: Sequence[Sample], side: int, by: CropBy, count: int = 100) -> tuple[Sample, ...]:
    """``count`` crops drawn as in training, the same ones every time; of no samples, none."""
    if not samples:
        return ()
    images, masks = Crops(samples, side, by=by).draw(count, generator(0, "crops that stand for images"))
    pairs = zip(images.movedim(1, -1).numpy(), masks.numpy(), strict=True)
    return tuple(Sample(f"crop_{k:06}", *pair, samples[0].classes, samples[0].product) for k, pair in enumerate(pairs))


def crop_shares(samples: Sequence[Sample], side: int, by: CropBy = "defect", count: int = 2000) -> pd.DataFrame:
    """What training crops show, counted over ``count`` of them drawn as in training, and as many drawn anywhere.

    Returns:
        Index ``type``; columns, all but the first shares in [0, 1] of the crops: ``images`` of the samples that show
        the type, ``anywhere`` (crops placed anywhere that show it), ``shown`` (training crops that show it) and
        ``whole`` (training crops that show a defect of it uncut).
    """
    crops, classes = Crops(samples, side, by=by), samples[0].classes
    whole = crops if by == "defect" else Crops(samples, side, by="defect")
    boxes = {
        k: {i: [(part.min(axis=0), part.max(axis=0)) for part in parts] for i, parts in held}
        for k, held in whole.pixels.items()
    }
    anywhere, drawn = (
        list(crops.windows(count, numpy_generator(0, "crop shares"), share)) for share in (0, DEFECT_SHARE)
    )
    present = [
        [np.unique(crops.pair(i)[1][rows, columns]) for i, rows, columns in windows] for windows in (anywhere, drawn)
    ]
    values = {}
    for k, name in enumerate(classes, 1):
        held = boxes.get(k, {})
        values[name] = {
            "images": len(held),
            "anywhere": np.mean([k in types for types in present[0]]),
            "shown": np.mean([k in types for types in present[1]]),
            "whole": np.mean([any(_holds(window, *box) for box in held.get(window[0], ())) for window in drawn]),
        }
    return pd.DataFrame.from_dict(values, orient="index").astype({"images": int}).rename_axis("type")


def _holds(window: Window, first: np.ndarray, last: np.ndarray) -> bool:
    ends = zip(window[1:], first, last, strict=True)
    return all(crop.start <= low and high < crop.stop for crop, low, high in ends)


def _parts(where: np.ndarray, by: CropBy) -> list[np.ndarray]:
    """Pixels (P, 2) of ``where``, bool (H, W): all in one, or those of each defect. What nearly touches is one."""
    pixels = np.argwhere(where)
    if by == "pixel":
        return [pixels]
    square = np.ones((3, 3), bool)
    numbers = ndimage.label(ndimage.binary_dilation(where, square, NEAR), square)[0][where]
    ends = np.cumsum(np.bincount(numbers)[1:])
    return np.split(pixels[np.argsort(numbers, kind="stable")], ends[:-1])
