"""What nearest neighbours say of two small sets: precision, recall, density and coverage."""

from __future__ import annotations

import numpy as np

NEIGHBOURS = 3


def pairwise_rms(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root-mean-square differences (N, M) between rows of ``a`` (N, P) and ``b`` (M, P), in their unit.

    Of integers the result is exact: rows that are equal are at 0.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squared, 0) / a.shape[1])


def without_self(distances: np.ndarray) -> np.ndarray:
    """Distances (N, N) within a set, infinite from each point to itself."""
    return np.where(np.eye(len(distances), dtype=bool), np.inf, distances)


def precision_recall_density_coverage(ours: np.ndarray, theirs: np.ndarray, k: int = NEIGHBOURS) -> dict[str, float]:
    """How two sets of points overlap, each point reaching as far as its ``k``-th neighbour in its own set.

    Precision and recall are of Kynkäänniemi et al. 2019 ("Improved Precision and Recall Metric for Assessing Generative
    Models"), density and coverage of Naeem et al. 2020 ("Reliable Fidelity and Diversity Metrics for Generative
    Models"). The feature is whatever the points are; distances are Euclidean. A set of fewer than ``k`` + 1 points
    makes do with the neighbours it has.

    Args:
        ours: Synthetic points (N, D), two at least.
        theirs: Real points (M, D), two at least.
        k: Which neighbour a point reaches to.

    Returns:
        ``precision``: share in [0, 1] of synthetic points within reach of a real one.
        ``recall``: share in [0, 1] of real points within reach of a synthetic one.
        ``density``: how many real points reach a synthetic one, on average, over k: at least 0; 1 is expected of
            samples of the real distribution, more where they crowd about the real points.
        ``coverage``: share in [0, 1] of real points that reach a synthetic one; of samples of the real distribution,
            as many as the real points, about 1 − 2⁻ᵏ is expected.
    """
    k = min(k, len(ours) - 1, len(theirs) - 1)
    reach = np.sort(without_self(pairwise_rms(ours, ours)), axis=1)[:, k - 1]
    real_reach = np.sort(without_self(pairwise_rms(theirs, theirs)), axis=1)[:, k - 1]
    between = pairwise_rms(ours, theirs)
    in_real, in_ours = between <= real_reach, between <= reach[:, None]
    return {
        "precision": float(in_real.any(axis=1).mean()),
        "recall": float(in_ours.any(axis=0).mean()),
        "density": float(in_real.sum(axis=1).mean() / k),
        "coverage": float(in_real.any(axis=0).mean()),
    }
