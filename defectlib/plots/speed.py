"""Figures of latency: what each model takes, each way, and what that has to do with its arithmetic."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from defectlib.plots.style import FAINT, INK, SERIES_COLOURS, WIDTH, new_figure

#: Way → its name, colour and marker.
WAYS = {
    "eager": ("eager", INK, "o"),
    "optimised": ("optimised", SERIES_COLOURS[2], "s"),
    "onnx": ("ONNX Runtime, CPU", SERIES_COLOURS[3], "D"),
}
_PAPER = ("paper, RTX 3090", "#808080")
_BAND = "#F2F2F2"


def latency(table: pd.DataFrame, paper: pd.Series) -> Figure:
    """Milliseconds of each model, a line per model, a mark per way with a bar from quartile to quartile.

    The paper's times stand in a panel of their own, since they are another machine's and of images of unknown size:
    what can be compared is the order of the models. The farther to the left, the faster.

    Args:
        table: Index ``model``; of each way its median in milliseconds, and ``WAY_low`` and ``WAY_high``.
        paper: Milliseconds by model.
    """
    models = list(table.index)
    figure = new_figure(WIDTH, 1.1 + 0.42 * len(models))
    ours, theirs = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    for shift, (way, (_, colour, marker)) in zip((-0.22, 0, 0.22), WAYS.items(), strict=True):
        rows = np.arange(len(models)) + shift
        sides = _sides(table, way)
        ours.errorbar(table[way], rows, xerr=sides, fmt=marker, color=colour, ms=5, elinewidth=1.2)
    theirs.plot(paper.reindex(models), range(len(models)), "o", color=_PAPER[1], mfc="white", mew=1.4, ms=6)
    ours.set(ylim=(len(models) - 0.5, -0.5), title="this run")
    ours.set_yticks(range(len(models)), models)
    theirs.set(title=_PAPER[0])
    for axes in (ours, theirs):
        axes.margins(x=0.08)
        _log(axes.xaxis)
        axes.tick_params(axis="y", length=0)
        for row in range(0, len(models), 2):
            axes.axhspan(row - 0.5, row + 0.5, color=_BAND, lw=0, zorder=0)
        axes.set_xlabel("milliseconds per image")
    figure.legend(handles=_handles(), loc="outside upper left", ncols=len(WAYS))
    return figure


def against_cost(table: pd.DataFrame) -> Figure:
    """Milliseconds against multiply-adds, a mark per model and way; a model's marks stand above each other.

    Along a dashed line the machine does as many multiply-adds a second. A model far above the others at the same cost
    spends its time on something else than arithmetic: many small layers, memory, or launching kernels.

    Args:
        table: As for :func:`latency`, and ``multiply_adds``.
    """
    figure = new_figure(WIDTH, 4.4)
    axes = figure.subplots()
    cost = table["multiply_adds"] / 1e9
    for way, (_, colour, marker) in WAYS.items():
        axes.errorbar(
            cost, table[way], yerr=_sides(table, way), fmt=marker, color=colour, ms=5.5, elinewidth=1, capsize=0
        )
    axes.set(xscale="log", yscale="log")
    axes.margins(0.1)
    top = table[list(WAYS)].max(axis=1)
    bottom = table[list(WAYS)].min(axis=1)
    axes.vlines(cost, bottom, top, color=FAINT, lw=0.8, zorder=0)
    for model in table.index:
        place = {"textcoords": "offset points", "xytext": (0, 7), "ha": "center", "fontsize": 8}
        axes.annotate(model, (cost[model], top[model]), **place)
    _log(axes.xaxis)
    _log(axes.yaxis)
    _rates(axes)
    axes.set(xlabel="multiply-adds per image (G, billions)", ylabel="milliseconds per image")
    figure.legend(handles=_handles(), loc="outside upper left", ncols=len(WAYS))
    return figure


# Parts --------------------------------------------------------------------------------------------------------------


def _sides(table: pd.DataFrame, way: str) -> np.ndarray:
    return np.array([table[way] - table[f"{way}_low"], table[f"{way}_high"] - table[way]]).clip(min=0)


def _rates(axes: Axes) -> None:
    """Dashed lines of equal arithmetic per second, within the limits that the marks have set, each named at its end."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for rate in (digit * 10**power for power in range(6) for digit in (1, 2, 5)):  # billions a second
        x, y = (right, 1e3 * right / rate) if 1e3 * right / rate < high else (high * rate / 1e3, high)
        if x <= left or y <= low:
            continue
        axes.plot([left, right], [1e3 * left / rate, 1e3 * right / rate], color=FAINT, lw=0.8, ls="--", zorder=0)
        beside = {"xytext": (4, 0), "va": "center"} if y < high else {"xytext": (0, 4), "ha": "center"}
        text = {"textcoords": "offset points", "fontsize": 7.5, "color": "#707070", "annotation_clip": False}
        axes.annotate(f"{rate:,} G/s", (x, y), **beside, **text)
    axes.set(xlim=(left, right), ylim=(low, high))


def _log(axis: Axis) -> None:
    """A logarithmic axis over a factor of four at least, with ticks at 1, 2 and 5 times the powers of ten."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    wider = max(1.0, 2 / np.sqrt(high / low))  # a range that is too small would show noise, and no tick
    axis.axes.set(**{f"{axis.axis_name}lim": (low / wider, high * wider)})
    axis.set_major_locator(FixedLocator([digit * 10.0**power for power in range(-3, 7) for digit in (1, 2, 5)]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def _handles() -> list[Line2D]:
    return [Line2D([], [], color=colour, marker=marker, ls="", label=name) for name, colour, marker in WAYS.values()]
