"""Pictures with words under them, side by side as far as the screen goes: HTML that needs no script and no style sheet.

Pictures are in the text itself, so a card of tiles works in a saved widget, in a page from disk and in a kernel.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from defectlib.data.sample import Sample
from defectlib.plots import overlay
from defectlib.plots.style import DEFECT_COLOURS

TILE_PIXELS = 192  # what a side is brought to, about, if nobody says otherwise; larger pictures are shrunk to it

_ROW = "display: flex; flex-wrap: wrap; gap: 0.6rem; line-height: 1.35; white-space: normal"
_TEXT = "margin: 0.3rem 0; line-height: 1.35; white-space: normal"
_TILE = "margin: 0; width: {width}rem; max-width: 47%"
_IMAGE = "width: 100%; height: auto; display: block; margin: 0"
_SWATCH = "display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.35em; background: {colour}"


@dataclass(frozen=True)
class Tile:
    """A picture and what is said of it.

    Attributes:
        image: uint8 (H, W, 3), as shown.
        title: What it is; in bold below it.
        alt: For those who do not see it.
        note: What else is known of it, below the title.
    """

    image: np.ndarray
    title: str
    alt: str
    note: str = ""


def card(tiles: Sequence[Tile], text: str = "", width: float = 9) -> str:
    """HTML of ``tiles`` in rows, with ``text`` above them; ``width`` of each in rem, two in a row at the least."""
    above = f'<p style="{_TEXT}">{html.escape(text)}</p>' if text else ""
    return f'{above}<div style="{_ROW}">{"".join(_tile(tile, width) for tile in tiles)}</div>'


def legend(classes: Sequence[str]) -> str:
    """HTML that names the colour of each defect type."""
    if len(classes) > len(DEFECT_COLOURS):
        return ""  # colours repeat: names would be ambiguous
    named = zip(classes, DEFECT_COLOURS, strict=False)
    items = [f'<span><span style="{_SWATCH.format(colour=c)}"></span>{html.escape(name)}</span>' for name, c in named]
    return f'<div style="{_ROW}; gap: 0.2rem 1rem; font-size: 0.85em">{"".join(items)}</div>'


def plain(image: np.ndarray, pixels: int = TILE_PIXELS) -> np.ndarray:
    """``image`` with a side of about ``pixels``."""
    return overlay.shrink(overlay.enlarge(image, overlay.scale_for(image, pixels)), pixels)


def outlined(sample: Sample, pixels: int = TILE_PIXELS) -> np.ndarray:
    """The sample with its mask outlined, with a side of about ``pixels``."""
    scale = overlay.scale_for(sample.image, pixels)
    thickness = max(2, round(2 * scale * max(sample.mask.shape) / pixels))
    return overlay.shrink(overlay.outline(sample.image, sample.mask, scale, thickness), pixels)


def filled(sample: Sample, alpha: float, pixels: int = TILE_PIXELS) -> np.ndarray:
    """The sample with its mask in colours of opacity ``alpha`` over it, with a side of about ``pixels``."""
    scale = overlay.scale_for(sample.image, pixels)
    return overlay.shrink(overlay.blend(sample.image, sample.mask, scale, alpha), pixels)


def img(image: np.ndarray, alt: str, style: str = _IMAGE, quality: int = 80) -> str:
    """HTML of a picture that holds its own bytes."""
    data = base64.b64encode(overlay.to_bytes(image, quality)).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(alt)}" style="{style}">'


def _tile(tile: Tile, width: float) -> str:
    note = f"<br>{html.escape(tile.note)}" if tile.note else ""
    words = f'<div style="font-size: 0.85em"><b>{html.escape(tile.title)}</b>{note}</div>'
    return f'<div class="tile" style="{_TILE.format(width=width)}">{img(tile.image, tile.alt)}{words}</div>'
