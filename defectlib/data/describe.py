"""Captions for pairs that nobody described: what is truly in the mask, with place and size in words (paper §3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from defectlib.data.words import listed, noun, number, plural, with_article

#: Largest share of the image's area that each word covers; anything beyond is large.
SIZES = ((0.005, "tiny"), (0.02, "small"), (0.08, "medium-sized"), (1.0, "large"))
#: For each 64 pixels of the shorter side: pieces less than about twice so many pixels apart are one defect ...
NEAR = 1.0
#: ... and one of fewer pixels is a speck, named only where its type has nothing larger.
SPECK = 3.0
#: More places than this are not listed.
MOST_PLACES = 3

_ROWS = ("upper", "", "lower")
_COLUMNS = ("left", "", "right")


class Instance(NamedTuple):
    """One defect in a mask.

    Attributes:
        area: Share of the image, in (0, 1].
        x: Centroid from the left, in [0, 1].
        y: Centroid from the top, in [0, 1].
    """

    area: float
    x: float
    y: float


def describe(mask: np.ndarray, classes: Sequence[str], product: str) -> str:
    """One sentence naming every defect type in ``mask`` (uint8 (H, W), 0 is background), and nothing that is absent.

    Defects of one type and size are counted, and their places listed.
    """
    subject = f"{product.replace('_', ' ').capitalize()}"
    parts = [part for k, name in enumerate(classes, start=1) for part in _parts(instances(mask == k), noun(name))]
    return f"{subject} with {listed(parts)}." if parts else f"{subject} without a defect."


def instances(where: np.ndarray) -> list[Instance]:
    """The defects of one type, from the largest: connected pieces of ``where``, bool (H, W), merged where they nearly
    touch and without specks.

    A mask holds no borders between defects of one type, so those that touch read as one.
    """
    if not where.any():
        return []
    scale = min(where.shape) / 64
    square = np.ones((3, 3), bool)
    reach = ndimage.binary_dilation(where, square, iterations=max(1, round(NEAR * scale)))
    pieces, count = ndimage.label(reach, square)
    pixels = ndimage.sum_labels(where, pieces, range(1, count + 1))
    centres = ndimage.center_of_mass(where, pieces, range(1, count + 1))
    height, width = where.shape
    found = [
        Instance(float(n) / where.size, float(x + 0.5) / width, float(y + 0.5) / height)
        for n, (y, x) in zip(pixels, centres, strict=True)
    ]
    found.sort(key=lambda instance: -instance.area)
    return [found[0], *(instance for instance in found[1:] if instance.area * where.size >= SPECK * scale)]


def _parts(found: Sequence[Instance], name: str) -> list[str]:
    """One phrase for each size, from the largest."""
    return [_phrase(list(alike), f"{size} {name}") for size, alike in groupby(found, key=_size)]


def _size(instance: Instance) -> str:
    return next(word for limit, word in SIZES if instance.area <= limit)


def _phrase(alike: Sequence[Instance], name: str) -> str:
    counted = with_article(name) if len(alike) == 1 else f"{number(len(alike))} {plural(name)}"
    places = [_place(*ninth) for ninth in sorted({_ninth(instance) for instance in alike})]
    if len(places) > MOST_PLACES:
        return f"{counted} in several places"
    # "at" is not said twice in a row.
    pairs = zip(["", *places], places, strict=False)
    return (
        f"{counted} {listed([place.removeprefix('at ') if before[:2] == 'at' else place for before, place in pairs])}"
    )


def _ninth(instance: Instance) -> tuple[int, int]:
    """Row and column, 0 to 2, of the ninth of the image that holds the centroid."""
    return min(int(3 * instance.y), 2), min(int(3 * instance.x), 2)


def _place(row: int, column: int) -> str:
    down, across = _ROWS[row], _COLUMNS[column]
    if down and across:
        return f"at the {down} {across}"
    if not down and not across:
        return "in the centre"
    return f"at the {across or {'upper': 'top', 'lower': 'bottom'}[down]}"
