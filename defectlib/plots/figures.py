"""Figures made of images: galleries, strips and panels. Samples and arrays in, matplotlib figures out.

Each docstring says what a reader should see; alternative texts are set where a figure is displayed.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from defectlib.data.sample import Sample
from defectlib.plots import overlay
from defectlib.plots.style import DPI, WIDTH, defect_colour, literal, new_figure, panels

_SMALL_TEXT = 7  # points
_LINE = 0.13  # inches, a line of small text


def gallery(samples: Sequence[Sample], columns: int = 3, title: str = "", captions: bool = True) -> Figure:
    """Every sample twice, bare and with its defects outlined, its caption below; the colours are named at the foot."""
    rows = math.ceil(len(samples) / columns)
    cell = WIDTH / columns
    texts = [_wrapped(sample.caption if captions else "", cell) for sample in samples]
    lines = max(text.count("\n") + 1 if text else 0 for text in texts)
    height = rows * (cell / 2 + lines * _LINE + 0.1) + 0.35 + (0.3 if title else 0)
    figure, grid = _grid(rows, columns, height)
    for axes, sample, text in zip(grid.flat, samples, texts, strict=False):
        bare = overlay.enlarge(sample.image, _scale(sample, cell / 2))
        show(axes, overlay.side_by_side([bare, _outlined(sample, cell / 2)], gap=max(2, len(bare) // 40)))
        axes.set_xlabel(literal(text), fontsize=_SMALL_TEXT, loc="left", labelpad=2)
    _blank(grid.flat[len(samples) :])
    _name_colours(figure, samples)
    if title:
        figure.suptitle(literal(title), x=0.01, ha="left", fontsize=10)
    return figure


def before_and_after(pairs: Sequence[tuple[Sample, Sample]], before: str, after: str) -> Figure:
    """Two annotations of the same images (Fig. 1 b, c), one above the other, with their IoU and the types of each.

    Outlines that hug the defect in one row and stay clear of it in the other; types that one row tells apart.

    Args:
        pairs: Each image with both masks, whose types are numbered alike.
        before: Name of the upper annotation.
        after: Name of the lower one.
    """
    cell = (WIDTH - 0.4) / len(pairs)
    lines = [max(len(sample.present) for sample in row) for row in zip(*pairs, strict=True)]
    figure, grid = _grid(2, len(pairs), 2 * cell + sum(lines) * _LINE + 0.35)
    figure.get_layout_engine().set(h_pad=0.04)
    for row, name, samples in zip(grid, (before, after), zip(*pairs, strict=True), strict=True):
        row[0].set_ylabel(name, fontsize=8)
        for axes, sample in zip(row, samples, strict=True):
            show(axes, _outlined(sample, cell))
            _name_types(axes, sample)
    for axes, (first, second) in zip(grid[0], pairs, strict=True):
        shared, either = (first.mask > 0) & (second.mask > 0), (first.mask > 0) | (second.mask > 0)
        axes.set_title(f"IoU {shared.sum() / max(1, either.sum()):.0%}".replace("%", " %"), loc="center", fontsize=8)
    return figure


def beside_nearest(sets: Mapping[str, tuple[Sequence[Sample], Sequence[Sample]]]) -> Figure:
    """Sets of generated pairs side by side, and below each pair the training image nearest to it.

    A copy shows as a column of two equal pictures.

    Args:
        sets: By name, pairs and the training sample nearest to each.
    """
    columns = max(len(pairs) for pairs, _ in sets.values())
    cell = (WIDTH - 0.5) / (columns * len(sets))
    whole = new_figure(WIDTH, 2 * cell + 0.75)
    for part, (name, rows) in zip(np.atleast_1d(whole.subfigures(1, len(sets))), sets.items(), strict=True):
        part.suptitle(name, fontsize=10)
        grid = part.subplots(2, columns, squeeze=False)
        for row, samples, label in zip(grid, rows, ("generated", "nearest"), strict=True):
            for axes, sample in zip(row, samples, strict=True):
                show(axes, _outlined(sample, cell))
            row[0].set_ylabel(label, fontsize=8)
    _name_colours(whole, [sample for rows in sets.values() for samples in rows for sample in samples])
    return whole


def matrix(rows: Mapping[str, Sequence[Sample]], columns: Sequence[str]) -> Figure:
    """Samples with outlined masks in a grid whose rows and columns are named: two settings varied at once.

    Args:
        rows: Samples by name of the row, one for each column.
        columns: Names of the columns.
    """
    cell = (WIDTH - 0.5) / len(columns)
    figure, grid = _grid(len(rows), len(columns), len(rows) * cell + 0.6)
    for row, (name, samples) in zip(grid, rows.items(), strict=True):
        for axes, sample in zip(row, samples, strict=True):
            show(axes, _outlined(sample, cell))
        row[0].set_ylabel(name, fontsize=8)
    for axes, name in zip(grid[0], columns, strict=True):
        axes.set_title(name, loc="center", fontsize=8)
    _name_colours(figure, [sample for samples in rows.values() for sample in samples])
    return figure


# Parts --------------------------------------------------------------------------------------------------------------


def _grid(rows: int, columns: int, height: float, width: float = WIDTH) -> tuple[Figure, np.ndarray]:
    figure, grid = panels(rows, columns, width, height)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    return figure, grid


def show(axes: Axes, image: np.ndarray) -> None:
    """``image`` without frame and ticks."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[], anchor="N")
    axes.spines[:].set_visible(False)


def _blank(rest: Sequence[Axes]) -> None:
    for axes in rest:
        axes.set_axis_off()


def _scale(sample: Sample, inches: float) -> int:
    """The enlargement that gives an image shown ``inches`` wide at least the pixels of the screen."""
    return max(1, math.ceil(inches * DPI / sample.image.shape[1]))


def _outlined(sample: Sample, inches: float) -> np.ndarray:
    """The outlined image, its line about 1.4 pixels wide once the image is shown at ``inches``."""
    scale = _scale(sample, inches)
    shrunk = scale * sample.image.shape[1] / (inches * DPI)
    return overlay.outline(sample.image, sample.mask, scale, thickness=max(1, round(1.4 * shrunk)))


def _wrapped(text: str, inches: float) -> str:
    """``text`` broken into lines that fit ``inches`` at the size of small text."""
    return textwrap.fill(text, width=int(inches * 72 / (_SMALL_TEXT * 0.58)))


def _handles(classes: Sequence[str]) -> list[Patch]:
    return [Patch(color=to_rgb(defect_colour(k)), label=literal(name)) for k, name in enumerate(classes, start=1)]


def _name_types(axes: Axes, sample: Sample) -> None:
    """The types present and their colours, one per line, below the picture."""
    handles = [h for h, name in zip(_handles(sample.classes), sample.classes, strict=True) if name in sample.present]
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": 0.3, "borderpad": 0}
    spacing = {"handlelength": 0.8, "handleheight": 0.8, "handletextpad": 0.5, "labelspacing": 0.2}
    axes.legend(handles=handles, fontsize=_SMALL_TEXT, **place, **spacing)


def _name_colours(figure: Figure, samples: Sequence[Sample]) -> None:
    """A legend at the foot, if the samples share their classes; else names would be ambiguous and it stays away."""
    classes = {sample.classes for sample in samples}
    if len(classes) == 1:
        (names,) = classes
        figure.legend(handles=_handles(names), loc="outside lower left", ncols=min(7, len(names)), borderaxespad=0.9)
