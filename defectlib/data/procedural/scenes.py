"""What a scene is: a product's look and its defects as numbers, drawn from one generator, with no pixels yet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from defectlib.data.procedural.rendering import Canvas

SEVERAL_TYPES = 1.0 / 6.0
"""Chance that an image asks for a second defect type; now and then there is no room for it."""
SAME_TWICE = 0.15
"""Chance that an image of a single type asks for a second instance of it."""
GAP = 0.03
"""Least distance between two defects, in sides of the image: about two pixels at 64."""
TRIES = 60


@dataclass(frozen=True)
class DefectType:
    """How large a type is and how it is called.

    Attributes:
        name: Class name.
        length: Least and greatest length, in sides of the image.
        width: Least and greatest width, in sides of the image.
        sizes: Adjectives for the short, middle and long third of the range of length.
        noun: What captions call it.
    """

    name: str
    length: tuple[float, float]
    width: tuple[float, float]
    sizes: tuple[str, str, str]
    noun: str


@dataclass(frozen=True)
class Defect:
    """One defect, in the unit square.

    Attributes:
        kind: Class name.
        x: Centre, from the left.
        y: Centre, from the top.
        length: Extent along its own axis.
        width: Extent across it.
        angle: Direction of its axis in radians, clockwise from the right.
        bend: Sideways offset of the middle of a stroke; 0 for spots.
        salt: Seed of the irregularities of its outline and texture.
    """

    kind: str
    x: float
    y: float
    length: float
    width: float
    angle: float
    bend: float
    salt: int

    @property
    def reach(self) -> float:
        """Half the side of a square around the centre that holds all of it."""
        return 0.75 * max(self.length, self.width) + abs(self.bend) + 0.02

    def spine(self) -> np.ndarray:
        """Nine points (9, 2) along its middle line; discs of half the width around them cover most of it."""
        t = np.linspace(-1.0, 1.0, 9)
        along = 0.5 * t * max(self.length - self.width, 0.0)
        across = self.bend * (1.0 - t * t)
        c, s = float(np.cos(self.angle)), float(np.sin(self.angle))
        return np.stack([self.x + c * along - s * across, self.y + s * along + c * across], axis=1)


@dataclass(frozen=True)
class Product:
    """A product that can be painted.

    Attributes:
        name: Product name.
        kind: Whether its global shape matters (object) or not (texture).
        types: Its defect types, in id order from 1.
        description: One sentence on what it is.
        title: What captions call it.
        compose: Draws a look (pose, light, colours), a dataclass private to the product.
        propose: Draws a defect of a type for a look, anywhere it may plausibly be.
        fits: Whether a proposed defect lies where that type can lie.
        paint: Paints a look with its defects, given as (class id, defect) pairs, on a canvas.
    """

    name: str
    kind: Literal["object", "texture"]
    types: tuple[DefectType, ...]
    description: str
    title: str
    compose: Callable[[np.random.Generator], Any] = field(repr=False)
    propose: Callable[[np.random.Generator, DefectType, Any], Defect] = field(repr=False)
    fits: Callable[[Any, Defect], bool] = field(repr=False)
    paint: Callable[[Canvas, Any, list[tuple[int, Defect]]], None] = field(repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the defect types, by id from 1."""
        return tuple(kind.name for kind in self.types)


@dataclass(frozen=True)
class Scene:
    """A picture before it has pixels; the same scene renders at any size.

    Attributes:
        key: Identifier within the dataset.
        product: Product name.
        look: Pose, light and colours, a dataclass of the product.
        defects: In the order in which they are painted.
    """

    key: str
    product: str
    look: Any
    defects: tuple[Defect, ...]


def generator(*parts: object) -> np.random.Generator:
    """A generator that follows from ``parts`` alone, whatever was drawn before and wherever it runs."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest, "big")))


def draw_defect(
    rng: np.random.Generator, kind: DefectType, x: float, y: float, angle: float, bend: float = 0.0
) -> Defect:
    """A defect of this type at a place, its size drawn from the type's ranges."""
    length, width = float(rng.uniform(*kind.length)), float(rng.uniform(*kind.width))
    salt = int(rng.integers(2**40))
    return Defect(kind.name, x, y, length, min(width, length), angle, bend, salt)


def draw_defects(rng: np.random.Generator, product: Product, look: Any, primary: int) -> tuple[Defect, ...]:
    """The defects of one image: one of type ``primary`` (from 0), and sometimes more.

    Args:
        rng: The image's generator.
        product: Says what the types are and where each may lie.
        look: The product's look in this image.
        primary: Index into the product's types.

    Returns:
        One to three defects. They keep their distance from each other, so that no type hides another.
    """
    wanted = [product.types[primary]]
    if rng.random() < SEVERAL_TYPES:
        others = [kind for kind in product.types if kind is not wanted[0]]
        count = 2 if rng.random() < 0.25 else 1
        wanted += [others[i] for i in rng.permutation(len(others))[:count]]
    elif rng.random() < SAME_TWICE:
        wanted += wanted
    placed: list[Defect] = []
    for kind in wanted:
        defect = _place(rng, product, look, kind, placed)
        if defect is not None:
            placed.append(defect)
    return tuple(placed)


def _place(
    rng: np.random.Generator, product: Product, look: Any, kind: DefectType, placed: list[Defect]
) -> Defect | None:
    """The first proposal that fits and is clear of ``placed``; with none placed yet, there always is one."""
    for attempt in range(TRIES):
        defect = product.propose(rng, kind, look)
        if not placed:
            # The primary type must appear: shrink it a little with every miss, down to the least size.
            ease = attempt / (TRIES - 1)
            length = defect.length + ease * (kind.length[0] - defect.length)
            defect = replace(defect, length=length, width=min(defect.width, length))
        if product.fits(look, defect) and all(_apart(defect, other) for other in placed):
            return defect
    return None if placed else defect


def _apart(a: Defect, b: Defect) -> bool:
    steps = a.spine()[:, None, :] - b.spine()[None, :, :]
    nearest = float(np.sqrt((steps**2).sum(axis=2)).min())
    return nearest > 0.5 * (a.width + b.width) + GAP
