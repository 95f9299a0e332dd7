"""The part of any photograph that a synthetic crop is nearest to: nets trained on crops copy from any place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

_AT_A_TIME = 32  # crops, to bound the memory that their spectra take
_TILE = 256  # halved pixels a side of what is transformed at once, or twice a crop's side if that is more


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
    quarter of the time. All windows at once are a correlation, which is a product of Fourier transforms; of large
    photographs it is taken tile by tile, so that the memory does not grow with them.

    Args:
        crops: uint8 (N, h, w, 3), sides even.
        photographs: uint8 (H, W, 3) each, no side shorter than a crop's.
    """
    window = tuple(side // 2 for side in crops.shape[1:3])
    tile = max(_TILE, *(2 * side for side in window))
    sides = [[side // 2 for side in photo.shape[:2]] for photo in photographs]
    canvas = tuple(min(tile, max(side[axis] for side in sides)) for axis in (0, 1))
    parts = [_search(part, photographs, window, canvas) for part in _halved(crops).split(_AT_A_TIME)]
    return Windows(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _search(
    crops: torch.Tensor, photographs: Sequence[np.ndarray], window: tuple[int, int], canvas: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    own = torch.fft.rfft2(crops, s=canvas).conj()
    size, energy = crops[0].numel(), crops.square().sum(dim=(1, 2, 3))
    distance, corner = [], []
    for photo in photographs:
        found = [_least(tile, at, window, own, energy, canvas) for tile, at in _tiles(photo, window, canvas)]
        least, first = torch.stack([value for value, _ in found]).min(dim=0)
        distance.append(least)
        corner.append(torch.stack([place for _, place in found])[first, torch.arange(len(crops))])
    distances = (torch.stack(distance, dim=1).clamp(min=0) / size).sqrt()
    return distances.numpy(), 2 * torch.stack(corner, dim=1).numpy()


def _tiles(
    photo: np.ndarray, window: tuple[int, int], canvas: tuple[int, int]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Parts of a photograph, halved, no larger than the canvas, that hold all of its windows; and their corners."""
    starts = [
        range(0, max(1, length // 2 - side + 1), most - side + 1)
        for length, side, most in zip(photo.shape[:2], window, canvas, strict=True)
    ]
    for top, left in product(*starts):
        part = photo[2 * top : 2 * (top + canvas[0]), 2 * left : 2 * (left + canvas[1])]
        yield _halved(part[None])[0], torch.tensor([top, left])


def _least(
    photo: torch.Tensor,
    at: torch.Tensor,
    window: tuple[int, int],
    own: torch.Tensor,
    energy: torch.Tensor,
    canvas: tuple[int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The least squared difference of a tile to each crop, and the corner (row, column) of that window."""
    # |a - b|² = |a|² + |b|² - 2 a·b; the transform is periodic, but windows inside the photograph never wrap.
    spectrum = torch.fft.rfft2(photo, s=canvas)
    products = torch.fft.irfft2((spectrum * own).sum(dim=1), s=canvas)
    squares = _window_sums(photo.square().sum(dim=0), *window)
    rows, columns = squares.shape
    difference = squares + energy[:, None, None] - 2 * products[:, :rows, :columns]
    least, place = difference.flatten(1).min(dim=1)
    return least, torch.stack([place // columns, place % columns], dim=1) + at


def _window_sums(values: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Sums over every window of that size: down, then across, which costs height + width and not their product."""
    down = avg_pool2d(values[None], (height, 1), stride=1, divisor_override=1)
    return avg_pool2d(down, (1, width), stride=1, divisor_override=1)[0]


def _halved(images: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H // 2, W // 2) about 0, where sums of squares keep their digits."""
    values = torch.from_numpy(np.ascontiguousarray(images)).movedim(-1, 1).float() / 255 - 0.5
    return avg_pool2d(values, 2)
