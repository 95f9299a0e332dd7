"""Captions for pairs that nobody described: what is truly in the mask, with place and size in words (paper §3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Largest share of the image's area that each word covers; anything beyond is large.
SIZES = ((0.005, "tiny"), (0.02, "small"), (0.08, "medium-sized"), (1.0, "large"))


def describe(mask: np.ndarray, classes: Sequence[str], product: str) -> str:
    """One sentence naming every defect type in ``mask`` (uint8 (H, W), 0 is background), and nothing that is absent."""
    subject = f"{product.replace('_', ' ').capitalize()}"
    parts = [_part(mask == k, name) for k, name in enumerate(classes, start=1) if (mask == k).any()]
    if not parts:
        return f"{subject} without a defect."
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{subject} with {listed}."


def _part(where: np.ndarray, name: str) -> str:
    size = next(word for limit, word in SIZES if where.mean() <= limit)
    rows, columns = np.nonzero(where)
    height, width = where.shape
    return f"a {size} {name.replace('_', ' ')} {_place(columns.mean() / width, rows.mean() / height)}"


def _place(x: float, y: float) -> str:
    """The ninth of the image that holds the point (x, y), both in [0, 1]."""
    across = ("left", "", "right")[min(int(3 * x), 2)]
    down = ("upper", "", "lower")[min(int(3 * y), 2)]
    if across and down:
        return f"at the {down} {across}"
    if not across and not down:
        return "in the centre"
    return f"at the {across or {'upper': 'top', 'lower': 'bottom'}[down]}"
