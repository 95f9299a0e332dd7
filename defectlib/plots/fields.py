"""Figures of receptive fields: where a pixel looks, what reaches it from beyond, and what the field's size does.

The tables and maps of :mod:`defectlib.experiments.receptive_field` in, matplotlib figures out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from defectlib.plots.style import INK, LARGE_COLOUR, SERIES_COLOURS, SMALL_COLOUR, WIDTH, panels

_COLUMNS = 3  # panels side by side
_DECADES = 5  # that the colours of an effective field span
_SQUARE = {"fill": False, "linewidth": 1.4}
_THEORY = {"edgecolor": SERIES_COLOURS[2], "linestyle": "-"}
_HELD = {"edgecolor": SERIES_COLOURS[4], "linestyle": "--"}
_MEASURES = {"nearest": "to the nearest training image", "spread": "between two synthetic images"}


def effective_fields(effective: Mapping[str, np.ndarray], measures: Mapping[str, dict]) -> Figure:
    """Where the pixel in the middle looks: its gradient as a heat map, one panel per net, one scale for all.

    The brighter, the more; black is next to nothing. Solid: the field that the layers give, which nothing crosses;
    dashed: the square that holds 95 % of the gradient.

    Args:
        effective: Maps (H, W) of sum 1, by net.
        measures: ``theory`` and ``effective_mean``, pixels a side, by net.
    """
    figure, cells = _panels(len(effective), 0.82)
    most = max(field.max() for field in effective.values())
    colours = {"norm": LogNorm(most / 10**_DECADES, most, clip=True), "cmap": "inferno", "interpolation": "nearest"}
    for axes, (name, field) in zip(cells, effective.items(), strict=True):
        middle, side = np.array(field.shape) // 2, measures[name]["effective_mean"]
        shown = axes.imshow(field, **colours)
        _square(axes, middle, side, _HELD)
        if measures[name]["theory"] is not None:
            _square(axes, middle, measures[name]["theory"], _THEORY)
        axes.set(title=name, xticks=[], yticks=[], xlim=(-0.5, field.shape[1] - 0.5), ylim=(field.shape[0] - 0.5, -0.5))
        axes.set_xlabel(f"95 % in {side} px", fontsize=8)
    figure.colorbar(shown, ax=cells, label="share of the gradient, per pixel", shrink=0.8)
    looks = {"theory": _THEORY, "holds 95 %": _HELD}
    handles = [Patch(**_SQUARE | look, label=name) for name, look in looks.items()]
    figure.legend(handles=handles, loc="outside lower left", ncols=2)
    return figure


def leak(influence: pd.DataFrame) -> Figure:
    """What reaches the middle from beyond a distance, one panel per net: live normalisation against frozen.

    Frozen statistics bring the curve to zero at the edge of the receptive field (upright line); live ones do not.

    Args:
        influence: Columns ``net``, ``distance`` in pixels, ``live``, ``frozen`` (fractions) and ``reach``.
    """
    nets = influence["net"].unique()
    figure, cells = _panels(len(nets), 0.95, sharey=True)
    for axes, net in zip(cells, nets, strict=True):
        rows = influence[influence["net"] == net]
        axes.plot(rows["distance"], rows["frozen"], marker="s", color=SERIES_COLOURS[2], label="statistics frozen")
        axes.plot(rows["distance"], rows["live"], marker="o", color=SERIES_COLOURS[1], label="statistics live")
        if (reach := rows["reach"].iloc[0]) <= rows["distance"].max():
            axes.axvline(reach, color=INK, ls="--", lw=1, label="edge of the field")
        axes.set_yscale("symlog", linthresh=1e-4)
        axes.set(title=net, ylim=(-3e-5, 2), yticks=[0, 1e-4, 1e-3, 1e-2, 1e-1, 1])
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axes.set_yticks([], minor=True)
    handles = dict(zip(*cells[0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles=handles.values(), labels=handles.keys(), loc="outside upper left", ncols=3)
    figure.supxlabel("everything farther than this from the middle is exchanged (px)", fontsize=9)
    figure.supylabel("change of the middle", fontsize=9)
    return figure


def effective_by_timestep(sides: pd.DataFrame) -> Figure:
    """How far a pixel looks at each timestep: the square that holds 95 % of the gradient, a line per net.

    Noise grows to the right: where a line rises, it is noise that makes the net ask farther away.

    Args:
        sides: Index ``t``; pixels a side, a column per net, the large one called ``large``.
    """
    figure, ((axes,),) = panels(1, 1, 5.6, 2.8)
    shades = iter((SMALL_COLOUR, *SERIES_COLOURS[2:]))
    for name, values in sides.items():
        colour = LARGE_COLOUR if name == "large" else next(shades)
        axes.plot(values.index, values, marker="o", color=colour, label=name)
    axes.set(xlabel="timestep t", ylabel="holds 95 % (px a side)", ylim=(0, None), xticks=sides.index)
    figure.legend(loc="outside right upper")
    return figure


def field_matrix(table: pd.DataFrame) -> Figure:
    """Two settings varied at once: distances at each switch step (columns) and receptive field (rows).

    White is what the training images have among themselves: blue is nearer or more alike, red farther or more varied.

    Args:
        table: Columns ``u``, ``field``, and ``nearest`` and ``spread`` (root-mean-square, pixels in [0, 1]), with
            ``training_nearest`` and ``training_spread``.
    """
    fields = table["field"].nunique()
    # One scale for both panels: a colour is the same difference everywhere.
    reach = max((table[name] - table[f"training_{name}"]).abs().max() for name in _MEASURES)
    figure, grid = panels(1, 2, WIDTH, 1.5 + 0.42 * fields, sharey=True)
    for axes, (name, title) in zip(grid[0], _MEASURES.items(), strict=True):
        wide = table.pivot(index="field", columns="u", values=name).sort_index(ascending=False)
        among = table[f"training_{name}"].iloc[0]
        colours = {"cmap": "vlag", "norm": TwoSlopeNorm(among, among - reach, among + reach), "cbar": False}
        sns.heatmap(wide, ax=axes, annot=True, fmt=".3f", annot_kws={"fontsize": 8}, linewidths=1.5, **colours)
        axes.set_title(f"{title}\n(training images: {among:.3f})", fontsize=9)
        axes.set(xlabel="", ylabel="")
        axes.tick_params(length=0, rotation=0)
    grid[0, 0].set_ylabel("receptive field (px)")
    figure.supxlabel("switch step u (0: large net alone, 1000: small net alone)", fontsize=9)
    return figure


# Parts --------------------------------------------------------------------------------------------------------------


def _panels(count: int, aspect: float, **options: bool) -> tuple[Figure, list[Axes]]:
    """``count`` axes in rows of three, each ``aspect`` times as high as wide."""
    rows, columns = -(-count // _COLUMNS), min(count, _COLUMNS)
    figure, grid = panels(rows, columns, WIDTH, 0.7 + rows * (aspect * WIDTH / columns + 0.2), **options)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    return figure, list(grid.flat[:count])


def _square(axes: Axes, middle: np.ndarray, side: int, look: dict) -> None:
    """The outline of ``side`` pixels around ``middle`` (row, column)."""
    corner = middle[::-1] - side / 2
    axes.add_patch(Rectangle(corner, side, side, **_SQUARE | look))
