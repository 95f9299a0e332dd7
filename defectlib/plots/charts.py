"""Figures made of numbers: curves, bars, intervals. The tables that studies return in, matplotlib figures out.

Shares and mIoU come in as fractions and are shown in %. Each docstring says what a reader should see; alternative
texts are set where a figure is displayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from defectlib.plots.style import INK, SERIES_COLOURS, WIDTH, literal, panels

DISTANCE = "distance to the nearest training image (RMS, 0 to 1)"
_PERCENT = 100


def fidelity_diversity(
    table: pd.DataFrame,
    y: str = "spread",
    y_label: str = "distance between two synthetic images (RMS, 0 to 1)",
    x: str = "nearest",
    x_label: str = DISTANCE,
    reference: str = "training",
) -> Figure:
    """The path of synthetic pairs as u grows, by default from copies of the training images to images unlike any.

    Every point is labelled with its u; the black cross is where real images stand, training images among themselves or
    held-out ones against them.

    Args:
        table: Columns ``u``, ``x`` and ``y``; ``REFERENCE_X`` with ``REFERENCE_Y`` places the cross.
        y: The measure on the upright axis.
        y_label: Its name, with its unit.
        x: The measure on the level axis.
        x_label: Its name, with its unit.
        reference: Whose values are the cross, as its columns begin.
    """
    figure, ((axes,),) = panels(1, 1, WIDTH, 3.6)
    table = table.sort_values("u")
    axes.plot(table[x], table[y], marker="o", color=SERIES_COLOURS[0], label="two stages, by u")
    if f"{reference}_{y}" in table and f"{reference}_{x}" in table:
        first, label = table.iloc[0], f"{reference.replace('_', '-')} images"
        axes.plot(first[f"{reference}_{x}"], first[f"{reference}_{y}"], "x", color=INK, ms=8, label=label)
    axes.set(xlabel=x_label, ylabel=_wrapped(y_label))
    if table[x].min() > 0 and table[x].max() > 3 * table[x].min():  # else the points of small u lie on a heap
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.18)
    _label_path(axes, table[[x, y]].to_numpy(), [f"u = {u}" for u in table["u"]])
    axes.legend(loc="best")
    return figure


def difference_interval(table: pd.DataFrame) -> Figure:
    """What synthetic data changed: difference in mIoU with its 95 % interval, one line for each product and model.

    An interval right of the zero line is a gain, left of it a loss; one that crosses it tells neither (grey).

    Args:
        table: Columns ``product``, ``model`` and ``difference``, ``difference_low``, ``difference_high`` (fractions).
    """
    figure, ((axes,),) = panels(1, 1, WIDTH, 0.9 + 0.27 * len(table))
    for place, row in enumerate(table.itertuples()):
        low, high = _PERCENT * row.difference_low, _PERCENT * row.difference_high
        colour = SERIES_COLOURS[0] if low > 0 else SERIES_COLOURS[1] if high < 0 else "#808080"
        axes.plot([low, high], [place, place], color=colour, lw=2.2, solid_capstyle="butt")
        axes.plot(_PERCENT * row.difference, place, "o", color=colour)
    axes.axvline(0, color=INK, lw=0.8)
    axes.set_yticks(range(len(table)), [f"{literal(row.product)}, {row.model}" for row in table.itertuples()])
    axes.set(ylim=(len(table) - 0.5, -0.5), xlabel="difference in mIoU with synthetic data (points), 95 % interval")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:+g}" if x else "0")
    return figure


def learning_curve(
    losses: Mapping[str, pd.DataFrame], label: str = "loss (weighted mean squared error)", title: str = "net"
) -> Figure:
    """The loss of each net against training steps: every recorded value faint, their running mean strong.

    Args:
        losses: Columns ``step`` and ``loss``, by name of the net.
        label: What the loss is.
        title: Of the legend.
    """
    figure, ((axes,),) = panels(1, 1, WIDTH, 2.8)
    for colour, (name, curve) in zip(SERIES_COLOURS, losses.items(), strict=False):
        smooth = curve["loss"].rolling(max(1, len(curve) // 30), center=True, min_periods=1).mean()
        axes.plot(curve["step"], curve["loss"], color=colour, alpha=0.25, lw=0.8)
        axes.plot(curve["step"], smooth, color=colour, label=literal(name))
    axes.set(xlabel="training step", ylabel=label, yscale="log")
    axes.legend(title=title)
    return figure


# Parts --------------------------------------------------------------------------------------------------------------


def _label_path(axes: Axes, points: np.ndarray, texts: Sequence[str]) -> None:
    """A text beside each of the points (N, 2) of a line, where the line does not run."""
    axes.figure.draw_without_rendering()  # else the axes are not yet where they will be
    places = axes.transData.transform(points)
    steps = np.diff(places, axis=0)
    steps /= np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-9)
    there, back = np.pad(steps, ((0, 1), (0, 0))), np.pad(-steps, ((1, 0), (0, 0)))
    for point, text, away, along in zip(points, texts, -(there + back), there, strict=True):
        if (length := np.linalg.norm(away)) < 0.5:  # the line runs nearly straight on: beside it, then
            away, length = np.array([along[1], -along[0]]), 1
        away = away / max(length, 1e-9)
        clear = np.abs(away) @ (20, 5) + 5  # points: half a text's width and height, and a gap
        at = {"xytext": tuple(clear * away), "textcoords": "offset points", "ha": "center", "va": "center"}
        axes.annotate(text, tuple(point), fontsize=8, **at)


def _wrapped(label: str) -> str:
    """The unit, in brackets, on a line of its own."""
    return label.replace(" (", "\n(")
