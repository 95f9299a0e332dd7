"""One look for every figure, and one colour per defect type."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

#: Colours of defect types, by id from 1. Chosen by search so that any two differ by 28 CIELAB units or more, to normal
#: sight and to each of the three dichromacies (Machado et al. 2009), and stand out on photographs.
DEFECT_COLOURS = ("#FFCC33", "#9900FF", "#33FFCC", "#CC0000", "#FF66FF", "#009966", "#CC0099", "#99CC66")
#: Colours of lines and bars in charts (Okabe and Ito 2008, without yellow and black).
SERIES_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LARGE_COLOUR, SMALL_COLOUR = SERIES_COLOURS[:2]  # the two nets, wherever both are shown
INK, FAINT = "#222222", "#B0B0B0"

WIDTH = 7.5  # inches, a figure as wide as the text of a page
DPI = 120

_RC = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look the same everywhere
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=SERIES_COLOURS),
    "axes.grid": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
}


def use() -> None:
    """Set the look for this process; a notebook calls it once."""
    mpl.rcParams.update(_RC)


def defect_colour(class_id: int) -> tuple[float, float, float, float]:
    """RGBA in [0, 1] of the defect type ``class_id``; background (0) is transparent. More than eight types repeat."""
    if class_id == 0:
        return (0.0, 0.0, 0.0, 0.0)
    return mpl.colors.to_rgba(DEFECT_COLOURS[(class_id - 1) % len(DEFECT_COLOURS)])


def literal(text: str) -> str:
    """``text`` of a user's, a name or a caption, to be drawn as it is: a dollar sign would begin mathematics."""
    return text.replace("$", r"\$")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of ``width`` × ``height`` inches that a notebook shows once: where it is returned.

    pyplot would show a figure it knows of a second time at the end of the cell, so it is made to forget this one.
    """
    figure = plt.figure(figsize=(width, height), layout="constrained")
    plt.close(figure)
    return figure


def panels(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A :func:`new_figure` and its axes, an array (rows, columns)."""
    figure = new_figure(width, height)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)
