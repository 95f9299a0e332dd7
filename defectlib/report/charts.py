"""Figures made of numbers: curves, bars, intervals. The tables that studies return in, matplotlib figures out.

Shares and mIoU come in as fractions and are shown in %. Each docstring says what a reader should see; alternative
texts are set where a figure is displayed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from defectlib.report.style import FAINT, INK, SERIES_COLOURS, WIDTH, panels

SWITCH_STEP = "switch step u (0: large net alone, 1000: small net alone)"
DISTANCE = "distance to the nearest training image (RMS, 0 to 1)"
_PERCENT = 100
_NARROW = 5.6  # inches, a figure of one panel


def switch_curve(table: pd.DataFrame, measures: Mapping[str, str] | None = None) -> Figure:
    """Each measure against the switch step u, one panel each; dashed, the same measure among the training images.

    Args:
        table: Column ``u`` and one for each measure; ``X_low`` and ``X_high`` give measure ``X`` a band,
            ``training_X`` its dashed line.
        measures: Label by column; None takes distance to the training images and spread.
    """
    measures = measures or {"nearest": DISTANCE, "spread": "distance between two synthetic images (RMS, 0 to 1)"}
    columns = min(2, len(measures))
    rows = -(-len(measures) // columns)
    figure, grid = panels(rows, columns, WIDTH, 2.7 * rows)
    table = table.sort_values("u")
    for axes, (name, label) in zip(grid.flat, measures.items(), strict=False):
        axes.plot(table["u"], table[name], marker="o", color=SERIES_COLOURS[0], label="synthetic")
        if f"{name}_low" in table:
            band = table[f"{name}_low"], table[f"{name}_high"]
            axes.fill_between(table["u"], *band, color=SERIES_COLOURS[0], alpha=0.2, linewidth=0)
        if f"training_{name}" in table:
            axes.axhline(table[f"training_{name}"].iloc[0], color=INK, ls="--", lw=1, label="training images")
        axes.set(title=_wrapped(label), ylim=(0, None), xticks=table["u"])
        axes.legend(loc="best")
    for axes in grid.flat[len(measures) :]:
        axes.set_axis_off()
    figure.supxlabel(SWITCH_STEP, fontsize=9)
    return figure


def fidelity_diversity(
    table: pd.DataFrame,
    y: str = "spread",
    y_label: str = "distance between two synthetic images (RMS, 0 to 1)",
    rivals: pd.DataFrame | None = None,
) -> Figure:
    """The path of synthetic pairs as u grows, from copies of the training images (left) to images unlike any (right).

    Every point is labelled with its u; the black cross is where the training images stand among themselves.

    Args:
        table: Columns ``u``, ``nearest`` and ``y``; ``training_nearest`` with ``training_Y`` places the cross.
        y: The measure on the upright axis.
        y_label: Its name, with its unit.
        rivals: Other generators by name (index), with columns ``nearest`` and ``y``.
    """
    figure, ((axes,),) = panels(1, 1, _NARROW, 3.6)
    table = table.sort_values("u")
    axes.plot(table["nearest"], table[y], marker="o", color=SERIES_COLOURS[0], label="two stages, by u")
    for row in table.itertuples():
        at = {"xy": (row.nearest, getattr(row, y)), "xytext": (5, 5), "textcoords": "offset points"}
        axes.annotate(f"u = {row.u}", fontsize=8, **at)
    if f"training_{y}" in table and "training_nearest" in table:
        first = table.iloc[0]
        axes.plot(first["training_nearest"], first[f"training_{y}"], "x", color=INK, ms=8, label="training images")
    for colour, (name, row) in zip(SERIES_COLOURS[1:], () if rivals is None else rivals.iterrows(), strict=False):
        axes.plot(row["nearest"], row[y], "s", color=colour, label=name)
    axes.set(xlabel=DISTANCE, ylabel=_wrapped(y_label))
    axes.set_xscale("log")  # else the points of small u lie on a heap
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.12)
    axes.legend(loc="best")
    return figure


def miou_bars(table: pd.DataFrame) -> Figure:
    """Two bars for each model, trained on real images alone and on both, with 95 % intervals; one panel per product.

    Args:
        table: Columns ``product``, ``model``, and ``real`` and ``synthetic`` (mIoU as fractions), each with ``_low``
            and ``_high``.
    """
    products = table["product"].unique()
    figure, grid = panels(1, len(products), WIDTH, 2.8, sharey=True)
    for axes, product in zip(grid.flat, products, strict=True):
        rows = table[table["product"] == product]
        for offset, (column, label) in zip((-0.2, 0.2), _ARMS.items(), strict=True):
            place = np.arange(len(rows)) + offset
            axes.bar(place, _PERCENT * rows[column], width=0.36, color=_ARM_COLOURS[column], label=label)
            spans = _PERCENT * rows[f"{column}_low"], _PERCENT * rows[f"{column}_high"]
            axes.vlines(place, *spans, color=INK, lw=1.2)
        axes.set_xticks(range(len(rows)), rows["model"])
        axes.set(title=product, ylim=(0, 100))
    grid[0, 0].set_ylabel("mIoU (%)")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2)
    return figure


def difference_interval(table: pd.DataFrame) -> Figure:
    """What synthetic data changed: difference in mIoU with its 95 % interval, one line for each product and model.

    An interval right of the zero line is a gain, left of it a loss; one that crosses it tells neither (grey).

    Args:
        table: Columns ``product``, ``model`` and ``difference``, ``difference_low``, ``difference_high`` (fractions).
    """
    figure, ((axes,),) = panels(1, 1, _NARROW, 0.9 + 0.27 * len(table))
    for place, row in enumerate(table.itertuples()):
        low, high = _PERCENT * row.difference_low, _PERCENT * row.difference_high
        colour = SERIES_COLOURS[0] if low > 0 else SERIES_COLOURS[1] if high < 0 else "#808080"
        axes.plot([low, high], [place, place], color=colour, lw=2.2, solid_capstyle="butt")
        axes.plot(_PERCENT * row.difference, place, "o", color=colour)
    axes.axvline(0, color=INK, lw=0.8)
    axes.set_yticks(range(len(table)), [f"{row.product}, {row.model}" for row in table.itertuples()])
    axes.set(ylim=(len(table) - 0.5, -0.5), xlabel="difference in mIoU with synthetic data (points), 95 % interval")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:+g}" if x else "0")
    return figure


def per_class_iou_heatmap(table: pd.DataFrame) -> Figure:
    """IoU of every class (columns) for each model and training set (rows), in %; darker is better, grey is absent.

    Args:
        table: One product's rows: columns ``model``, ``trained_on``, ``class``, ``iou`` (fractions, NaN where the
            evaluation images have none).

    Raises:
        ValueError: The rows are of several products, whose classes differ.
    """
    if "product" in table and table["product"].nunique() > 1:
        raise ValueError(f"one heat map shows one product, got {', '.join(table['product'].unique())}")
    rows = table["model"] + ", " + table["trained_on"]
    wide = table.assign(row=rows).pivot(index="row", columns="class", values="iou")
    wide = _PERCENT * wide.loc[rows.unique(), table["class"].unique()]
    figure, ((axes,),) = panels(1, 1, WIDTH, 1.0 + 0.3 * len(wide))
    axes.set_facecolor("#D9D9D9")
    options = {"vmin": 0, "vmax": 100, "cmap": "Blues", "linewidths": 1.5, "cbar_kws": {"label": "IoU (%)"}}
    sns.heatmap(wide, ax=axes, annot=True, fmt=".0f", annot_kws={"fontsize": 8}, **options)
    axes.set(xlabel="", ylabel="")
    for row, column in np.argwhere(wide.isna()):
        axes.text(column + 0.5, row + 0.5, "none", ha="center", va="center", fontsize=8)
    names = [textwrap.fill(name.replace("_", " "), 11) for name in wide.columns]
    axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=0)
    axes.tick_params(length=0)
    return figure


def learning_curve(losses: Mapping[str, pd.DataFrame]) -> Figure:
    """The loss of each net against training steps: every recorded value faint, their running mean strong.

    Args:
        losses: Columns ``step`` and ``loss``, by name of the net.
    """
    figure, ((axes,),) = panels(1, 1, _NARROW, 2.8)
    for colour, (name, curve) in zip(SERIES_COLOURS, losses.items(), strict=False):
        smooth = curve["loss"].rolling(max(1, len(curve) // 30), center=True, min_periods=1).mean()
        axes.plot(curve["step"], curve["loss"], color=colour, alpha=0.25, lw=0.8)
        axes.plot(curve["step"], smooth, color=colour, label=name)
    axes.set(xlabel="training step", ylabel="loss (weighted mean squared error)", yscale="log")
    axes.legend(title="net")
    return figure


def proportion_boxes(boxes: pd.DataFrame, label: str = "gain in mIoU (%)") -> Figure:
    """The gain from synthetic pairs against their number (Fig. 8): boxes over products, one panel per model.

    Args:
        boxes: Index ``model``, ``proportion`` (synthetic pairs in % of real ones); columns ``low``, ``q1``,
            ``median``, ``q3``, ``high`` and ``outliers`` (lists).
        label: Name of what is boxed, with its unit.
    """
    models = boxes.index.unique("model")
    figure, grid = panels(1, len(models), WIDTH, 2.9, sharey=True)
    for axes, model in zip(grid.flat, models, strict=True):
        rows = boxes.xs(model, level="model")
        drawn = [
            {"whislo": r.low, "q1": r.q1, "med": r.median, "q3": r.q3, "whishi": r.high, "fliers": r.outliers}
            for r in rows.itertuples()
        ]
        options = {"patch_artist": True, "widths": 0.55, "boxprops": {"facecolor": SERIES_COLOURS[4], "linewidth": 0.8}}
        axes.bxp(drawn, medianprops={"color": INK, "lw": 1.6}, flierprops={"marker": ".", "color": INK}, **options)
        axes.axhline(0, color=FAINT, lw=0.8, zorder=0)
        axes.set_xticks(range(1, len(rows) + 1), [f"{p} %" for p in rows.index])
        axes.set(title=model)
    grid[0, 0].set_ylabel(label)
    figure.supxlabel("synthetic pairs, in % of the real ones", fontsize=9)
    return figure


# Parts --------------------------------------------------------------------------------------------------------------

_ARMS = {"real": "real images", "synthetic": "real and synthetic images"}
_ARM_COLOURS = {"real": FAINT, "synthetic": SERIES_COLOURS[0]}


def _wrapped(label: str) -> str:
    """The unit, in brackets, on a line of its own."""
    return label.replace(" (", "\n(")
