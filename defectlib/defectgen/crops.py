"""Random training crops at the images' native scale, drawn so that every defect type is seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from defectlib.data.sample import Sample

#: Share of the crops that hold a pixel of a defect; the others fall anywhere.
DEFECT_SHARE = 0.75


class Crops:
    """Draws square crops from images of any size, which stay on the device as bytes.

    Three in four hold a defect, whose type is drawn uniformly from the types that occur, so that rare and small ones
    are not drowned. Images smaller than the crop are continued by reflection.

    Args:
        samples: The images to crop.
        side: Side of a crop in pixels.
        device: Where the images are kept and cut.
    """

    def __init__(self, samples: Sequence[Sample], side: int, device: torch.device | None = None) -> None:
        self.side = side
        pairs = [_padded(sample.image, sample.mask, side) for sample in samples]
        #: Sides (height, width) of the images, continued where they are smaller than a crop.
        self.shapes = [mask.shape for _, mask in pairs]
        #: Images uint8 (3, H, W) and masks uint8 (H, W).
        self.images = [torch.from_numpy(image).movedim(-1, 0).contiguous().to(device) for image, _ in pairs]
        self.masks = [torch.from_numpy(mask).to(device) for _, mask in pairs]
        #: For each defect type that occurs, (index of the image, its pixels (P, 2)) of every image that shows it.
        self.pixels: list[list[tuple[int, np.ndarray]]] = []
        for k in range(1, 1 + len(samples[0].classes)):
            shown = [(i, np.argwhere(mask == k)) for i, (_, mask) in enumerate(pairs)]
            if held := [(i, pixels) for i, pixels in shown if len(pixels)]:
                self.pixels.append(held)

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """``count`` crops: images uint8 (N, 3, side, side) and masks uint8 (N, side, side)."""
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        windows = [self._window(rng) for _ in range(count)]
        images = [self.images[i][:, rows, columns] for i, rows, columns in windows]
        masks = [self.masks[i][rows, columns] for i, rows, columns in windows]
        return torch.stack(images), torch.stack(masks)

    def _window(self, rng: np.random.Generator) -> tuple[int, slice, slice]:
        """Index of an image, and the rows and columns of a crop of it."""
        if self.pixels and rng.random() < DEFECT_SHARE:
            held = self.pixels[rng.integers(len(self.pixels))]
            i, pixels = held[rng.integers(len(held))]
            # The pixel may lie anywhere in the crop: a generator that only saw centred defects would centre them.
            corner = pixels[rng.integers(len(pixels))] - rng.integers(self.side, size=2)
        else:
            i = rng.integers(len(self.shapes))
            corner = rng.integers(np.array(self.shapes[i]) - self.side + 1)
        top, left = np.clip(corner, 0, np.array(self.shapes[i]) - self.side)
        return i, slice(top, top + self.side), slice(left, left + self.side)


def _padded(image: np.ndarray, mask: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask continued by reflection until both sides are at least ``side``."""
    missing = [max(0, side - length) for length in mask.shape]
    if not any(missing):
        return image, mask
    widths = [(m // 2, m - m // 2) for m in missing]
    return np.pad(image, [*widths, (0, 0)], mode="symmetric"), np.pad(mask, widths, mode="symmetric")
