"""Figures of clicks: masks click by click (Figure 2), a slider through them.

Tables and arrays of :mod:`defectlib.experiments.clicking` in, matplotlib figures and widgets out.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from defectlib.data.sample import Sample
from defectlib.plots import overlay, tiles, widgets
from defectlib.plots.style import SERIES_COLOURS, WIDTH, literal, panels
from defectlib.plots.tiles import Tile

COLUMNS = (1, 2, 3, 5)
"""Clicks after which the figure shows the masks."""
_OUTLINE = 2  # the number of the defect colour in which masks are outlined: it stands out on all embedded products
_POSITIVE, _NEGATIVE = SERIES_COLOURS[2], SERIES_COLOURS[1]
_LAST = 8  # clicks that the slider goes through
_SIZES = (224, 176, 128, 96)  # pixels of a tile's side, of which the largest is taken that a page can carry


@dataclass(frozen=True, eq=False)
class Replay:
    """Recorded clicks on one defect.

    Attributes:
        name: Of the defect, for people.
        image: uint8 (H, W, 3).
        truth: bool (H, W).
        clicks: By method: row, column, and 1 for a positive click or 0.
        masks: By method: bool (clicks, H, W).
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    clicks: Mapping[str, Sequence[tuple[int, int, int]]]
    masks: Mapping[str, np.ndarray]

    def after(self, method: str, count: int) -> np.ndarray:
        """The mask after so many clicks; one who stopped earlier keeps the last."""
        return self.masks[method][min(count, len(self.masks[method])) - 1]

    def iou(self, method: str, count: int) -> float:
        """Of :meth:`after`, with the true mask."""
        mask = self.after(method, count)
        return float((mask & self.truth).sum() / (mask | self.truth).sum())


def replays(table: pd.DataFrame, image: Callable[[str, int, int], Sample]) -> list[Replay]:
    """Recorded clicks, those on the thinnest defects first.

    Args:
        table: See :attr:`defectlib.experiments.clicking.Clicks.replays`.
        image: From the name of the data, the number of the image and its side to the image.
    """
    found = []
    for (data, number, defect), rows in table.groupby(level=["data", "number", "defect"], sort=False):
        rows = rows.droplevel(["data", "number", "defect"])
        sample = image(data, int(number), int(rows["size"].iloc[0]))
        found.append(_replay(rows, f"{data}, {defect}, image {number}", sample))
    return sorted(found, key=lambda one: thickness(one.truth))


def thickness(truth: np.ndarray) -> float:
    """Area of a bool (H, W) over the square of its outline's length, 1 / 4π for a disc and near 0 for a line."""
    inside = np.pad(truth, 1)
    outline = sum(int((inside != np.roll(inside, 1, axis)).sum()) for axis in (0, 1))
    return float(truth.sum() / outline**2)


def spread(found: Sequence[Replay], number: int) -> list[Replay]:
    """So many of them at even steps of their order."""
    places = np.unique(np.linspace(0, len(found) - 1, number).round().astype(int))
    return [found[place] for place in places]


def _replay(rows: pd.DataFrame, name: str, sample: Sample) -> Replay:
    clicks = {method: json.loads(row["clicks"]) for method, row in rows.iterrows()}
    masks = {method: _masks(row["png"], len(sample.image)) for method, row in rows.iterrows()}
    truth = next(iter(masks.values()))[0]
    return Replay(name, sample.image, truth, clicks, {method: found[1:] for method, found in masks.items()})


def _masks(text: str, height: int) -> np.ndarray:
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))).astype(bool)
    return sheet.reshape(-1, height, sheet.shape[1])


# Figures ------------------------------------------------------------------------------------------------------------


