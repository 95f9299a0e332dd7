"""Defects as an inspector counts them: which are found, and what is flagged that is none. No torch.

The paper's ECCV abstract reports recall and false-positive rate from an industrial simulation, without a protocol;
:data:`RULE` is the one used here. As in :mod:`defectlib.metrics` everything follows from integers kept per image.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from defectlib import metrics

#: A third of a defect leads an inspector to it, also where a thin scratch is predicted as a broken line; a stray blob
#: that touches its end does not. With the tolerance, a defect of up to three pixels is found by one pixel beside it.
SHARE = 0.3
#: Diagonal neighbours touch: a scratch one pixel wide is one defect, whichever way it runs. Masks are drawn to about a
#: pixel, and a line one pixel wide that is predicted one pixel beside itself would otherwise be missed altogether.
_NEIGHBOURS = np.ones((3, 3), bool)

RULE = (
    "A defect is a connected region (8-neighbourhood) of one type in the true mask. It is found where at least "
    f"{SHARE:.0%} of its pixels lie on, or next to, a pixel predicted as a defect of any type, and named where the "
    "same holds of its own type. A false alarm is a connected region of predicted defect, of any type, of which less "
    f"than {SHARE:.0%} lies on, or next to, a true defect. Recall is the share of all defects that are "
    "found; the false-positive rate is the share of images with a false alarm. Intervals are 95 % bootstrap intervals "
    "over images (over groups where images have them), from draws that hold every type of defect, and defect-free "
    "images if the split has them."
)

RECALL, NAMED, FPR, ALARMS = "recall", "recall, right type", "false-positive rate", "false alarms per image"


class Rate(NamedTuple):
    """One line of a table.

    Attributes:
        measure: :data:`RECALL`, :data:`NAMED`, :data:`FPR` or :data:`ALARMS`.
        of: A type of defect, ``all defects``, ``all images`` or ``defect-free images``.
        cases: How many of these there are, once for every model that was summed over.
        value: A fraction in [0, 1] (the number of alarms may be above); of a difference, in [-1, 1]. NaN without cases.
        low: Lower bound of the 95 % interval; NaN where draws that hold every type are too rare.
        high: Upper bound.
    """

    measure: str
    of: str
    cases: int
    value: float
    low: float
    high: float


def tally(target: np.ndarray, pred: np.ndarray, classes: int) -> np.ndarray:
    """What is found and flagged in one image, int64 (classes, 3); tallies of several models may be added.

    Row 0 is the image: 1; whether there is a false alarm, 0 or 1; how many there are. Row k is type k: how many
    defects; of them found; of them named.

    Args:
        target: Integers (H, W) in 0..classes-1.
        pred: Integers of the same shape and range.
        classes: K + 1, background included.
    """
    found = np.zeros((classes, 3), np.int64)
    alarms = _false_alarms(target, pred)
    found[0] = 1, alarms > 0, alarms
    near_any = _grown(pred > 0)
    for k in np.unique(target[target > 0]):
        defects, count = ndimage.label(target == k, _NEIGHBOURS)
        found[k] = count, _covered(defects, near_any), _covered(defects, _grown(pred == k))
    return found


def _false_alarms(target: np.ndarray, pred: np.ndarray) -> int:
    flagged, count = ndimage.label(pred > 0, _NEIGHBOURS)
    return count - _covered(flagged, _grown(target > 0))


def _covered(regions: np.ndarray, where: np.ndarray) -> int:
    """How many of the labelled ``regions``, from 1 on, have at least :data:`SHARE` of their pixels ``where``."""
    sizes = np.bincount(regions.ravel())
    inside = np.bincount(regions[where], minlength=len(sizes))
    return int(np.count_nonzero(inside[1:] >= SHARE * sizes[1:]))


def _grown(region: np.ndarray) -> np.ndarray:
    """``region`` and every pixel next to it."""
    return ndimage.binary_dilation(region, _NEIGHBOURS)


def rates(tallies: np.ndarray, types: Sequence[str], groups: Sequence[Hashable] | None) -> list[Rate]:
    """Recall, pooled and by type, and false-positive rate, with their intervals.

    Args:
        tallies: int64 (N, K + 1, 3), of :func:`tally`.
        types: Names of the K types of defect, in the order of their ids.
        groups: Group of each image, length N; None where every image stands for itself.
    """
    summed = _with_defect_free(tallies)
    found = metrics.paired_bootstrap([summed[None]], groups, lambda totals: _values(totals[0]), summed[:, :, 0] > 0)
    return _rows(types, summed, found)


def differences(
    tallies: np.ndarray, baseline: np.ndarray, types: Sequence[str], groups: Sequence[Hashable] | None
) -> list[Rate]:
    """:func:`rates` of ``tallies`` less those of ``baseline``, two models on the same images; intervals are paired.

    Raises:
        ValueError: The two do not describe the same defects, image by image.
    """
    if not np.array_equal(tallies[:, :, 0], baseline[:, :, 0]):
        raise ValueError("the two tallies differ in their defects: evaluate both on the same images")
    arms = [_with_defect_free(arm) for arm in (tallies, baseline)]

    def difference(totals: Sequence[np.ndarray]) -> np.ndarray:
        return _values(totals[0]) - _values(totals[1])

    found = metrics.paired_bootstrap([arm[None] for arm in arms], groups, difference, arms[0][:, :, 0] > 0)
    return _rows(types, arms[0], found)


def _with_defect_free(tallies: np.ndarray) -> np.ndarray:
    """Tallies (N, K + 2, 3) with a last row that repeats the first where the image has no defect, and is 0 elsewhere.

    Unlike whether an image has a defect, it may be summed over images.
    """
    defect_free = tallies[:, 1:, 0].sum(axis=1) == 0
    return np.concatenate([tallies, tallies[:, :1] * defect_free[:, None, None]], axis=1)


def _fractions(total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numerators and denominators of all rates, in the order of :func:`_rows`, from sums (K + 2, 3) over images."""
    images, defect_free, types = total[0], total[-1], total[1:-1]
    defects = np.concatenate([types.sum(axis=0)[None], types])
    hits = [*defects[:, 1], *defects[:, 2], images[1], defect_free[1], images[2]]
    cases = [*defects[:, 0], *defects[:, 0], images[0], defect_free[0], images[0]]
    return np.array(hits), np.array(cases)


def _values(total: np.ndarray) -> np.ndarray:
    hits, cases = _fractions(total)
    return np.divide(hits, cases, out=np.full(len(hits), np.nan), where=cases > 0)


def _rows(types: Sequence[str], summed: np.ndarray, found: np.ndarray) -> list[Rate]:
    defects, images = ("all defects", *types), ("all images", "defect-free images", "all images")
    names = [(measure, of) for measure in (RECALL, NAMED) for of in defects]
    names += zip((FPR, FPR, ALARMS), images, strict=True)
    _, cases = _fractions(summed.sum(axis=0))
    numbers = zip(cases.tolist(), *found.tolist(), strict=True)
    return [Rate(*name, *row) for name, row in zip(names, numbers, strict=True)]
