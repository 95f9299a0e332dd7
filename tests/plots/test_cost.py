"""The figure of costs: every mark at its hours, the sum of a row, a GPU drawn apart, spans that people know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from defectlib.plots import cost, style


@pytest.fixture(autouse=True)
def _look():
    style.use()


@pytest.fixture
def shares():
    rows = {("A", "baselines"): 2.0, ("B", "large nets"): 3000.0, ("B", "sampling"): 30.0, ("all", "baselines"): 2.0}
    rows |= {("all", "large nets"): 3000.0, ("all", "sampling"): 30.0}
    frame = pd.DataFrame({"hours": rows}).rename_axis(["makes", "share"])
    return frame.assign(hours_low=0.5 * frame["hours"], hours_high=1.5 * frame["hours"])


def drawn(axes):
    """By colour, hours and rows of every drawn set of marks, in order."""
    return [(to_rgb(c.lines[0].get_color()), c.lines[0].get_xydata().tolist()) for c in axes.containers]


def sums(axes):
    return [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "|"]


def test_every_share_stands_in_the_row_of_its_table(shares):
    figure = cost.hours(shares, None, "a PC")
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["A", "B", "all"]
    assert drawn(axes) == [
        (to_rgb(cost.SHARES["large nets"][0]), [[3000, 1], [3000, 2]]),
        (to_rgb(cost.SHARES["sampling"][0]), [[30, 1], [30, 2]]),
        (to_rgb(cost.SHARES["baselines"][0]), [[2, 0], [2, 2]]),
    ]
    assert sums(axes) == [[[2, 0], [3030, 1], [3032, 2]]]
    assert axes.get_xscale() == "log"


def test_bars_go_over_the_range(shares):
    (axes,) = cost.hours(shares, None, "a PC").axes
    segments = axes.containers[1].lines[2][0].get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in segments], [[15, 45], [15, 45]])


def test_only_spans_within_the_axis_are_named(shares):
    (axes,) = cost.hours(shares, None, "a PC").axes
    assert [text.get_text() for text in axes.texts] == ["an hour", "a day", "a month"]
    low, high = axes.get_xlim()
    assert low < 1
    assert 3032 < high < cost.SPANS["a year"]


def test_a_gpu_is_drawn_hollow_and_apart(shares):
    gpu = shares / 100
    figure = cost.hours(shares, gpu, "a PC", "NVIDIA H100")
    (axes,) = figure.axes
    ours, theirs = sums(axes)
    assert [hours for hours, _ in theirs] == pytest.approx([0.02, 30.3, 30.32])
    assert all(a < b for (_, a), (_, b) in zip(ours, theirs, strict=True))
    faces = [c.lines[0].get_markerfacecolor() for c in axes.containers]
    assert faces[3:] == ["white"] * 3
    assert "white" not in faces[:3]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [*cost.SHARES, "sum, a PC", "sum, NVIDIA H100"]
    alone = [text.get_text() for text in cost.hours(shares, None, "a PC", "NVIDIA H100").legends[0].get_texts()]
    assert alone == [*cost.SHARES, "sum, a PC"]
