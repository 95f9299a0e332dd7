"""The embedded dataset: four products with defects, painted from scenes that are numbers, at any size.

Nothing is stored. An image follows from (product, split, index, seed) alone, is the same on every machine, and
its mask is exact. It is a stand-in that needs no download, and never passes for a real dataset.
"""

from __future__ import annotations

from difflib import get_close_matches

from defectlib.data.procedural.brushed_plate import BRUSHED_PLATE
from defectlib.data.procedural.captions import caption
from defectlib.data.procedural.rendering import Canvas
from defectlib.data.procedural.scenes import Defect, DefectType, Product, Scene, draw_defects, generator
from defectlib.data.procedural.softgel import SOFTGEL
from defectlib.data.procedural.twill import TWILL
from defectlib.data.procedural.washer import WASHER
from defectlib.data.sample import Sample
from defectlib.settings import PAINTER

__all__ = [
    "PRODUCTS",
    "SPLITS",
    "VERSION",
    "Defect",
    "DefectType",
    "Product",
    "Scene",
    "render",
    "sample",
    "scene",
]

VERSION: int = PAINTER["painter_version"]
"""Part of the data's identity: raise it whenever a pixel changes, and artifacts made from the old ones expire."""
PRODUCTS: dict[str, Product] = {product.name: product for product in (SOFTGEL, WASHER, TWILL, BRUSHED_PLATE)}
SPLITS = ("train", "eval", "oracle", "good")
"""``train`` is few-shot material, ``eval`` is held out, ``oracle`` trains judges, ``good`` has no defects."""
SIZES = (32, 512)
"""Least and greatest side of an image, in pixels."""


def scene(product: str, split: str, index: int, seed: int = 0) -> Scene:
    """Draw a scene. The primary defect type of image i is number i mod K.

    Args:
        product: A name in ``PRODUCTS``.
        split: A name in ``SPLITS``; splits share no randomness.
        index: Number of the image within its split, from 0.
        seed: Another seed gives another dataset of the same kind.

    Raises:
        ValueError: If the product or the split is unknown or the index is negative.
    """
    painter = PRODUCTS[_known("product", product, tuple(PRODUCTS))]
    _known("split", split, SPLITS)
    if index < 0:
        raise ValueError(f"index {index} is negative; images are numbered from 0")
    rng = generator("procedural", VERSION, product, split, int(index), int(seed))
    look = painter.compose(rng)
    defects = () if split == "good" else draw_defects(rng, painter, look, index % len(painter.types))
    return Scene(f"{product}_{split}_{index:05d}", product, look, defects)


def render(scene: Scene, size: int = 64) -> Sample:
    """Paint a scene, square.

    A pixel of the mask is background unless defects cover at least half of it, and otherwise of the class that
    covers most of it; where defects touch, the one painted later wins in image and mask alike.

    Args:
        scene: From ``scene``.
        size: Side in pixels, 32 to 512.

    Raises:
        ValueError: If the size is out of range.
    """
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"size {size} is out of range; choose {SIZES[0]} to {SIZES[1]} px, 64 as a rule")
    product = PRODUCTS[_known("product", scene.product, tuple(PRODUCTS))]
    canvas = Canvas.blank(size)
    product.paint(canvas, scene.look, [(product.classes.index(d.kind) + 1, d) for d in scene.defects])
    image, mask = canvas.pixels()
    words = caption(product, scene)
    return Sample(scene.key, image, mask, product.classes, product.name, words, f"procedural v{VERSION}")


def sample(product: str, split: str, index: int, *, size: int = 64, seed: int = 0) -> Sample:
    """Draw a scene and paint it; see ``scene`` and ``render``."""
    return render(scene(product, split, index, seed), size)


def _known(what: str, name: str, names: tuple[str, ...]) -> str:
    if name in names:
        return name
    close = get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"unknown {what} {name!r}; {hint}choose from {', '.join(names)}")
