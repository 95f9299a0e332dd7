"""One sentence on what a scene shows: the product, and each defect with its size and place in words."""

from __future__ import annotations

from defectlib.data.procedural.scenes import Defect, DefectType, Product, Scene
from defectlib.data.words import listed, with_article

MIDDLE = 0.3
"""What lies within this share of the half extent on both sides counts as the middle."""


def caption(product: Product, scene: Scene) -> str:
    """The sentence for a scene; every defect is named, and nothing that is not there."""
    subject = f"{product.title[0].upper()}{product.title[1:]}, {scene.look.words}"
    if not scene.defects:
        return f"{subject}, without a fault."
    types = {kind.name: kind for kind in product.types}
    parts, named = [], set()
    for defect in scene.defects:
        where = place(product, scene, defect)
        again = "another " if defect.kind in named else ""
        parts.append(f"{size(types[defect.kind], defect, again)} {where}")
        named.add(defect.kind)
    return f"{subject}, with {listed(parts)}."


def size(kind: DefectType, defect: Defect, article: str = "") -> str:
    """A type's noun with its article and the adjective for a defect's length."""
    low, high = kind.length
    third = min(int(3.0 * (defect.length - low) / (high - low)), 2)
    words = f"{kind.sizes[max(third, 0)]} {kind.noun}"
    return f"{article}{words}" if article else with_article(words)


def place(product: Product, scene: Scene, defect: Defect) -> str:
    """Where a defect lies: on an object relative to its extent, on a texture relative to the image."""
    x, y, half_width, half_height = scene.look.frame
    across = _third((defect.x - x) / half_width, "left", "right")
    down = _third((defect.y - y) / half_height, "upper", "lower")
    if not across:
        down = {"upper": "top", "lower": "bottom", "": "centre"}[down]
    on = "across" if defect.length > 3.0 * defect.width else "at"
    return f"{on} {'its' if product.kind == 'object' else 'the'} {f'{down} {across}'.strip()}"


def _third(position: float, before: str, after: str) -> str:
    return before if position < -MIDDLE else after if position > MIDDLE else ""