def click_by_click(replays: Sequence[Replay]) -> Figure:
    """Figure 2: a row for each defect and method; the image, the true mask, then the mask after :data:`COLUMNS` clicks.

    Plus signs are positive clicks, crosses negative ones; under each mask its IoU.
    """
    rows = [(one, method) for one in replays for method in one.masks]
    wide = 2 + len(COLUMNS)
    figure, grid = panels(len(rows), wide, WIDTH, len(rows) * WIDTH / wide * 1.13)
    titles = ["image", "true mask", *(f"after {k} click{'s' * (k > 1)}" for k in COLUMNS)]
    for number, (axes, (one, method)) in enumerate(zip(grid, rows, strict=True)):
        for cell, title in zip(axes, titles, strict=True):
            cell.set(xticks=[], yticks=[], title=title if number == 0 else "")
            cell.title.set_fontsize(8.5)
            cell.spines[:].set_visible(False)
        axes[0].imshow(overlay.enlarge(one.image, overlay.scale_for(one.image)))
        axes[0].set_ylabel(method, fontsize=8.5)
        axes[1].imshow(_drawn(one, one.truth))
        axes[0].set_xlabel(literal(one.name) if method == next(iter(one.masks)) else "", fontsize=7, loc="left")
        for cell, k in zip(axes[2:], COLUMNS, strict=True):
            cell.imshow(_drawn(one, one.after(method, k)))
            _mark(cell, one, method, k)
            cell.set_xlabel(f"IoU {100 * one.iou(method, k):.0f} %", fontsize=8)
    return figure


# A slider -----------------------------------------------------------------------------------------------------------


def slider(replays: Sequence[Replay]) -> widgets.Panel:
    """A list of defects and a slider over clicks: the masks of all methods side by side, the clicks drawn in them."""
    most = min(
        _LAST, widgets.MAX_PICTURES // len(replays) - 1, max(len(c) for one in replays for c in one.clicks.values())
    )
    for pixels in _SIZES:
        contents = {one.name: [_card(one, k, pixels) for k in range(1, most + 1)] for one in replays}
        if widgets.size(contents.values()) <= widgets.MAX_BYTES:
            break
    return widgets.cards_in_groups("defect", "clicks", contents)


def _card(one: Replay, count: int, pixels: int) -> str:
    shown = [Tile(tiles.plain(_drawn(one, one.truth), pixels), "true mask", f"{one.name}: the true mask")]
    for method in one.masks:
        made = min(count, len(one.clicks[method]))
        note = f"IoU {100 * one.iou(method, count):.0f}\N{NO-BREAK SPACE}% after {made} click{'s' * (made > 1)}"
        picture = _with_clicks(one, method, count)
        shown.append(Tile(tiles.plain(picture, pixels), method, f"{one.name}, {method}: {note}", note))
    return tiles.card(shown, "Green: positive clicks, red: negative ones.", width=11)


def _with_clicks(one: Replay, method: str, count: int) -> np.ndarray:
    """The picture of :func:`_drawn` with the clicks so far as small squares, white around."""
    picture = _drawn(one, one.after(method, count)).copy()
    scale = overlay.scale_for(one.image)
    half = max(2, len(picture) // 80)
    for row, column, positive in one.clicks[method][:count]:
        top, left = ((place * scale + scale // 2) for place in (row, column))
        for size, colour in ((half + 2, "#FFFFFF"), (half, _POSITIVE if positive else _NEGATIVE)):
            area = slice(max(0, top - size), top + size + 1), slice(max(0, left - size), left + size + 1)
            picture[area] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return picture


# Parts --------------------------------------------------------------------------------------------------------------


def _drawn(one: Replay, mask: np.ndarray) -> np.ndarray:
    scale = overlay.scale_for(one.image)
    return overlay.outline(one.image, np.where(mask, _OUTLINE, 0).astype(np.uint8), scale, 2)


def _mark(axes: Axes, one: Replay, method: str, count: int) -> None:
    scale = overlay.scale_for(one.image)
    for row, column, positive in one.clicks[method][:count]:
        place = (column + 0.5) * scale - 0.5, (row + 0.5) * scale - 0.5
        colour, sign = (_POSITIVE, "P") if positive else (_NEGATIVE, "X")
        axes.plot(*place, sign, color=colour, mec="white", mew=0.5, ms=5, clip_on=False)
