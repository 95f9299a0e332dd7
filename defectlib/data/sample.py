"""What a sample is: one image of a product, its index mask, and what the mask's numbers mean (paper §3.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Sample:
    """One image–mask pair.

    Attributes:
        key: Identifier within its dataset; image and mask are joined on it.
        image: uint8 (H, W, 3), RGB.
        mask: uint8 (H, W); 0 is background, ``k`` is ``classes[k - 1]``. Several types may occur in one mask.
        classes: Names of the product's K defect types, by id from 1.
        product: Name of the product shown.
        caption: One sentence on what is in the image; empty where nobody wrote one.
        source: Where the pair comes from, for people to read (a dataset's name, a generator's key).
    """

    key: str
    image: np.ndarray
    mask: np.ndarray
    classes: tuple[str, ...]
    product: str
    caption: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3:
            raise ValueError(f"{self.key}: image must be uint8 (H, W, 3), got {self.image.dtype} {self.image.shape}")
        if self.mask.dtype != np.uint8 or self.mask.shape != self.image.shape[:2]:
            raise ValueError(
                f"{self.key}: mask must be uint8 {self.image.shape[:2]}, got {self.mask.dtype} {self.mask.shape}"
            )
        if (top := int(self.mask.max(initial=0))) > len(self.classes):
            raise ValueError(f"{self.key}: mask value {top} has no class; there are {len(self.classes)}")

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the defect types that occur in the mask, in id order."""
        return tuple(self.classes[k - 1] for k in np.unique(self.mask) if k > 0)


def window(sample: Sample, corner: tuple[int, int], side: int) -> Sample:
    """The square of ``side`` pixels whose first row and column are ``corner``, in the sample as :func:`continued`."""
    top, left = corner
    image, mask = (a[top : top + side, left : left + side] for a in continued(sample.image, sample.mask, side))
    return replace(sample, image=image, mask=mask)


def continued(image: np.ndarray, mask: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask, continued by reflection on all sides alike until neither side is shorter than ``side`` pixels."""
    missing = [max(0, side - length) for length in mask.shape]
    if not any(missing):
        return image, mask
    widths = [(m // 2, m - m // 2) for m in missing]
    return np.pad(image, [*widths, (0, 0)], mode="symmetric"), np.pad(mask, widths, mode="symmetric")


def reduced(sample: Sample, times: int) -> Sample:
    """``sample`` so many times smaller: means of squares of pixels, and the defect type that covers half of a square.

    Squares that reach beyond the border are continued from it.
    """
    widths = [(0, -length % times) for length in sample.mask.shape]
    image = np.pad(sample.image, [*widths, (0, 0)], mode="edge")
    mask = np.pad(sample.mask, widths, mode="edge")
    height, width = (length // times for length in mask.shape)
    mean = image.reshape(height, times, width, times, 3).mean(axis=(1, 3))
    small = np.zeros((height, width), np.uint8)
    for k in np.unique(mask[mask > 0]):
        small[(mask == k).reshape(height, times, width, times).mean(axis=(1, 3)) >= 0.5] = k
    return replace(sample, image=mean.round().astype(np.uint8), mask=small)
