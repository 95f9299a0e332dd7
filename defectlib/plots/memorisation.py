"""Figures of what a net memorises: densities on the line (Fig. 3), curves over the number of images, pairs in rows.

The tables and arrays of :mod:`defectlib.experiments.memorisation` in, matplotlib figures out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from defectlib.plots.overlay import enlarge
from defectlib.plots.style import INK, SERIES_COLOURS, WIDTH, new_figure, panels

#: Measure → title of its panel, and whether it is a share.
MEASURES = {
    "copies": ("pairs that are copies\n(%)", True),
    "distance": ("distance to the nearest training\nimage (held-out images: 1)", False),
    "patch_nearness": ("nearness to training patches\n(0 to 1)", False),
}
_REAL = "held-out images"
_FEW = 100  # points that are marked one by one


def densities(found: Mapping[str, Mapping]) -> Figure:
    """The true density (grey), the training points (marks below) and the density of the samples, a panel each.

    Samples that keep to the training points show as peaks above the marks, with nothing between them; a denoiser that
    has learned the distribution, as a line along the edge of the grey.

    Args:
        found: ``places``, ``true``, ``learned``, ``points`` by title of the panel.
    """
    figure, grid = panels(1, len(found), WIDTH, 2.7, sharex=True)
    top = max(max(*part["learned"], *part["true"]) for part in found.values())  # one scale for all
    for axes, (title, part) in zip(grid[0], found.items(), strict=True):
        axes.fill_between(part["places"], part["true"], color="#D0D0D0", linewidth=0, label="true density")
        axes.plot(part["places"], part["learned"], color=SERIES_COLOURS[1], label="density of the samples")
        if len(part["points"]) <= _FEW:
            marks = np.full(len(part["points"]), -0.07 * top)
            axes.plot(part["points"], marks, "|", color=INK, ms=9, mew=1.4, label="training samples")
        axes.set(title=title.replace(", ", "\n"), xlabel="x", yticks=[], ylim=(-0.14 * top, 1.06 * top))
        axes.spines["left"].set_visible(False)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels))
    return figure


def curves(record: pd.DataFrame | None, run: pd.DataFrame | None = None) -> Figure:
    """Each of :data:`MEASURES` against the number of training images, a line per receptive field.

    Lines are of record, rings of this run. Black, dashed: held-out images against as many training images, which is
    what a generator comes to that neither copies nor strays.

    Args:
        record: Index ``images``, ``field``; the measures, ``X_low`` and ``X_high`` for a bar, ``held_out_X``.
        run: The same.
    """
    figure, grid = panels(1, len(MEASURES), WIDTH, 3.1)
    given = [frame for frame in (record, run) if frame is not None]
    fields = list(dict.fromkeys(field for frame in given for field in frame.index.unique("field")))
    counts = sorted({count for frame in given for count in frame.index.unique("images")})
    for axes, (measure, (title, share)) in zip(grid[0], MEASURES.items(), strict=True):
        for colour, field in zip(_COLOURS, fields, strict=False):
            if record is not None and field in record.index.unique("field"):
                rows = record.xs(field, level="field").sort_index()
                axes.errorbar(rows.index, rows[measure], _bars(rows, measure), color=colour, marker="o", label=field)
            if run is not None and field in run.index.unique("field"):
                rows = run.xs(field, level="field").sort_index()
                label = None if record is not None and field in record.index.unique("field") else field
                ring = {"marker": "o", "ls": "", "mfc": "none", "ms": 10, "mew": 1.2}
                axes.plot(rows.index, rows[measure], color=colour, label=label, **ring)
        real = pd.concat([frame.get(f"held_out_{measure}", frame[measure] * 0 + 1) for frame in given])
        real = real.groupby(level="images").mean().sort_index()
        axes.plot(real.index, real, color=INK, ls="--", lw=1, marker="x", ms=4, label=_REAL)
        axes.set(title=title, xscale="log", xlabel="training images")
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.xaxis.set_major_locator(FixedLocator(counts))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:.0f}")
        if share:
            axes.set_ylim(-0.05, 1.05)
            axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    handles, labels = grid[0, 0].get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] == _REAL)  # real images last
    handles, labels = [handles[i] for i in order], [labels[i] for i in order]
    options = {"ncols": len(labels), "title": "receptive field", "alignment": "left"}
    figure.legend(handles, labels, loc="outside upper left", **options)
    return figure


def pairs_beside_nearest(pictures: Mapping[str, np.ndarray]) -> Figure:
    """Generated images above the training images nearest to them, a block of two rows for each name.

    Copies show as columns of two equal pictures.

    Args:
        pictures: uint8 (2, N, H, W, 3) by name of the block.
    """
    columns = 2 if len(pictures) > 1 else 1
    lines = -(-len(pictures) // columns)
    count = max(rows.shape[1] for rows in pictures.values())
    cell = (WIDTH / columns - 0.2) / count
    whole = new_figure(WIDTH, lines * (2 * cell + 0.33))
    blocks = np.ravel(whole.subfigures(lines, columns, squeeze=False))
    for block, (name, rows) in zip(blocks, pictures.items(), strict=False):
        block.suptitle(name, x=0.01, ha="left", fontsize=9)
        axes = block.add_subplot()
        sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
        axes.imshow(enlarge(sheet, 4))
        axes.set_axis_off()
    return whole


_COLOURS = (*SERIES_COLOURS[:3], SERIES_COLOURS[5], SERIES_COLOURS[3])


def _bars(rows: pd.DataFrame, measure: str) -> np.ndarray | None:
    """Lengths (2, N) of the bars below and above each point."""
    if f"{measure}_low" not in rows:
        return None
    ends = (rows[measure] - rows[f"{measure}_low"], rows[f"{measure}_high"] - rows[measure])
    return np.clip(np.stack(ends), 0, None)
