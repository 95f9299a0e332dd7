"""Figures of receptive fields, drawn from tables made up here: what they show is read back from the figure."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from defectlib.plots import fields, style


@pytest.fixture(autouse=True)
def _look():
    style.use()


def save(figure):
    content = io.BytesIO()
    figure.savefig(content, format="png")
    assert len(content.getvalue()) > 5000
    return figure


@pytest.fixture
def effective():
    rows, columns = np.mgrid[-16:16, -16:16]
    local = np.where(np.maximum(abs(rows), abs(columns)) <= 4, np.exp(-np.hypot(rows, columns)), 0)
    wide = np.exp(-np.hypot(rows, columns) / 8)
    return {"small, 9 px": local / local.sum(), "large": wide / wide.sum()}


def test_squares_are_drawn_where_the_fields_are(effective):
    measures = {"small, 9 px": {"theory": 9, "effective_mean": 5}, "large": {"theory": None, "effective_mean": 27}}
    small, large, _ = save(fields.effective_fields(effective, measures)).axes
    boxes = [[patch for patch in axes.patches if isinstance(patch, Rectangle)] for axes in (small, large)]
    assert [(box.get_xy(), box.get_width()) for box in boxes[0]] == [((13.5, 13.5), 5), ((11.5, 11.5), 9)]
    assert [(box.get_xy(), box.get_width()) for box in boxes[1]] == [((2.5, 2.5), 27)]
    assert [axes.get_xlabel() for axes in (small, large)] == ["95 % in 5 px", "95 % in 27 px"]
    # The middle of a pixel is a whole number: the square of 9 reaches from the edge of pixel 12 to that of pixel 20.
    assert np.nonzero(effective["small, 9 px"][16])[0].tolist() == list(range(12, 21))


def test_all_maps_have_one_scale(effective):
    measures = {name: {"theory": None, "effective_mean": 5} for name in effective}
    small, large, bar = save(fields.effective_fields(effective, measures)).axes
    limits = [axes.images[0].get_clim() for axes in (small, large)]
    most = effective["small, 9 px"].max()
    assert limits == [(pytest.approx(most / 1e5), pytest.approx(most))] * 2
    assert bar.get_ylabel() == "share of the gradient, per pixel"


def test_four_nets_take_two_rows_and_the_rest_stays_empty(effective):
    six = {f"{name} {k}": field for k in (1, 2) for name, field in effective.items()}
    measures = {name: {"theory": 9, "effective_mean": 5} for name in six}
    figure = save(fields.effective_fields(six, measures))
    assert [axes.get_title(loc="left") for axes in figure.axes[:4]] == list(six)
    assert [axes.axison for axes in figure.axes[:6]] == [True] * 4 + [False] * 2


def test_the_leak_keeps_its_zeros():
    rows = [("a", d, live, frozen, 4) for d, live, frozen in ((0, 0.9, 0.9), (2, 0.3, 0.2), (4, 0.1, 0), (8, 0.05, 0))]
    rows += [("large", d, 0.5, 0.4, 16) for d in (0, 2, 4, 8)]
    influence = pd.DataFrame(rows, columns=["net", "distance", "live", "frozen", "reach"])
    figure = save(fields.leak(influence))
    small, large = figure.axes
    frozen, live, edge = small.lines
    assert frozen.get_xydata().tolist() == [[0, 0.9], [2, 0.2], [4, 0], [8, 0]]
    assert live.get_ydata().tolist() == [0.9, 0.3, 0.1, 0.05]
    assert set(edge.get_xdata()) == {4}
    assert len(large.lines) == 2  # nothing lies beyond the large net's field
    low, high = small.get_ylim()
    assert low < 0 < high  # a logarithmic axis would hide zero
    assert [small.yaxis.get_major_formatter()(y, 0) for y in (0, 0.001, 0.1)] == ["0 %", "0.1 %", "10 %"]
    assert [t.get_text() for t in figure.legends[0].texts] == [
        "statistics frozen",
        "statistics live",
        "edge of the field",
    ]


def test_lines_over_time_have_their_nets_colours():
    sides = pd.DataFrame({"small": [5, 7], "other": [9, 9], "large": [9, 31]}, index=pd.Index([100, 900], name="t"))
    (axes,) = save(fields.effective_by_timestep(sides)).axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[5, 7], [9, 9], [9, 31]]
    assert [line.get_color() for line in axes.lines][::2] == [style.SMALL_COLOUR, style.LARGE_COLOUR]
    assert len({line.get_color() for line in axes.lines}) == 3
    assert axes.get_ylim()[0] == 0


def test_the_matrix_has_large_fields_above_and_white_where_the_training_images_are():
    points = {(0, 9): 0.02, (0, 17): 0.02, (400, 9): 0.1, (400, 17): 0.06}
    rows = [(u, field, near, near + 0.1, 0.06, 0.15) for (u, field), near in points.items()]
    columns = ["u", "field", "nearest", "spread", "training_nearest", "training_spread"]
    nearest, spread = save(fields.field_matrix(pd.DataFrame(rows, columns=columns))).axes
    assert [t.get_text() for t in nearest.get_yticklabels()] == ["17", "9"]
    assert [t.get_text() for t in nearest.get_xticklabels()] == ["0", "400"]
    assert [t.get_text() for t in nearest.texts] == ["0.020", "0.060", "0.020", "0.100"]
    assert [t.get_text() for t in spread.texts] == ["0.120", "0.160", "0.120", "0.200"]
    mesh = nearest.collections[0]
    red, _, blue, _ = mesh.cmap(mesh.norm(np.array([0.1, 0.06, 0.02]))).T
    assert red[0] > blue[0]
    assert red[1] == pytest.approx(blue[1], abs=0.05)
    assert red[2] < blue[2]
