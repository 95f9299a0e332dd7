"""The figure of what a reproduction costs: hours by table and by what they are for."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from defectlib.plots.style import FAINT, INK, LARGE_COLOUR, SERIES_COLOURS, SMALL_COLOUR, WIDTH, new_figure

#: What hours are for → colour and marker.
SHARES = {
    "large nets": (LARGE_COLOUR, "o"),
    "small nets": (SMALL_COLOUR, "o"),
    "sampling": (SERIES_COLOURS[3], "D"),
    "baselines": (SERIES_COLOURS[2], "s"),
}
#: Spans that people know, in hours.
SPANS = {
    "a minute": 1 / 60,
    "an hour": 1,
    "a day": 24,
    "a month": 730.5,
    "a year": 8766,
    "ten years": 87_660,
    "a century": 876_600,
    "a millennium": 8_766_000,
}
_BAND = "#F2F2F2"


def hours(run: pd.DataFrame, gpu: pd.DataFrame | None, machine: str, gpu_machine: str = "") -> Figure:
    """Hours of each table, a row each: a black bar for the sum, a mark with its range for each share of it.

    Args:
        run: Index ``makes``, ``share``; ``hours``, ``hours_low``, ``hours_high``, of the machine at hand.
        gpu: The same on a GPU, drawn hollow; None where nothing was measured on one.
        machine: Whose hours they are.
        gpu_machine: Name of the GPU.
    """
    rows = list(run.index.unique("makes"))
    figure = new_figure(WIDTH, 1.5 + 0.44 * len(rows))
    axes = figure.subplots()
    apart = 0.0 if gpu is None else 0.16
    _draw(axes, run, rows, -apart, filled=True)
    if gpu is not None:
        _draw(axes, gpu, rows, apart, filled=False)
    for row in range(0, len(rows), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=_BAND, lw=0, zorder=0)
    axes.axhline(len(rows) - 1.5, color=INK, lw=0.8)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(axis="y", length=0)
    axes.set(xscale="log", ylim=(len(rows) - 0.5, -0.5), xlabel="hours")
    _spans(axes)
    figure.legend(handles=_handles(machine, gpu_machine if gpu is not None else ""), loc="outside upper left", ncols=3)
    return figure


def _draw(axes: Axes, table: pd.DataFrame, rows: list[str], shift: float, *, filled: bool) -> None:
    for share, (colour, marker) in SHARES.items():
        if share not in table.index.unique("share"):
            continue
        found = table.xs(share, level="share")
        places = [rows.index(makes) + shift for makes in found.index]
        sides = np.array([found["hours"] - found["hours_low"], found["hours_high"] - found["hours"]]).clip(min=0)
        face = colour if filled else "white"
        axes.errorbar(found["hours"], places, xerr=sides, fmt=marker, color=colour, mfc=face, ms=6, elinewidth=1.2)
    sums = table.groupby(level="makes", sort=False)["hours"].sum()
    axes.plot(sums, [rows.index(makes) + shift for makes in sums.index], **_sum(filled))


def _sum(filled: bool) -> dict:
    return {"ls": "", "marker": "|", "ms": 16, "mew": 2.4 if filled else 1.2, "color": INK, "zorder": 1}


def _spans(axes: Axes) -> None:
    """Dashed lines at the :data:`SPANS` within the limits that the marks have set, named at the upper end."""
    low, high = axes.get_xlim()
    for name, span in SPANS.items():
        if low < span < high:
            axes.axvline(span, color=FAINT, lw=0.8, ls="--", zorder=0)
            place = {"textcoords": "offset points", "xytext": (0, 3), "ha": "center", "fontsize": 7.5}
            axes.annotate(name, (span, 1), xycoords=("data", "axes fraction"), color="#707070", **place)
    axes.xaxis.set_major_locator(FixedLocator([10.0**power for power in range(-4, 9)]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(low, high)


def _handles(machine: str, gpu_machine: str) -> list[Line2D]:
    marks = [
        Line2D([], [], color=colour, marker=marker, ls="", label=name) for name, (colour, marker) in SHARES.items()
    ]
    sums = {machine: True} | ({gpu_machine: False} if gpu_machine else {})
    lines = [Line2D([], [], label=f"sum, {name}", **(_sum(filled) | {"ms": 10})) for name, filled in sums.items()]
    return [*marks, *lines]
