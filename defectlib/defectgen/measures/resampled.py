"""The patch distance of many resamples of one set, for its standard error."""

from __future__ import annotations

import numpy as np

from defectlib.defectgen.measures.patches import patches_of_all
from defectlib.defectgen.measures.wasserstein import PATCH_SIDES, PLACES, PROJECTIONS, directions
from defectlib.runtime import numpy_generator

_STEPS = 128


def resampled_patch_distance(ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """:func:`defectlib.defectgen.measures.wasserstein.patch_distance` of each resample of ``ours``.

    The share of a set's patches below a value is the mean of its images' shares: each image is looked at once, and the
    resamples only weigh. Values are told apart in 128 steps.

    Args:
        ours: uint8 (N, H, W, 3).
        theirs: uint8 (M, H, W, 3), of the same size.
        weights: How often each resample took each of ``ours``, integers (B, N) of sum N in each row.

    Returns:
        (B,), thousandths.
    """
    generator, distances = numpy_generator(0, "patch distance"), []
    for share in PATCH_SIDES:
        a, b = (patches_of_all(images, share, PLACES) for images in (ours, theirs))
        along = (directions(a.shape[2], PROJECTIONS, generator) / 255).astype(np.float32)
        a, b = a @ along, b @ along
        low, high = np.minimum(a.min((0, 1)), b.min((0, 1))), np.maximum(a.max((0, 1)), b.max((0, 1)))
        apart = weights / len(ours) @ _below(a, low, high) - _below(b, low, high).mean(axis=0)
        areas = np.abs(apart).reshape(len(weights), PROJECTIONS, _STEPS).mean(axis=2) * (high - low)
        distances.append(areas.mean(axis=1))
    return 1000 * np.mean(distances, axis=0)


def _below(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Of each image's values (N, P, L), the share below each of the steps from ``low`` to ``high``: (N, L · steps)."""
    count, pooled, lines = values.shape
    steps = np.minimum((values - low) / np.maximum(high - low, 1e-12) * _STEPS, _STEPS - 1).astype(int)
    places = (steps + _STEPS * np.arange(lines)).reshape(count, -1)
    counts = np.stack([np.bincount(one, minlength=_STEPS * lines) for one in places])
    return (counts.reshape(count, lines, _STEPS).cumsum(axis=2) / pooled).reshape(count, -1)
