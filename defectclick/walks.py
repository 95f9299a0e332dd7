"""Random walks over a small picture (Grady 2006): which of the marked pixels each of the others would meet first.

scikit-image has them too. Here they are part of what a network is shown, dozens of times in every step of its training:
on a picture this small a banded Cholesky factorisation takes less than half the time of its sparse solvers.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded

BETA = 1000.0
"""How much harder it is to walk over an edge: chosen for the method, see :mod:`defectclick.classical`."""
_LEAST = 1e-10  # so that every pixel is left some day


def first_met(image: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The probability that a walker from a pixel meets one marked 1 before any marked otherwise.

    A step to a neighbour is taken in proportion to exp(−β |difference of colours|² / (10 σ √C)), where σ is the
    standard deviation of all values (Grady 2006, eq. 1, at the scale of scikit-image). The time grows as H W³.

    Args:
        image: float64 (H, W, C).
        marks: Integers (H, W), 0 where none is; some pixel must be marked.

    Returns:
        float64 (H, W), 1 and 0 at marked pixels.
    """
    free, goal = marks == 0, (marks == 1).astype(float)
    down, right = _ease(image, 0), _ease(image, 1)
    width = image.shape[1]
    bands = np.zeros((width + 1, image.size // image.shape[2]))  # row i holds what is i below the diagonal
    bands[0] = np.where(free, _around(down, right, np.ones_like(goal)), 1).ravel()
    bands[1].reshape(free.shape)[:, :-1] = -right * (free[:, :-1] & free[:, 1:])
    bands[width].reshape(free.shape)[:-1] -= down * (free[:-1] & free[1:])  # of a single column both are the same
    wanted = np.where(free, _around(down, right, goal), goal)
    found = solveh_banded(bands, wanted.ravel(), lower=True, overwrite_ab=True, overwrite_b=True, check_finite=False)
    return np.clip(found, 0, 1).reshape(free.shape)


def _ease(image: np.ndarray, axis: int) -> np.ndarray:
    """How easy the step is from each pixel to the next one along ``axis``, (0, 1]."""
    spread = 10 * image.std() * np.sqrt(image.shape[2])
    difference = (np.diff(image, axis=axis) ** 2).sum(axis=-1)
    return np.exp(-BETA * difference / max(spread, _LEAST)) + _LEAST


def _around(down: np.ndarray, right: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each pixel the sum of its neighbours' ``values``, each times the ease of the step there."""
    total = np.zeros_like(values)
    total[:-1] += down * values[1:]
    total[1:] += down * values[:-1]
    total[:, :-1] += right * values[:, 1:]
    total[:, 1:] += right * values[:, :-1]
    return total
