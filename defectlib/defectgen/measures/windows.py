"""The part of any photograph that a synthetic crop is nearest to: nets trained on crops copy from any place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

_AT_A_TIME = 32  # crops, to bound the memory that their spectra take


@dataclass(frozen=True)
class Windows:
    """The nearest window of every photograph, for each of N crops.

    Attributes:
        distance: Root-mean-square difference in [0, 1], (N, M) for M photographs.
        corner: Its row and column in the photograph, in pixels, (N, M, 2).
    """

    distance: np.ndarray
    corner: np.ndarray


def nearest_windows(crops: np.ndarray, photographs: Sequence[np.ndarray]) -> Windows:
    """Compare each crop with every window of its size in every photograph.

    Both are halved first, by averages over 2 × 2 pixels: a copy moved by half a pixel is still one, and it takes a
    quarter of the time. All windows at once are a correlation, which is a product of Fourier transforms.

    Args:
        crops: uint8 (N, h, w, 3), sides even.
        photographs: uint8 (H, W, 3) each, no side shorter than a crop's.
    """
    photos = [_halved(photo[None])[0] for photo in photographs]
    canvas = tuple(max(photo.shape[axis] for photo in photos) for axis in (1, 2))
    spectra = [torch.fft.rfft2(photo, s=canvas) for photo in photos]
    parts = [_search(part, photos, spectra, canvas) for part in _halved(crops).split(_AT_A_TIME)]
    return Windows(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _search(
    crops: torch.Tensor, photos: Sequence[torch.Tensor], spectra: Sequence[torch.Tensor], canvas: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    own = torch.fft.rfft2(crops, s=canvas).conj()
    size, energy = crops[0].numel(), crops.square().sum(dim=(1, 2, 3))
    found = list(_least(crops.shape[2:], photos, spectra, own, energy, canvas))
    distance = torch.stack([least for least, _ in found], dim=1)
    corner = torch.stack([place for _, place in found], dim=1)
    return (distance.clamp(min=0) / size).sqrt().numpy(), 2 * corner.numpy()


def _least(
    window: Sequence[int],
    photos: Sequence[torch.Tensor],
    spectra: Sequence[torch.Tensor],
    own: torch.Tensor,
    energy: torch.Tensor,
    canvas: tuple[int, ...],
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Per photograph: the least squared difference to each crop, and the corner (row, column) of that window."""
    for photo, spectrum in zip(photos, spectra, strict=True):
        # |a - b|² = |a|² + |b|² - 2 a·b; the transform is periodic, but windows inside the photograph never wrap.
        products = torch.fft.irfft2((spectrum * own).sum(dim=1), s=canvas)
        squares = _window_sums(photo.square().sum(dim=0), *window)
        rows, columns = squares.shape
        difference = squares + energy[:, None, None] - 2 * products[:, :rows, :columns]
        least, place = difference.flatten(1).min(dim=1)
        yield least, torch.stack([place // columns, place % columns], dim=1)


def _window_sums(values: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Sums over every window of that size: down, then across, which costs height + width and not their product."""
    down = avg_pool2d(values[None], (height, 1), stride=1, divisor_override=1)
    return avg_pool2d(down, (1, width), stride=1, divisor_override=1)[0]


def _halved(images: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H // 2, W // 2) about 0, where sums of squares keep their digits."""
    values = torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).float() / 255 - 0.5
    return avg_pool2d(values, 2)
