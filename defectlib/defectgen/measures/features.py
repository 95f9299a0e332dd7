"""How far apart two sets of images are in the features of a network: Fréchet and kernel distance.

With Inception's features they are the distances of that name (FID, KID). With those of another network they are other
numbers, and are named after it.
"""

from __future__ import annotations

import numpy as np


def frechet_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Fréchet distance of the normal distributions with the means and covariances of two sets of features.

    Heusel et al. 2017 ("GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", §3):
    ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½). With fewer images than features the covariances are far from known, and the
    distance is too large: sets of different numbers of images must not be compared by it.

    Args:
        ours: Features (N, D), two rows at least.
        theirs: Features (M, D), two rows at least.

    Returns:
        At least 0, in the features' unit squared.
    """
    a, b = (_centred(features) for features in (ours, theirs))
    shift = np.asarray(ours, np.float64).mean(axis=0) - np.asarray(theirs, np.float64).mean(axis=0)
    # With Σ₁ = aᵀa and Σ₂ = bᵀb, the trace of (Σ₁ Σ₂)^½ is the sum of the singular values of a bᵀ: no root of a
    # singular matrix is taken.
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + (a**2).sum() + (b**2).sum() - 2 * shared))


def kernel_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Squared maximum mean discrepancy of two sets of features under the kernel (x·y / D + 1)³, unbiased.

    Bińkowski et al. 2018 ("Demystifying MMD GANs", §3.1 and §4) take the mean over subsets; few images are taken whole.

    Args:
        ours: Features (N, D), two rows at least.
        theirs: Features (M, D), two rows at least.

    Returns:
        0 on average for two sets of one distribution, then below 0 as often as above.
    """
    x, y = (np.asarray(features, np.float64) for features in (ours, theirs))
    return float(_mean_of_pairs(_kernel(x, x)) + _mean_of_pairs(_kernel(y, y)) - 2 * _kernel(x, y).mean())


def _centred(features: np.ndarray) -> np.ndarray:
    """Rows less their mean, scaled so that the product with their own transpose is the covariance."""
    features = np.asarray(features, np.float64)
    return (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_pairs(kernel: np.ndarray) -> float:
    """Mean over pairs of different rows."""
    count = len(kernel)
    return (kernel.sum() - np.trace(kernel)) / (count * (count - 1))
