"""Figures of samplers: dots where a net was called, filled and open points at their numbers, and texts that fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from defectlib.plots import calls, style


@pytest.fixture(autouse=True)
def _look():
    style.use()


def drawn(figure):
    FigureCanvasAgg(figure).draw()
    return figure


def table(shift=0.0, missing=()):
    points = [("ddpm", 50), ("ddpm", 1000), ("ddim", 5), ("ddim", 50), ("dpm++", 5)]
    rows = [
        (np.nan,) * 5 if point in missing else (20 + k + shift, 0.5, 0.1 * k, 0.02, 48)
        for k, point in enumerate(points)
    ]
    frame = pd.DataFrame(
        [*rows, (10.0, np.nan, 0.4, np.nan, np.nan)],
        columns=["patch_distance", "patch_distance_error", "defect_free", "defect_free_error", "pairs"],
        index=pd.MultiIndex.from_tuples([*points, ("real images", 0)], names=["sampler", "calls"]),
    )
    rate = [1.0, 0.05, 10, 1, 9, np.nan]
    return frame.assign(
        images_per_second=rate,
        images_per_second_low=np.multiply(rate, 0.9),
        images_per_second_high=np.multiply(rate, 1.1),
    )


LABELS = {"patch_distance": "patch distance (thousandths)", "defect_free": "pairs without a defect (%)"}


def lines(axes):
    """Of every drawn line its colour, whether its points are filled, and the points."""
    return [
        (to_rgb(c.lines[0].get_color()), c.lines[0].get_markerfacecolor() != "white", c.lines[0].get_xydata())
        for c in axes.containers
    ]


def test_visits_has_a_dot_for_each_call_in_the_colour_of_its_net():
    index = pd.MultiIndex.from_product([("ddpm", "dpm++"), (0, 400)], names=["sampler", "u"])
    visits = pd.DataFrame({"large": [[999, 499], [999]] * 2, "small": [[], [399]] * 2}, index=index)
    figure = drawn(calls.visits(visits))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["u = 0", "u = 400"]
    for axes, expected in zip(figure.axes, ({999: "large", 499: "large"}, {999: "large", 399: "small"}), strict=True):
        colours = {"large": to_rgb(style.LARGE_COLOUR), "small": to_rgb(style.SMALL_COLOUR)}
        dots = {
            (x, y): to_rgb(line.get_color())
            for line in axes.lines
            if line.get_marker() == "o"
            for x, y in line.get_xydata()
        }
        assert dots == {(t, height): colours[net] for t, net in expected.items() for height in (0, 1)}
        assert [label.get_text() for label in axes.get_yticklabels()] == ["ancestral (DDPM)", "DPM-Solver++"]
    renderer = figure.canvas.get_renderer()
    title = figure.axes[1].title.get_window_extent(renderer)
    assert not title.overlaps(figure.axes[0].get_window_extent(renderer))


def test_curves_draw_this_run_filled_and_the_record_open():
    figure = drawn(calls.curves(table(missing=[("ddpm", 1000)]), LABELS, table(shift=2)))
    found = lines(figure.axes[0])
    open_, filled = [one for one in found if not one[1]], [one for one in found if one[1]]
    assert [len(points) for *_, points in open_] == [2, 2, 1]
    assert [len(points) for *_, points in filled] == [1, 2, 1]
    assert filled[1][2][:, 1].tolist() == [22, 23]
    assert open_[1][2][:, 1].tolist() == [24, 25]
    assert filled[1][2][:, 0] == pytest.approx([5, 50], rel=0.05)
    assert found[0][0] == to_rgb(calls.SAMPLERS["ddpm"][1])
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["5", "50", "1000"]
    dashed = [line.get_ydata()[0] for line in figure.axes[1].lines if line.get_linestyle() == "--"]
    assert dashed == [0.4]
    assert [text.get_text() for text in figure.legends[0].texts][-2:] == ["real images", "reference"]


def test_curves_without_a_record_name_none():
    figure = drawn(calls.curves(table(), LABELS, columns=3))
    assert "reference" not in [text.get_text() for text in figure.legends[0].texts]
    assert [axes.axison for axes in figure.axes] == [True, True, False]
    assert all(filled for _, filled, _ in lines(figure.axes[0]))


def test_speed_names_the_calls_of_every_point():
    figure = drawn(calls.speed(table(missing=[("ddpm", 1000)]), {"patch_distance": "patch distance"}, table(shift=2)))
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert sorted(texts) == sorted(["50", "1000", "5", "50", "5", "50", "5", "50", "5"])
    x = np.concatenate([points[:, 0] for _, filled, points in lines(axes) if filled])
    assert sorted(x) == [1, 1, 9, 10]
    assert axes.get_xscale() == "log"
