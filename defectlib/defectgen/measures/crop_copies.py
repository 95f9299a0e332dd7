"""Do pairs that were learned from crops repeat a place of a training image? Asked against crops of held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.stats import mannwhitneyu

from defectlib.data.mapped import mapped
from defectlib.data.sample import Sample, continued
from defectlib.defectgen.crops import Crops
from defectlib.defectgen.measures.windows import nearest_windows
from defectlib.device import generator

#: A pair is compared by so many cells along a side: finer grain is what nets blur, and blur is no copy.
CELLS = 16
#: Pairs, and held-out crops, that are looked at.
MOST = 100
_CLOSEST = 3  # training images in which the nearest place is sought to the pixel


def crop_nearness(
    pairs: Sequence[Sample], training: Sequence[Sample], held_out: Sequence[Sample]
) -> tuple[float, float]:
    """How much nearer pairs come to some place of a training image than crops of held-out images do.

    The test of Meehan et al. 2020 ("A Non-Parametric Test to Detect Data-Copying in Generative Models"): two sets of
    distances to the training images, of pairs and of real images that trained nothing, compared by rank. Held-out crops
    are drawn as training crops are. The distance is to the nearest window anywhere in any training image, between means
    over square cells.

    Args:
        pairs: Square, all of one size; the first :data:`MOST` are looked at.
        training: Images of any size.
        held_out: Images of any size.

    Returns:
        The chance that a pair is nearer than a held-out crop is, ties counting half: ½ where pairs are as new as images
        of other parts, 1 where every pair is nearer than all of these; and the probability that pairs as new would come
        out so near (Mann-Whitney U test, one-sided).
    """
    side = pairs[0].image.shape[0]
    cell = max(2, side // CELLS // 2 * 2)  # even: the search halves what it is given
    side -= side % cell
    photographs = [continued(sample.image, sample.mask, side)[0] for sample in training]
    crops, _ = Crops(held_out, side, by="defect").draw(MOST, generator(0, "held-out crops"))
    ours = np.stack([pair.image[:side, :side] for pair in pairs[:MOST]])
    both = np.concatenate([ours, crops.movedim(1, -1).numpy()])
    distances = _distances(both, photographs, cell)
    found = mannwhitneyu(distances[: len(ours)], distances[len(ours) :], alternative="less")
    return 1 - float(found.statistic) / (len(ours) * len(crops)), float(found.pvalue)


def _distances(crops: np.ndarray, photographs: Sequence[np.ndarray], cell: int) -> np.ndarray:
    """Root-mean-square difference (N,) of each crop's cells to those of the nearest window, to the pixel.

    First on a grid of whole cells, then by all shifts within a cell of the places found.
    """
    fold = cell // 2
    coarse = nearest_windows(
        np.stack([_cells(crop, fold).round().astype(np.uint8) for crop in crops]),
        mapped(_cells(photo, fold).round().astype(np.uint8) for photo in photographs),
    )
    closest = np.argsort(coarse.distance, axis=1)[:, :_CLOSEST]
    return np.array(
        [
            min(_least(_cells(crop, cell), photographs[m], fold * coarse.corner[n, m], cell) for m in near)
            for n, (crop, near) in enumerate(zip(crops, closest, strict=True))
        ]
    )


def _least(cells: np.ndarray, photo: np.ndarray, corner: np.ndarray, cell: int) -> float:
    """The least difference of ``cells`` (C, C, 3) to the cells of a window of ``photo`` (H, W, 3) near ``corner``."""
    side = len(cells) * cell
    first = [max(0, at - cell + 1) for at in corner]
    last = [min(at + cell, length - side + 1) - 1 for at, length in zip(corner, photo.shape[:2], strict=True)]
    means = _means(photo[tuple(slice(low, high + side) for low, high in zip(first, last, strict=True))], cell)
    shifts = product(*(range(high - low + 1) for low, high in zip(first, last, strict=True)))
    length = side - cell + 1
    windows = (means[y : y + length : cell, x : x + length : cell] for y, x in shifts)
    return min(float(np.sqrt(np.square(window - cells).mean())) for window in windows)


def _cells(image: np.ndarray, cell: int) -> np.ndarray:
    """Means over square cells of ``cell`` pixels a side that cover an image (H, W, 3) from its corner on."""
    rows, columns = (length // cell for length in image.shape[:2])
    whole = image[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell, 3)
    return whole.sum(axis=(1, 3), dtype=np.float64) / cell**2


def _means(image: np.ndarray, cell: int) -> np.ndarray:
    """Means over the ``cell`` × ``cell`` pixels that begin at each pixel of an image (H, W, 3)."""
    sums = np.pad(image.astype(np.float64), ((1, 0), (1, 0), (0, 0))).cumsum(axis=0).cumsum(axis=1)
    total = sums[cell:, cell:] - sums[:-cell, cell:] - sums[cell:, :-cell] + sums[:-cell, :-cell]
    return total / cell**2
