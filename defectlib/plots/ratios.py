"""Figures of what synthetic pairs change: boxes by their number (Fig. 8), intervals, and a map over defect types.

Tables of :mod:`~defectlib.experiments.boost` in, figures out. Reference results and those of this run stand apart: in
panels of their own, or as squares and circles.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from string import ascii_lowercase

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cbook import boxplot_stats
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from defectlib.plots.style import FAINT, INK, SERIES_COLOURS, WIDTH, literal, panels
from defectlib.plots.tables import PAPER, RECORD, RUN

_COLOURS = {PAPER: SERIES_COLOURS[4], RECORD: SERIES_COLOURS[2], RUN: SERIES_COLOURS[5]}
_ARMS = {"pairs of Defect-Gen": SERIES_COLOURS[0], "of others": SERIES_COLOURS[1], "no pairs": "#606060"}
_MARKERS = {RECORD: "s", RUN: "o"}
_UNTOLD = "not significant"
_POINTS = "difference in mIoU (points), 95 % interval"


def figure8(paper: pd.DataFrame, record: pd.DataFrame | None = None, run: pd.DataFrame | None = None) -> Figure:
    """Relative improvement by the number of synthetic pairs: a column of panels per model, a row per source.

    The paper's boxes are over products and read off its plots. Ours are over defect types, each of which is a point;
    an arrow counts those beyond the panel, which ends a little beyond the whiskers.

    Args:
        paper: Index ``model``, ``proportion`` (%); ``low``, ``q1``, ``median``, ``q3``, ``high``, ``outliers`` in %.
        record: Index ``product``, ``model``, ``ratio`` (%), ``class``; column ``relative``, a fraction.
        run: The same.
    """
    ours = _sources(record, run)
    ours = {name: table[table.index.get_level_values("ratio") > 0] for name, table in ours.items()}
    models = list(dict.fromkeys([*paper.index.unique("model"), *(m for t in ours.values() for m in t.index.unique(1))]))
    order = sorted({*paper.index.unique("proportion"), *(r for t in ours.values() for r in t.index.unique("ratio"))})
    figure, grid = panels(1 + len(ours), len(models), WIDTH, 2.2 * (1 + len(ours)), sharex=True, sharey="row")
    for letter, model, column in zip(ascii_lowercase, models, grid.T, strict=False):
        _paper_boxes(column[0], paper, model, order)
        for axes, (name, table) in zip(column[1:], ours.items(), strict=True):
            _our_boxes(axes, table, model, order, _COLOURS[name])
        for axes, name in zip(column, (PAPER, *ours), strict=True):
            axes.axhline(0, color=INK, lw=0.8, zorder=0)
            axes.set(title=f"({letter}) {model}, {name}", xlabel="", ylabel="")
    grid[0, 0].set_ylabel("improvement in mIoU (%),\nover products")
    for (axes, *_), table in zip(grid[1:], ours.values(), strict=True):
        axes.set_ylabel("improvement in IoU (%),\nover defect types")
        axes.set_ylim(*_reach(table))
    for table, row in zip(ours.values(), grid[1:], strict=True):
        for model, axes in zip(models, row, strict=True):
            _count_beyond(axes, _of_model(table, model), order)
    figure.supxlabel("synthetic pairs, in % of the real images", fontsize=9)
    return figure


def differences(record: pd.DataFrame | None, run: pd.DataFrame | None) -> Figure:
    """The difference from real images alone, with its interval, by number of pairs; a panel per product.

    Right of the line is a gain. Hollow: the interval holds zero.

    Args:
        record: Index ``product``, ``model``, ``ratio`` (%); ``difference``, ``…_low`` and ``…_high``, fractions.
        run: The same.
    """
    given = {name: table.dropna(subset=["difference"]) for name, table in _given(record, run).items()}
    products, models, ratios = (_union(given, level) for level in ("product", "model", "ratio"))
    known = {cell[1:] for table in given.values() for cell in table.index}
    lines = [
        (ratio, name, model)
        for ratio in sorted(ratios)
        for name, table in given.items()
        for model in models
        if (model, ratio) in known and ratio in table.index.unique("ratio")
    ]
    figure, grid = panels(1, len(products), WIDTH, 1.3 + 0.2 * len(lines), sharey=True, sharex=True)
    colours = dict(zip(models, SERIES_COLOURS, strict=False))
    for axes, product in zip(grid[0], products, strict=True):
        for place, (ratio, name, model) in enumerate(lines):
            if (product, model, ratio) in given[name].index:
                _interval(axes, place, given[name].loc[product, model, ratio], colours[model], _MARKERS[name])
        axes.set(title=literal(product.replace("_", " ")), ylim=(len(lines) - 0.5, -0.5))
        axes.locator_params(axis="x", nbins=max(3, 12 // len(products)))
        _zero_line(axes)
        _name_blocks(axes, [f"{ratio} %" for ratio, _, _ in lines])
    grid[0, 0].set_ylabel("synthetic pairs\n(% of real images)")
    figure.supxlabel(_POINTS, fontsize=9)
    _legend(figure, colours, given)
    return figure


def controls(record: pd.DataFrame | None, run: pd.DataFrame | None) -> Figure:
    """The difference of every arm from real images with the usual augmentation, with its interval.

    Right of the line is better. Hollow: the interval holds zero.

    Args:
        record: Index ``arm``; ``difference`` with ``_low`` and ``_high``, fractions, and ``pairs``.
        run: The same.
    """
    given = {name: table.dropna(subset=["difference"]) for name, table in _given(record, run).items()}
    arms = _union(given, "arm")
    figure, ((axes,),) = panels(1, 1, WIDTH, 1.1 + (0.16 + 0.08 * len(given)) * len(arms))
    for step, (name, table) in enumerate(given.items()):
        beside = 0.5 * ((step + 0.5) / len(given) - 0.5)
        for arm, row in table.iterrows():
            _interval(axes, arms.index(arm) + beside, row, _ARMS[_kind(arm, row)], _MARKERS[name])
    _zero_line(axes)
    axes.set_yticks(range(len(arms)), arms)
    axes.set(ylim=(len(arms) - 0.5, -0.5), xlabel=_POINTS.replace("mIoU", "mIoU from real images, augmented"))
    kinds = {_kind(arm, row) for table in given.values() for arm, row in table.iterrows()}
    _legend(figure, {kind: colour for kind, colour in _ARMS.items() if kind in kinds}, given)
    return figure


def class_changes(record: pd.DataFrame | None, run: pd.DataFrame | None) -> Figure:
    """The difference in IoU of every defect type, in points: blue a gain, red a loss; sources below each other.

    Args:
        record: Index ``product``, ``model``, ``ratio`` (%), ``class``; column ``difference``, a fraction.
        run: The same.
    """
    given = {name: table[table.index.get_level_values("ratio") > 0] for name, table in _given(record, run).items()}
    products = _union(given, "product")
    lines = [(name, products[i : i + 2]) for name in given for i in range(0, len(products), 2)]
    heights = [len(given[name].groupby(level=["model", "ratio"])) + 1.6 for name, _ in lines]
    layout = {"gridspec_kw": {"height_ratios": heights}}
    figure, grid = panels(len(lines), min(2, len(products)), WIDTH, 0.6 + 0.24 * sum(heights), **layout)
    top = max(100 * float(table["difference"].abs().max()) for table in given.values()) or 1.0
    drawn = []
    for (name, some), row in zip(lines, grid, strict=True):
        known = [product in given[name].index.unique("product") for product in some]
        for place, axes in enumerate(row):
            if place < len(some) and known[place]:
                _change_map(axes, given[name], some[place], top, named=not any(known[:place]))
                axes.set_title(literal(f"{some[place].replace('_', ' ')}, {name}"))
                drawn.append(axes.collections[0])
            else:
                axes.set_axis_off()
    bar = figure.colorbar(drawn[0], ax=list(grid.flat), shrink=0.8, pad=0.02)
    bar.set_label("difference in IoU (points)")
    bar.outline.set_visible(False)
    return figure


# Parts --------------------------------------------------------------------------------------------------------------


def _sources(record: pd.DataFrame | None, run: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    return {name: table for name, table in ((RECORD, record), (RUN, run)) if table is not None}


def _given(record: pd.DataFrame | None, run: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    if not (given := _sources(record, run)):
        raise ValueError("nothing to draw: neither reference results nor a run")
    return given


def _union(given: Mapping[str, pd.DataFrame], level: str) -> list:
    return list(dict.fromkeys(value for table in given.values() for value in table.index.unique(level)))


def _paper_boxes(axes: Axes, paper: pd.DataFrame, model: str, order: list[int]) -> None:
    if model not in paper.index.unique("model"):
        _say_missing(axes, "not in the paper")
        return
    rows = paper.xs(model, level="model")
    drawn = [
        {"whislo": r.low, "q1": r.q1, "med": r.median, "q3": r.q3, "whishi": r.high, "fliers": r.outliers}
        for r in rows.itertuples()
    ]
    places = [order.index(proportion) for proportion in rows.index]
    box = {"facecolor": _COLOURS[PAPER], "linewidth": 0.8}
    options = {"patch_artist": True, "widths": 0.55, "boxprops": box, "manage_ticks": False}
    axes.bxp(drawn, places, medianprops={"color": INK, "lw": 1.6}, flierprops={"marker": ".", "color": INK}, **options)


def _our_boxes(axes: Axes, table: pd.DataFrame, model: str, order: list[int], colour: str) -> None:
    rows = _of_model(table, model)
    if rows.empty:
        _say_missing(axes, "not run" if model not in table.index.unique("model") else "no type was found without pairs")
        return
    data = {"x": rows["ratio"].map(str), "y": rows["relative"], "order": list(map(str, order)), "ax": axes}
    box = {"boxprops": {"facecolor": colour, "linewidth": 0.8}, "medianprops": {"color": INK, "lw": 1.6}}
    sns.boxplot(**data, width=0.55, showfliers=False, **box)
    sns.stripplot(**data, color=INK, size=3, alpha=0.7, jitter=False)
    axes.set_xticks(range(len(order)), [f"{ratio} %" for ratio in order])


def _of_model(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """Columns ``ratio`` and ``relative`` (in %) of one model, without types that have none."""
    rows = table[table.index.get_level_values("model") == model]["relative"].dropna()
    return pd.DataFrame({"ratio": rows.index.get_level_values("ratio"), "relative": 100 * rows.to_numpy()})


def _reach(table: pd.DataFrame) -> tuple[float, float]:
    """Limits of an axis that show every whisker, and zero."""
    ends = [0.0]
    for _, values in table["relative"].dropna().groupby(level=["model", "ratio"]):
        stats = boxplot_stats(100 * values.to_numpy())[0]
        ends += [stats["whislo"], stats["whishi"]]
    room = 0.15 * max(max(ends) - min(ends), 1.0)
    return min(ends) - room, max(ends) + room


def _count_beyond(axes: Axes, rows: pd.DataFrame, order: list[int]) -> None:
    low, high = axes.get_ylim()
    for ratio, values in rows.groupby("ratio")["relative"]:
        for beyond, arrow, place, align in ((values > high, "▲", high, "top"), (values < low, "▼", low, "bottom")):
            if beyond.any():
                text = f"{arrow} {int(beyond.sum())}"
                axes.text(order.index(ratio) + 0.32, place, text, ha="left", va=align, fontsize=7, color=INK)


def _say_missing(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=9, color="#808080")


def _interval(axes: Axes, place: float, row: pd.Series, colour: str, marker: str) -> None:
    low, high = 100 * row["difference_low"], 100 * row["difference_high"]
    told = low > 0 or high < 0
    axes.plot([low, high], [place, place], color=colour, lw=1.8, solid_capstyle="butt")
    face = colour if told else "white"
    axes.plot(100 * row["difference"], place, marker, color=colour, mfc=face, mew=1.3, ms=5)


def _kind(arm: str, row: pd.Series) -> str:
    ours, others, none = _ARMS
    return none if not row["pairs"] else ours if arm.startswith("Defect-Gen") else others


def _name_blocks(axes: Axes, names: list[str]) -> None:
    """A label in the middle of each run of equal names, and a line between two of them."""
    starts = [place for place, name in enumerate(names) if place == 0 or name != names[place - 1]]
    ends = [*starts[1:], len(names)]
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    axes.set_yticks(middles, [names[start] for start in starts])
    for start in starts[1:]:
        axes.axhline(start - 0.5, color=FAINT, lw=0.5)


def _zero_line(axes: Axes) -> None:
    axes.axvline(0, color=INK, lw=0.8, zorder=0)
    axes.xaxis.set_major_formatter(lambda x, _: _true_minus(f"{x:+g}") if x else "0")


def _legend(figure: Figure, colours: Mapping[str, str], given: Mapping[str, pd.DataFrame]) -> None:
    line = {"lw": 1.8}
    handles = [Line2D([], [], color=colour, label=name, **line) for name, colour in colours.items()]
    grey = {"ls": "", "color": "#606060"}
    handles += [Line2D([], [], marker=_MARKERS[name], label=name, **grey) for name in given]
    handles.append(Line2D([], [], marker=_MARKERS[[*given][-1]], mfc="white", mew=1.3, label=_UNTOLD, **grey))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))


def _change_map(axes: Axes, table: pd.DataFrame, product: str, top: float, named: bool) -> None:
    """One product's map; ``named``: with the names of its rows."""
    rows = 100 * table.xs(product, level="product")["difference"]
    wide = rows.unstack("class").reindex(columns=rows.index.unique("class"))
    wide = wide.reindex(dict.fromkeys(rows.index.droplevel("class"))).rename(columns=literal)
    wide.index = [f"{model}, {ratio} %" for model, ratio in wide.index]
    axes.set_facecolor("#D9D9D9")
    options = {"vmin": -top, "vmax": top, "center": 0, "cmap": "RdBu", "linewidths": 1.0, "cbar": False}
    words = wide.map(lambda change: f"{round(change):+d}" if change == change and round(change) else "0")
    sns.heatmap(wide, ax=axes, annot=words.map(_true_minus), fmt="", annot_kws={"fontsize": 7}, **options)
    for row, column in np.argwhere(wide.isna()):
        axes.text(column + 0.5, row + 0.5, "none", ha="center", va="center", fontsize=7)
    axes.set(xlabel="", ylabel="")
    names = [textwrap.fill(name.replace("_", " "), 9) for name in wide.columns]
    axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=0)
    axes.set_yticks(np.arange(len(wide)) + 0.5, wide.index if named else [""] * len(wide), rotation=0)
    axes.tick_params(length=0)


def _true_minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")
