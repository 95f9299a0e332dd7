"""Augmentation of image–mask pairs, exact for the mask: every operation moves whole pixels or leaves them in place.

It stays close to what a fixed camera under a fixed lamp can see. Images are never turned or put upside down: under
light from one side that makes a dent of a bump, and a short training pays for views that never come.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from defectlib.errors import UserError

_CPU = torch.device("cpu")
SHIFT = 1 / 16
"""Greatest shift of a whole image, as a fraction of its side; what enters is reflected, in image and mask alike."""
CONTRAST = 0.05
BRIGHTNESS = 6.4
"""Greatest change of contrast (a fraction) and of brightness (in the units of the pixels, 0..255)."""


def window(x: torch.Tensor, top: int, left: int, height: int, width: int) -> torch.Tensor:
    """A window of ``x`` (..., H, W) of any size and at any place; beyond its border the image is reflected."""
    rows = reflected(torch.arange(top, top + height), x.shape[-2]).to(x.device)
    columns = reflected(torch.arange(left, left + width), x.shape[-1])
    # Only what is reflected is gathered column by column; the rest are runs of memory. Others are not touched.
    first = min(max(-left, 0), width)
    last = max(min(x.shape[-1] - left, width), first)
    low, high = int(columns.min()), int(columns.max())
    x, columns = x[..., low : high + 1].index_select(-2, rows), (columns - low).to(x.device)
    inside = x[..., left + first - low : left + last - low]
    return torch.cat([x.index_select(-1, columns[:first]), inside, x.index_select(-1, columns[last:])], dim=-1)


def reflected(index: torch.Tensor, length: int) -> torch.Tensor:
    """Any integer index folded into [0, length) by reflection that does not repeat the border."""
    period = max(2 * length - 2, 1)
    index = index % period
    return torch.minimum(index, period - index) if length > 1 else torch.zeros_like(index)


def augment(
    image: torch.Tensor,
    mask: torch.Tensor,
    crop: int | None,
    focus: Sequence[Sequence[int]] | np.ndarray,
    generator: torch.Generator,
    device: torch.device = _CPU,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One random view of one pair: a crop or a small shift, mirrored or not, with other brightness and contrast.

    Args:
        image: uint8 (3, H, W), on the CPU.
        mask: uint8 (H, W), likewise.
        crop: Side of the view in pixels; None keeps the whole image.
        focus: Rows and columns of pixels, (P, 2). Every other crop is placed to contain one; none: all at random.
        generator: The only source of chance; on the CPU.
        device: Where the view goes.

    Returns:
        Image, float32 (3, h, w) in [0, 255], and mask, uint8 (h, w), on ``device``.
    """
    place = _place(mask, crop, focus, generator)
    image, mask = (window(part, *place).to(device) for part in (image, mask))
    if _integer(2, generator):
        image, mask = image.flip(-1), mask.flip(-1)
    contrast, brightness = (2 * torch.rand(2, generator=generator) - 1).tolist()
    image = image.float()
    mean = image.mean()
    image.sub_(mean).mul_(1 + CONTRAST * contrast).add_(mean).add_(BRIGHTNESS * brightness)
    return image.clamp_(0, 255), mask


def _place(
    mask: torch.Tensor, crop: int | None, focus: Sequence[Sequence[int]] | np.ndarray, generator: torch.Generator
) -> tuple[int, int, int, int]:
    """Top, left, height and width of the view, in pixels."""
    if crop is None:
        height, width = mask.shape
        top, left = (_integer(2 * reach + 1, generator) - reach for reach in (int(height * SHIFT), int(width * SHIFT)))
        return top, left, height, width
    if len(focus) and _integer(2, generator):
        point = focus[_integer(len(focus), generator)]
        starts = [_start_around(int(at), side, crop, generator) for at, side in zip(point, mask.shape, strict=True)]
    else:
        starts = [_integer(max(side - crop, 0) + 1, generator) for side in mask.shape]
    return starts[0], starts[1], crop, crop


def _start_around(at: int, side: int, crop: int, generator: torch.Generator) -> int:
    """Where a crop along one axis starts so that it contains ``at`` and, if it fits, stays inside ``side``."""
    low, high = max(at - crop + 1, 0), max(min(at, side - crop), 0)
    return low + _integer(max(high - low, 0) + 1, generator) if low <= high else 0


def _integer(high: int, generator: torch.Generator) -> int:
    return int(torch.randint(high, (), generator=generator))


def check_one_size(masks: list[torch.Tensor]) -> None:
    """Whole images are stacked into batches, so they must have one size.

    Raises:
        UserError: They have several.
    """
    sizes = sorted({(mask.shape[1], mask.shape[0]) for mask in masks})
    if len(sizes) > 1:
        shown = ", ".join(f"{width}x{height}" for width, height in sizes[:3])
        raise UserError(f"training images differ in size ({shown}{', ...' if len(sizes) > 3 else ''}): set crop")
