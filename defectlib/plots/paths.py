"""A figure of ways of sampling set beside each other: the same nets on other paths through the timesteps."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from defectlib.plots.charts import DISTANCE, SWITCH_STEP
from defectlib.plots.style import INK, SERIES_COLOURS, WIDTH, panels

#: Measure → title of its panel.
MEASURES = {
    "spread": "distance between two synthetic images (RMS, 0 to 1)",
    "nearest": DISTANCE,
    "neighbours": "training images that are nearest to some pair (number)",
    "defect_free": "pairs without a defect (%)",
}


def diversity(table: pd.DataFrame) -> Figure:
    """Each of :data:`MEASURES` against the switch step u, a line for each path; dashed, the training images.

    Bands are 95 % intervals. A path that varies less lies lower in the first three panels.

    Args:
        table: Columns ``path``, ``u`` and one for each measure; ``X_low`` and ``X_high`` give measure ``X`` a band,
            ``training_X`` its dashed line. ``defect_free`` is a fraction.
    """
    figure, grid = panels(2, 2, WIDTH, 5.4)
    for axes, (name, title) in zip(grid.flat, MEASURES.items(), strict=True):
        for colour, marker, (path, rows) in zip(SERIES_COLOURS, "os", table.groupby("path", sort=False), strict=False):
            rows = rows.sort_values("u")
            axes.plot(rows["u"], rows[name], marker=marker, color=colour, label=path)
            if f"{name}_low" in rows:
                band = rows[f"{name}_low"], rows[f"{name}_high"]
                axes.fill_between(rows["u"], *band, color=colour, alpha=0.18, linewidth=0)
        if f"training_{name}" in table:
            axes.axhline(table[f"training_{name}"].iloc[0], color=INK, ls="--", lw=1, label="training images")
        axes.set(title=title.replace(" (", "\n("), xticks=sorted(table["u"].unique()), ylim=(0, None))
    counts, shares = grid[1]
    counts.yaxis.set_major_locator(MaxNLocator(integer=True))
    shares.set_ylim(-0.02, 1)
    shares.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    figure.supxlabel(SWITCH_STEP, fontsize=9)
    return figure
