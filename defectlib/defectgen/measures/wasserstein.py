"""Sliced Wasserstein distance, and with it how far the patches of two sets of images lie apart."""

from __future__ import annotations

import numpy as np

from defectlib.defectgen.measures.patches import patches, side_of

#: Sides of the patches, as shares of the image's shorter side: 4, 8 and 16 px at 64 px.
PATCH_SIDES = (1 / 16, 1 / 8, 1 / 4)
PROJECTIONS = 64
PLACES = 32  # along a side of the image


def patch_distance(ours: np.ndarray, theirs: np.ndarray, generator: np.random.Generator) -> float:
    """Sliced Wasserstein distance between the patches of two sets of images, mean over :data:`PATCH_SIDES`.

    After Karras et al. 2018 ("Progressive Growing of GANs", §5), with patches of several sides where they have the
    levels of a pyramid. Patches from everywhere are pooled, so it says whether details look alike and nothing of how
    they are arranged. No covariance is estimated, as in the Fréchet distances, so few images will do; but two sets of
    real images are apart too, the further the fewer they are.

    Args:
        ours: uint8 (N, H, W, 3).
        theirs: uint8 (M, H, W, 3), of the same size.
        generator: Draws the projections.

    Returns:
        In thousandths of the range of a pixel: 0 for equal distributions; where every pixel is brighter by r of them,
        about 0.8 r, and that is the most.
    """
    distances = []
    for side in (side_of(ours, share) for share in PATCH_SIDES):
        along = (directions(3 * side**2, PROJECTIONS, generator) / 255).astype(np.float32)
        a, b = (np.concatenate([patches(image, side, PLACES) @ along for image in images]) for images in (ours, theirs))
        distances.append(_mean_wasserstein(a, b))
    return 1000 * float(np.mean(distances))


def sliced(a: np.ndarray, b: np.ndarray, along: np.ndarray) -> float:
    """Sliced Wasserstein distance of order 1 of two sets of points (Rabin et al. 2011, Bonneel et al. 2015).

    Args:
        a: Points (N, D).
        b: Points (M, D); N and M may differ.
        along: Unit vectors (D, L).

    Returns:
        Mean of the distances of the L projections: at least 0, in the unit of the points. A shift by a vector of length
        r in the plane gives 2/π r.
    """
    return _mean_wasserstein(a @ along, b @ along)


def directions(dimensions: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """``count`` unit vectors (dimensions, count), uniform on the sphere."""
    drawn = generator.standard_normal((dimensions, count))
    return drawn / np.linalg.norm(drawn, axis=0)


def wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    """Wasserstein distance of order 1 of two sets of numbers: the area between their cumulative shares.

    Args:
        x: Numbers (N,).
        y: Numbers (M,); N and M may differ.

    Returns:
        How far a number has to move, on average, to turn one set into the other: at least 0, in the numbers' unit.
    """
    values = np.concatenate([x, y])
    order = np.argsort(values)
    share = np.cumsum(np.where(order < len(x), 1 / len(x), -1 / len(y)))
    return float(np.abs(share[:-1]) @ np.diff(values[order]))


def _mean_wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over the columns of ``a`` (N, L) and ``b`` (M, L)."""
    return float(np.mean([wasserstein(x, y) for x, y in zip(a.T, b.T, strict=True)]))
