"""Methods that have learned nothing: flood fill, GrabCut (Rother et al. 2004), the random walker (Grady 2006).

Each has one or two numbers to choose. So that no method is weak for want of care, those here are the ones with the
fewest clicks to an IoU of 85 % on training images of all four embedded products at 128 px, two for each type: of
tolerances 4 to 27, of reaches 0.04 to 0.12 with 2 or 5 rounds, and of reaches 0.12 to 0.25 with betas 100 to 10,000
(0.25 with those to 1000). Nothing was chosen on a held-out image. Lengths are shares of the longer side of an image, so
that they hold at any size.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.segmentation import flood, random_walker

from defectclick.clicks import Click
from defectclick.crops import BETA

_HALVINGS = 8
_SURE = 0.01  # share of the longer side: what lies that near to a click is what the click is, in GrabCut


@dataclass(frozen=True)
class FloodFill:
    """A click takes the connected pixels of about its colour, a negative one gives them back."""

    tolerance: float = 20  # greatest distance in CIELAB; halved until no click of the other kind is taken along
    name: ClassVar[str] = "flood fill"

    def segment(self, image: np.ndarray, clicks: Sequence[Click], previous: np.ndarray) -> np.ndarray:
        """See :class:`~defectclick.clicks.Clicker`."""
        last, colours = clicks[-1], rgb2lab(image)
        against = _at((click for click in clicks if click.positive != last.positive), previous.shape)
        distance = np.linalg.norm(colours - colours[last.row, last.column], axis=-1)
        for halved in range(_HALVINGS):
            taken = flood(distance, (last.row, last.column), tolerance=self.tolerance / 2**halved)
            if not (taken & against).any():
                break
        else:
            taken = _at([last], previous.shape)
        return previous | taken if last.positive else previous & ~taken


@dataclass(frozen=True)
class GrabCut:
    """Mixtures of Gaussians of the defect's colours and of the rest's, and a cut between them, repeated.

    Clicks are certain. What lies within ``reach`` of a positive click is probably defect, once there is a mask what
    the mask holds, save within ``reach`` of a negative click; beyond twice ``reach`` from there everything is certain
    background.
    """

    reach: float = 0.08  # share of the longer side
    rounds: int = 5  # of fitting and cutting, after each click
    name: ClassVar[str] = "GrabCut"

    def segment(self, image: np.ndarray, clicks: Sequence[Click], previous: np.ndarray) -> np.ndarray:
        """See :class:`~defectclick.clicks.Clicker`."""
        side, (positive, negative) = max(previous.shape), _both(clicks, previous.shape)
        if not (previous | positive).any():
            return previous
        likely = previous if previous.any() else _within(positive, self.reach * side)
        likely = likely & ~_within(negative, self.reach * side) | positive
        labels = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        labels[~_within(likely, 2 * self.reach * side)] = cv2.GC_BGD
        labels[_within(positive, _SURE * side)] = cv2.GC_FGD
        labels[_within(negative, _SURE * side)] = cv2.GC_BGD
        if not np.isin(labels, (cv2.GC_BGD, cv2.GC_PR_BGD)).any():
            return np.ones(labels.shape, bool)  # there is nothing else: a defect as large as the image
        cv2.setRNGSeed(0)  # the mixtures begin from k-means, which draws from a generator of all of OpenCV
        labels[positive & ~negative] = cv2.GC_FGD
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(image[..., ::-1].copy(), labels, None, *models, self.rounds, cv2.GC_INIT_WITH_MASK)
        return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


@dataclass(frozen=True)
class RandomWalker:
    """A pixel belongs to what a random walker from it meets first: positive clicks, or negative ones and the far rest.

    Everything beyond ``reach`` from all positive clicks is background; where nothing is, the image's border.
    """

    reach: float = 0.25  # share of the longer side
    beta: float = BETA  # how much harder it is to walk over an edge
    name: ClassVar[str] = "random walker"

    def segment(self, image: np.ndarray, clicks: Sequence[Click], previous: np.ndarray) -> np.ndarray:
        """See :class:`~defectclick.clicks.Clicker`."""
        shape, (positive, negative) = previous.shape, _both(clicks, previous.shape)
        if not positive.any():
            return np.zeros(shape, bool)
        far = ~_within(positive, self.reach * max(shape))
        if not far.any():
            far = ~np.pad(np.ones((shape[0] - 2, shape[1] - 2), bool), 1)
        labels = np.where(far | negative, 2, 0)
        labels[positive] = 1
        if (labels > 0).all():
            return labels == 1
        with warnings.catch_warnings():  # a pixel that no walk leaves is told; it is background then
            warnings.simplefilter("ignore", UserWarning)
            found = random_walker(rgb2lab(image) / 100, labels, beta=self.beta, mode="cg_j", channel_axis=-1)
        return found == 1


def _at(clicks: Iterable[Click], shape: tuple[int, int]) -> np.ndarray:
    places = np.zeros(shape, bool)
    for click in clicks:
        places[click.row, click.column] = True
    return places


def _both(clicks: Sequence[Click], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where the positive and where the negative clicks are, bool (H, W) each."""
    return _at((c for c in clicks if c.positive), shape), _at((c for c in clicks if not c.positive), shape)


def _within(region: np.ndarray, pixels: float) -> np.ndarray:
    """What lies within so many pixels of a bool (H, W), itself included; nothing, if that is empty."""
    return ndimage.distance_transform_edt(~region) <= pixels if region.any() else region
