"""Near-duplicates: images that look the same and must not stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from defectlib import runtime
from defectlib.data.pixels import read_image, threaded

# Two images are near-duplicates when a 64-bit average hash differs in at most this many bits ...
HASH_BITS = 6
# ... and 32 x 32 gray thumbnails differ by at most this many gray levels of 255 on average.
GRAY_LEVELS = 2.0
# Before one fixed camera all images are alike, whatever part lies there. Then only two that differ by at most this
# share of what any two differ by are one part.
SHARE = 0.25
_SAMPLE = 200  # images whose pairs tell by how much any two differ


def thumbnail(image: np.ndarray) -> np.ndarray:
    """A 32 x 32 gray version, uint8, of an image, uint8 (H, W, 3)."""
    return np.asarray(Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.BOX))


def average_hash(thumbnails: np.ndarray) -> np.ndarray:
    """uint64 (N,): which cells of an 8 x 8 grid over uint8 thumbnails (N, 32, 32) are lighter than their mean."""
    cells = thumbnails.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(-1, 64)
    return np.packbits(cells > cells.mean(axis=1, keepdims=True), axis=1).view(np.uint64).ravel()


def fixed_camera_levels(thumbnails: np.ndarray) -> float:
    """By how many gray levels two images of one fixed camera may differ and still be one part.

    Args:
        thumbnails: uint8 (N, 32, 32), of all its images; two at least.
    """
    few = thumbnails[np.linspace(0, len(thumbnails) - 1, min(len(thumbnails), _SAMPLE)).astype(int)].astype(np.int16)
    apart = [np.abs(few[i + 1 :] - few[i]).mean(axis=(1, 2)) for i in range(len(few) - 1)]
    return SHARE * float(np.median(np.concatenate(apart)))


def near_duplicates(
    first: np.ndarray,
    second: np.ndarray,
    within: float = GRAY_LEVELS,
    others: Callable[[int], np.ndarray] | None = None,
) -> Iterator[tuple[float, int, int]]:
    """Pairs (mean absolute difference in gray levels, i, j) of alike thumbnails, uint8 (N, 32, 32) and (M, 32, 32).

    Sums over the cells of a grid differ by no more, in all, than the pixels do: most pairs are told apart by few cells.

    Args:
        first: Thumbnails.
        second: Thumbnails.
        within: The most that they may differ by.
        others: Of those that i is compared with, bool (M,); asked when its turn comes. None: all.
    """
    hashes = average_hash(second)
    levels = [[_cells(thumbnails, side) for thumbnails in (first, second)] for side in (4, 8, 32)]
    with runtime.progress(len(first), "comparing", unit="image") as bar:
        for i, own in enumerate(average_hash(first)):
            bar.update()
            alike = np.bitwise_count(hashes ^ own) <= HASH_BITS
            candidates = np.flatnonzero(alike if others is None else alike & others(i))
            for ours, theirs in levels:
                differences = np.abs(theirs[candidates] - ours[i]).sum(axis=1) / 32**2
                candidates, differences = candidates[differences <= within], differences[differences <= within]
            for j, levels_apart in zip(candidates.tolist(), differences.tolist(), strict=True):
                yield levels_apart, i, j


def _cells(thumbnails: np.ndarray, side: int) -> np.ndarray:
    """Sums over the cells of a grid of ``side`` cells a side, (N, side²), of thumbnails, uint8 (N, 32, 32)."""
    cells = thumbnails.reshape(-1, side, 32 // side, side, 32 // side).sum(axis=(2, 4), dtype=np.int16)
    return cells.reshape(-1, side**2)


def merge_twins(index: pd.DataFrame, thumbnails: np.ndarray | None = None, within: float = GRAY_LEVELS) -> pd.DataFrame:
    """``index`` (see :func:`folder.index`) with groups that hold images alike to one another's made one group.

    A split must err on the safe side: two parts that look the same do no harm on one side, one part on both does.

    Args:
        index: Columns ``image``, a path, and ``group``.
        thumbnails: uint8 (N, 32, 32), of the images of its rows; if None, the images are decoded for them.
        within: By how many gray levels alike images may differ.
    """
    if thumbnails is None:
        thumbnails = thumbnails_of(index)
    numbers, names = pd.factorize(index["group"])
    later = np.arange(len(numbers))

    def others(i: int) -> np.ndarray:  # not those that it was compared with, or is in one group with already
        return (later > i) & (numbers != numbers[i])

    for _, i, j in near_duplicates(thumbnails, thumbnails, within, others):
        if numbers[i] != numbers[j]:
            numbers[numbers == numbers[j]] = numbers[i]
    return index.assign(group=pd.Series(names[numbers], index.index))


def thumbnails_of(index: pd.DataFrame) -> np.ndarray:
    """Thumbnails, uint8 (N, 32, 32), of the images in the rows of ``index``."""
    images = [Path(path) for path in index["image"]]
    return np.stack(list(threaded(lambda path: thumbnail(read_image(path)), images, "comparing")))
