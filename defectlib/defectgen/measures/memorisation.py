"""Do samples repeat the training images, whole or patch by patch? Asked against how near these are to each other."""

from __future__ import annotations

import numpy as np

from defectlib.defectgen.measures.neighbours import pairwise_rms, without_self
from defectlib.defectgen.measures.patches import patches_of_all

PATCH_SIDE = 1 / 4  # of the image's shorter side
_PLACES = 7  # along a side of the image: patches overlap by half


def nearness(between: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each sample, the share of training images that are farther from their nearest one than the sample is.

    The test of Meehan et al. 2020 ("A Non-Parametric Test to Detect Data-Copying in Generative Models") compares the
    same two sets of distances; they take held-out images where this takes the training images themselves, which are
    always at hand. Ties count half.

    Args:
        between: Distances (N, M) of samples to training images.
        among: Distances (M, M) of training images to each other.

    Returns:
        (N,) in [0, 1]: 1 where a sample is nearer to its nearest training image than any two of them are to each other.
        The mean over samples that are like the training images is 1/2; over these themselves it is exactly 1/2.
    """
    return share_farther(between.min(axis=1), without_self(among).min(axis=1))


def share_farther(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """For each of N distances, the share of M others that are larger, (N,) in [0, 1]; ties count half."""
    return ((ours[:, None] < theirs) + 0.5 * (ours[:, None] == theirs)).mean(axis=1)


def patch_nearness(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """:func:`nearness` of each sample's patches to training patches of the same place, averaged over its places.

    Patches have a quarter of the image's shorter side, overlap by half and are compared pixel by pixel. A sample put
    together from patches of several training images gives it away here, where as a whole it is near to none. Blur
    brings patches nearer to everything, and is thus counted with the copies.

    Args:
        ours: Samples, uint8 (N, H, W, 3).
        theirs: Training images, uint8 (M, H, W, 3), two at least.

    Returns:
        (N,) in [0, 1], read like :func:`nearness`.
    """
    a, b = (patches_of_all(images, PATCH_SIDE, _PLACES).swapaxes(0, 1) for images in (ours, theirs))
    places = zip(a, b, strict=True)
    return np.mean([nearness(pairwise_rms(a, b), pairwise_rms(b, b)) for a, b in places], axis=0)
