"""What small data may do to a generator, and what it did: one line each, which says what to change.

Told before anything is trained (:func:`before`), and of the pairs (:func:`after`). The limits are rules of thumb, but
for two tests, whose null hypotheses are stated where they are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.special import bdtr

from defectlib.data.sample import Sample
from defectlib.settings import Synthesis

FEW_IMAGES = 5
"""Training images of each type in the authors' protocol."""
FEW_PIXELS = 12
"""Three cells of the large net, which sees 2 × 2 pixels as one; the thinnest type of the embedded data covers 28."""
ONE_PLACE = 0.05
"""Root mean square distance of a type's centres from their mean, of the image's shorter side; 0.41 if anywhere."""
NEAR = 0.9
"""Of :func:`~defectlib.defectgen.measures.crop_copies.crop_nearness`: ½ is new, 1 is copied. Far from ½, as held-out
crops come from few parts, and those may all be unlike the training images by chance, which the test does not know."""
LEVEL = 0.01
"""Of both tests."""
_WHERE = "in a profile of your own (--profile FILE.yaml)"
CROPS = (64, 96, 128)
"""Sides of training crops to choose from, in pixels; the large net halves them to eighths after folding."""
THIN = 3
"""Pixels that the thinnest type is still wide, in the median, where images are taken smaller."""


def fitting(training: Sequence[Sample]) -> tuple[int, int]:
    """How many times smaller images are to be taken, and the side of training crops in pixels.

    The first at which half of the types fit into a crop, each by the median extent of its largest piece. Crops grow
    before images shrink, since texture is lost with pixels; types larger than that are cut.
    """
    by_type = [
        [_Shown.of(sample.mask == k) for sample in training if (sample.mask == k).any()]
        for k in range(1, 1 + len(training[0].classes))
    ]
    types = [(np.median([s.extent for s in t]), np.median([s.pixels / s.extent for s in t])) for t in by_type if t]
    if not types:
        return 1, CROPS[0]
    extent, width = np.median([extent for extent, _ in types]), min(width for _, width in types)
    times = 1
    while extent > times * CROPS[-1] and width >= 2 * times * THIN:
        times *= 2
    return times, next((crop for crop in CROPS if extent <= times * crop), CROPS[-1])


def before(training: Sequence[Sample], synthesis: Synthesis) -> list[str]:
    """What may go wrong: types in too few images or pixels, larger than a crop, or always at one place."""
    return [line for k in range(1, 1 + len(training[0].classes)) for line in _type_lines(training, k, synthesis)]


def after(
    pairs: Sequence[Sample], shares: pd.DataFrame, nearness: tuple[float, float], synthesis: Synthesis
) -> list[str]:
    """What went wrong: types that the generator leaves out, and training images that it repeats.

    Args:
        pairs: What it made.
        shares: What its training crops show, from :func:`defectlib.defectgen.crops.crop_shares`.
        nearness: From :func:`defectlib.defectgen.measures.crop_copies.crop_nearness`.
        synthesis: How the pairs were made.
    """
    shown = {name: sum(name in pair.present for pair in pairs) for name in shares.index}
    lines = [_omitted(name, shown[name], len(pairs), shares["shown"], synthesis) for name in shares.index]
    return [line for line in (*lines, _repeated(nearness, synthesis)) if line]


# Before -------------------------------------------------------------------------------------------------------------


def _type_lines(training: Sequence[Sample], k: int, synthesis: Synthesis) -> Iterator[str]:
    what, crop = f"type '{training[0].classes[k - 1]}'", synthesis.large.crop
    shown = [_Shown.of(sample.mask == k) for sample in training if (sample.mask == k).any()]
    if len(shown) < FEW_IMAGES:
        yield (
            f"{what}: {_count(len(shown), 'training image')} to learn it from, fewer than {FEW_IMAGES}; add images "
            "that show it, or leave it out of classes.json and the masks"
        )
    if not shown:
        return
    pixels = np.median([one.pixels for one in shown])
    if pixels < FEW_PIXELS:
        yield (
            f"{what}: covers {pixels:.0f} px of an image (median), fewer than {FEW_PIXELS}, too few to be drawn; bring "
            "images at a higher resolution, or leave it out of classes.json and the masks"
        )
    extent = np.median([one.extent for one in shown])
    if crop is not None and extent > crop:
        yield (
            f"{what}: reaches over {extent:.0f} px (median), and training crops of {crop} px cut it; if pairs must "
            f"show it whole, give --crop {_fitting(extent)}, at {(_fitting(extent) / crop) ** 2:.1f} times the cost"
        )
    centres = np.array([one.centre for one in shown])
    spread = np.sqrt(np.square(centres - centres.mean(axis=0)).sum(axis=1).mean())
    if len(shown) >= FEW_IMAGES and spread < ONE_PLACE:
        yield (
            f"{what}: lies at one place in all of its {len(shown)} training images (they differ by {spread:.1%} of the "
            "side), so pairs know it before one background alone; add images that show it elsewhere"
        )


class _Shown(NamedTuple):
    """A type in one image: its pixels, the longer side of its largest connected piece, its centre by shorter sides."""

    pixels: int
    extent: int
    centre: np.ndarray

    @classmethod
    def of(cls, where: np.ndarray) -> _Shown:
        """From ``where`` it is, bool (H, W)."""
        boxes = ndimage.find_objects(ndimage.label(where, np.ones((3, 3)))[0])
        extent = max(part.stop - part.start for box in boxes for part in box)
        return cls(int(where.sum()), extent, np.argwhere(where).mean(axis=0) / min(where.shape))


def _fitting(extent: float) -> int:
    """The least multiple of 32 px that holds ``extent``."""
    return 32 * int(np.ceil(extent / 32))


# After --------------------------------------------------------------------------------------------------------------


def _omitted(name: str, shown: int, pairs: int, shares: Mapping[str, float], synthesis: Synthesis) -> str | None:
    """Null hypothesis: a pair shows the type with at least half the probability that a training crop does."""
    chance = float(bdtr(shown, pairs, shares[name] / 2))  # of so few, or fewer
    if not shares[name] or chance >= LEVEL:
        return None
    steps = f"--steps (now {synthesis.large.steps})"
    return (
        f"type '{name}': {_count(shown, 'pair')} of {pairs} with it, where {shares[name]:.0%} of the training crops "
        f"show it (less than half as often: binomial test, p = {chance:.1g}); raise {steps}, or add images "
        "that show it"
    )


def _repeated(nearness: tuple[float, float], synthesis: Synthesis) -> str | None:
    """Null hypothesis: pairs come no nearer to the training images than crops of held-out images do."""
    share, chance = nearness
    if share < NEAR or chance >= LEVEL:
        return None
    u = synthesis.switch_step
    advice = f"raise own.switch_step (now {u})" if u < 1000 else "take a small net with a lower receptive_field"
    return (
        f"pairs repeat places of the training images: with a chance of {share:.0%} a pair is nearer to one than a crop "
        f"of a held-out image is, 50 % if it is new (Mann-Whitney test, p = {chance:.1g}); {advice} {_WHERE}, or add "
        "images"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
