"""Which defects are shown, how large and where: two sets of masks compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from defectlib.data.sample import Sample
from defectlib.defectgen.measures.wasserstein import sliced, wasserstein

_ANGLES = 64


def types_distance(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """Total variation distance between how often each type is shown, images with no defect counted as one more type.

    Returns:
        In [0, 1]: the share of the defects that would have to be of another type.
    """
    return float(np.abs(_frequencies(ours) - _frequencies(theirs)).sum() / 2)


def sizes_distance(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float | None:
    """Wasserstein distance between the sizes of defects: by how much they differ on average.

    A defect is all that one image shows of one type; its size is the side of the square of its area, as a share of the
    side of the image's.

    Returns:
        In [0, 1]; None if either set shows no defect.
    """
    sizes, real_sizes = (np.sqrt([share for share, *_ in _defects(samples)]) for samples in (ours, theirs))
    return wasserstein(sizes, real_sizes) if len(sizes) and len(real_sizes) else None


def places_distance(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float | None:
    """Sliced Wasserstein distance between the centres of defects: by how far they lie apart on average.

    Returns:
        At least 0, as a share of the image's sides; scaled so that a shift of every defect by r gives r. None if either
        set shows no defect.
    """
    centres, real_centres = (np.array([place for _, *place in _defects(samples)]) for samples in (ours, theirs))
    if not len(centres) or not len(real_centres):
        return None
    angles = np.pi * (np.arange(_ANGLES) + 0.5) / _ANGLES
    return np.pi / 2 * sliced(centres, real_centres, np.stack([np.cos(angles), np.sin(angles)]))


def _frequencies(samples: Sequence[Sample]) -> np.ndarray:
    """Shares (K + 1,) of no defect and of each type among all that is shown."""
    shown = [k for sample in samples for k in (np.unique(sample.mask[sample.mask > 0]) if sample.mask.any() else (0,))]
    return np.bincount(shown, minlength=len(samples[0].classes) + 1) / len(shown)


def _defects(samples: Sequence[Sample]) -> list[tuple[float, float, float]]:
    """Share of the image's area, and centre (down, right) in [0, 1], of each type in each image."""
    found = []
    for sample in samples:
        for k in np.unique(sample.mask[sample.mask > 0]):
            rows, columns = np.nonzero(sample.mask == k)
            height, width = sample.mask.shape
            found.append((len(rows) / sample.mask.size, (rows.mean() + 0.5) / height, (columns.mean() + 0.5) / width))
    return found
