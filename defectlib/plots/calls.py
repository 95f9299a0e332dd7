"""Figures of samplers: the timesteps they visit, and what they give for a number of network calls."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, PercentFormatter

from defectlib.plots.style import FAINT, INK, LARGE_COLOUR, SERIES_COLOURS, SMALL_COLOUR, WIDTH, panels

#: Sampler → its name and its colour, which is not that of a net.
SAMPLERS = {
    "ddpm": ("ancestral (DDPM)", INK),
    "ddim": ("DDIM", SERIES_COLOURS[2]),
    "dpm++": ("DPM-Solver++", SERIES_COLOURS[3]),
}
_BESIDE = {
    "ddpm": (4, -10),
    "ddim": (4, 4),
    "dpm++": (-14, -10),
}  # of a point, in points: so that texts miss each other
_REAL = ("real images", 0)
_SPEED = "images_per_second"


def visits(table: pd.DataFrame) -> Figure:
    """The timesteps at which each sampler calls the nets, from noise on the left to the image on the right.

    A panel per switch step u, a line per sampler, a dot per call in the colour of the net that is called; the upright
    line is u.

    Args:
        table: Index ``sampler``, ``u``; columns ``large`` and ``small``, lists of t.
    """
    switch_steps = table.index.unique("u")
    samplers = table.index.unique("sampler")
    height = 0.8 + (0.45 + 0.22 * len(samplers)) * len(switch_steps)
    figure, grid = panels(len(switch_steps), 1, WIDTH, height, sharex=True)
    for axes, u in zip(grid.flat, switch_steps, strict=True):
        for height, sampler in enumerate(samplers):
            for net, colour in (("large", LARGE_COLOUR), ("small", SMALL_COLOUR)):
                if seen := table.loc[(sampler, u), net]:  # an empty line would upset the layout
                    axes.plot(seen, [height] * len(seen), "o", color=colour, ms=5, clip_on=False)
        axes.axvline(u, color=FAINT, lw=0.8, zorder=0)
        axes.set_yticks(range(len(samplers)), [SAMPLERS[sampler][0] for sampler in samplers])
        axes.set(title=f"u = {u}", xlim=(1010, -10), ylim=(len(samplers) - 0.5, -0.5))
    grid[-1, 0].set_xlabel("timestep t (999: noise, 0: image)")
    nets = [Patch(color=LARGE_COLOUR, label="large net"), Patch(color=SMALL_COLOUR, label="small net")]
    figure.legend(handles=nets, loc="outside upper right", ncols=2)
    return figure


def curves(
    table: pd.DataFrame, measures: Mapping[str, str], record: pd.DataFrame | None = None, columns: int = 2
) -> Figure:
    """Each measure against the number of network calls, a panel per measure, a line per sampler.

    Bars are 95 % intervals; the dashed line is where real images are. Filled points are of this run, open ones of
    record. A sampler that needs few calls is flat; one that loses something bends away from the dashed line.

    Args:
        table: Index ``sampler``, ``calls``; a column for each measure, ``X_error`` the standard error of measure ``X``.
            The row of calls 0 is that of real images; points without a measure are left out.
        measures: Label by column; one that ends in ``(%)`` is a fraction.
        record: The same, of the reference results.
        columns: Panels beside each other.
    """
    rows = -(-len(measures) // columns)
    figure, grid = panels(rows, columns, WIDTH, 0.6 + (5.2 / columns) * rows)
    for axes, (name, label) in zip(grid.flat, measures.items(), strict=False):
        for source, filled in ((record, False), (table, True)):
            if source is not None:
                _lines(axes, source, name, filled)
        axes.axhline(table.loc[_REAL, name], color=FAINT, ls="--", lw=1.2, zorder=0)
        axes.set(title=label.replace(" (", "\n("))
        _calls_axis(axes, [table, *([] if record is None else [record])])
        if label.endswith("(%)"):
            axes.set_ylim(-0.02, max(0.2, axes.get_ylim()[1]))
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    for axes in grid.flat[len(measures) :]:
        axes.set_axis_off()
    figure.supxlabel("network calls per pair", fontsize=9)
    _name_lines(figure, table, record)
    return figure


def speed(table: pd.DataFrame, measures: Mapping[str, str], record: pd.DataFrame | None = None) -> Figure:
    """Measures against images per second: the farther to the right and the nearer to the dashed line, the better.

    Every point bears its number of calls; bars are 95 % intervals upright, and from the slowest to the fastest round.

    Args:
        table: As for :func:`curves`, and ``images_per_second`` with ``…_low`` and ``…_high``.
        measures: Label by column.
        record: The same, of the reference results.
    """
    figure, grid = panels(1, len(measures), WIDTH, 3.6)
    for axes, (measure, label) in zip(grid[0], measures.items(), strict=True):
        for source, filled in ((record, False), (table, True)):
            for sampler, rows in () if source is None else _by_sampler(source, measure):
                _timed(axes, sampler, rows, measure, filled)
        axes.axhline(table.loc[_REAL, measure], color=FAINT, ls="--", lw=1.2, zorder=0)
        axes.set(xscale="log", title=label.replace(" (", "\n("))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(0.12)
    figure.supxlabel("images per second", fontsize=9)
    _name_lines(figure, table, record)
    return figure


# Parts --------------------------------------------------------------------------------------------------------------


def _by_sampler(table: pd.DataFrame, measure: str) -> list[tuple[str, pd.DataFrame]]:
    """Of each sampler the rows that have the measure, by calls."""
    found = table.drop(index=[_REAL]).dropna(subset=[measure])
    return [
        (sampler, found.loc[sampler].sort_index()) for sampler in SAMPLERS if sampler in found.index.unique("sampler")
    ]


def _lines(axes: Axes, table: pd.DataFrame, measure: str, filled: bool) -> None:
    for shift, (sampler, rows) in zip((0.97, 1.0, 1.03), _by_sampler(table, measure), strict=False):
        error = 1.96 * rows[f"{measure}_error"]
        colour = SAMPLERS[sampler][1]
        axes.errorbar(rows.index * shift, rows[measure], yerr=error, color=colour, **_marks(filled))


def _timed(axes: Axes, sampler: str, rows: pd.DataFrame, measure: str, filled: bool) -> None:
    colour = SAMPLERS[sampler][1]
    x, y, error = rows[_SPEED], rows[measure], 1.96 * rows[f"{measure}_error"]
    sides = np.array([x - rows[f"{_SPEED}_low"], rows[f"{_SPEED}_high"] - x])
    axes.errorbar(x, y, yerr=error, xerr=sides, color=colour, **_marks(filled))
    at = {"textcoords": "offset points", "fontsize": 7.5, "color": colour, "alpha": 1 if filled else 0.6}
    for calls, place in zip(rows.index, zip(x, y, strict=True), strict=True):
        axes.annotate(str(calls), place, xytext=_BESIDE[sampler], **at)


def _marks(filled: bool) -> dict:
    shape = {"marker": "o", "ms": 4.5, "elinewidth": 0.8, "capsize": 0}
    return shape | ({"lw": 1.4} if filled else {"lw": 0.8, "ls": ":", "mfc": "white"})


def _calls_axis(axes: Axes, tables: list[pd.DataFrame]) -> None:
    calls = sorted({calls for table in tables for calls in table.drop(index=[_REAL]).index.unique("calls")})
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(calls))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")


def _name_lines(figure: Figure, table: pd.DataFrame, record: pd.DataFrame | None) -> None:
    seen = table.index.unique("sampler")
    handles = [
        Line2D([], [], color=colour, marker="o", label=name) for key, (name, colour) in SAMPLERS.items() if key in seen
    ]
    handles.append(Line2D([], [], color=FAINT, ls="--", label="real images"))
    if record is not None:
        handles.append(Line2D([], [], color="#808080", marker="o", mfc="white", ls=":", label="reference"))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
