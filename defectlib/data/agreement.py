"""How two annotations of one image differ: overlap, area, boundary, types (paper §3.2 claims that all four improved).

Overlap, area and boundary compare defect with background, whatever the types; types are compared by name, so the two
annotations may number them differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from scipy import ndimage

#: Product, and what names the image within it.
Key = tuple[str, str]
Before = TypeVar("Before")
After = TypeVar("After")


class Annotation(NamedTuple):
    """An index mask with its classes.

    Attributes:
        mask: uint8 (H, W), 0 is background.
        classes: Names of the defect types, by id from 1.
    """

    mask: np.ndarray
    classes: tuple[str, ...]

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the types that occur in the mask, in id order."""
        return tuple(self.classes[k - 1] for k in np.unique(self.mask) if k > 0)


@dataclass(frozen=True)
class Agreement:
    """What changed from one annotation to the other.

    Attributes:
        iou: Intersection over union of the two defect regions, in [0, 1]; 1 where both are empty.
        area_change: Change of the defect's area relative to before, above -1; 0 where both are empty, NaN where only
            the first is.
        distance: Mean over the pixels of both boundaries of the distance to the other boundary, in pixels; 0 where
            both are empty, NaN where one is.
        distance95: 95th percentile of the same distances.
        types_before: Types before.
        types_after: Types after.
        added: Types that are new, in id order.
        removed: Types that are gone, in id order.
        became_multi_type: Whether at most one type became several.
    """

    iou: float
    area_change: float
    distance: float
    distance95: float
    types_before: tuple[str, ...]
    types_after: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    became_multi_type: bool


def agreement(before: Annotation, after: Annotation) -> Agreement:
    """What changed from ``before`` to ``after``.

    Raises:
        ValueError: The masks differ in size.
    """
    if before.mask.shape != after.mask.shape:
        raise ValueError(f"masks of one image have one size, got {before.mask.shape} and {after.mask.shape}")
    old, new = before.mask > 0, after.mask > 0
    distances = boundary_distances(old, new)
    return Agreement(
        iou=_ratio((old & new).sum(), (old | new).sum()),
        area_change=_ratio(new.sum(), old.sum()) - 1.0,
        distance=float(distances.mean()),
        distance95=float(np.percentile(distances, 95)),
        types_before=before.types,
        types_after=after.types,
        added=tuple(name for name in after.types if name not in before.types),
        removed=tuple(name for name in before.types if name not in after.types),
        became_multi_type=len(before.types) < 2 <= len(after.types),
    )


def boundary_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The distance of every boundary pixel of ``a`` to the boundary of ``b``, then of ``b`` to ``a``, in pixels.

    A boundary pixel belongs to the region and has one of its four neighbours outside it; beyond the image is outside.

    Args:
        a: bool (H, W).
        b: bool (H, W).

    Returns:
        float64 (N,); one 0 if both regions are empty, one NaN if one is.
    """
    if not a.any() or not b.any():
        return np.array([0.0 if a.any() == b.any() else np.nan])
    # Both boundaries lie in the box around the regions: nothing is lost, and large images cost no more than small ones.
    (box,) = ndimage.find_objects((a | b).astype(np.uint8))
    edges = [region & ~ndimage.binary_erosion(region) for region in (a[box], b[box])]
    to_a, to_b = (ndimage.distance_transform_edt(~edge) for edge in edges)
    return np.concatenate([to_b[edges[0]], to_a[edges[1]]])


def agreement_table(rows: Iterable[tuple[Key, Agreement]]) -> pd.DataFrame:
    """One row per image, indexed by ``product`` and ``key``; the columns are the fields of :class:`Agreement`.

    Raises:
        ValueError: There is no row, or an image occurs twice.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("there is no pair of annotations to compare")
    index = pd.MultiIndex.from_tuples([key for key, _ in rows], names=["product", "key"])
    if not index.is_unique:
        raise ValueError(f"an image occurs twice: {' '.join(index[index.duplicated()][0])}")
    return pd.DataFrame([asdict(row) for _, row in rows], index=index).sort_index()


class Joined(NamedTuple, Generic[Before, After]):
    """Two sets of annotations joined on their keys.

    Attributes:
        pairs: What stands on both sides, in the order of the keys.
        only_before: Keys on the first side alone, sorted.
        only_after: Keys on the second side alone, sorted.
    """

    pairs: dict[Key, tuple[Before, After]]
    only_before: tuple[Key, ...]
    only_after: tuple[Key, ...]


def join(before: Mapping[Key, Before], after: Mapping[Key, After]) -> Joined[Before, After]:
    """``before`` and ``after``, one to one by (product, key); what stands on one side only is named."""
    both = sorted(before.keys() & after.keys())
    pairs = {key: (before[key], after[key]) for key in both}
    return Joined(pairs, tuple(sorted(before.keys() - after.keys())), tuple(sorted(after.keys() - before.keys())))


def _ratio(part: int, whole: int) -> float:
    """``part / whole``; nothing of nothing is all of it, something of nothing is not a number."""
    if whole:
        return float(part / whole)
    return float("nan") if part else 1.0
