"""Figures of what synthetic pairs change: what they show is read back from them."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.cbook import boxplot_stats
from matplotlib.colors import to_rgb

from defectlib.plots import paper, ratios, style


@pytest.fixture(autouse=True)
def _look():
    style.use()


@pytest.fixture
def classes():
    relative = {20: [0.1, 0.2, 0.3, 0.4], 100: [-0.2, 0.0, 0.2, 9.0]}
    rows = {
        ("gel", model, ratio, name): {"relative": value / (1 + (model == "M-B0")), "difference": value / 10}
        for model in ("DL", "M-B0")
        for ratio, values in relative.items()
        for name, value in zip(("scratch", "dent", "long_name", "chip"), values, strict=True)
    }
    rows |= {("gel", "DL", 0, "dent"): {"relative": np.nan, "difference": np.nan}}
    rows[("gel", "DL", 20, "chip")] = {"relative": np.nan, "difference": np.nan}
    index = pd.MultiIndex.from_tuples(rows, names=["product", "model", "ratio", "class"])
    return pd.DataFrame(list(rows.values()), index=index)


@pytest.fixture
def table():
    gains = {20: 0.03, 100: -0.05, 300: 0.001}
    rows = {("gel", model, ratio): {"difference": gain} for model in ("DL", "M-B0") for ratio, gain in gains.items()}
    rows |= {("wood_plate", "DL", 20): {"difference": 0.02}, ("gel", "DL", 0): {"difference": np.nan}}
    index = pd.MultiIndex.from_tuples(rows, names=["product", "model", "ratio"])
    frame = pd.DataFrame(list(rows.values()), index=index)
    return frame.assign(difference_low=frame["difference"] - 0.01, difference_high=frame["difference"] + 0.01)


@pytest.fixture
def arms():
    difference = pd.Series(
        {"real images": np.nan, "not augmented": -0.04, "Defect-Gen, u = 400": 0.03, "SinGAN": 0.001}
    )
    frame = pd.DataFrame({"difference": difference, "pairs": [0, 0, 25, 25]}).rename_axis("arm")
    return frame.assign(difference_low=frame["difference"] - 0.01, difference_high=frame["difference"] + 0.01)


def save(figure):
    content = io.BytesIO()
    figure.savefig(content, format="png")
    assert len(content.getvalue()) > 5000
    return figure


def medians(axes):
    """By place, the heights of the thick lines that cross a box."""
    lines = [line for line in axes.lines if line.get_linewidth() == 1.6 and len(line.get_ydata()) == 2]
    return {round(np.mean(line.get_xdata())): round(float(line.get_ydata()[0]), 6) for line in lines}


def test_figure_8_has_the_paper_s_medians_and_stands_alone():
    figure = save(ratios.figure8(paper.figure8()))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["(a) DL, paper", "(b) M-B0, paper"]
    assert list(medians(figure.axes[0]).values()) == [1.92, 2.83, 6.84, 3.0, 1.9]


def test_figure_8_sets_ours_below_the_paper_at_the_same_places(classes):
    figure = save(ratios.figure8(paper.figure8(), record=classes, run=classes.xs(100, level="ratio", drop_level=False)))
    titles = [
        f"({a}) {m}, {who}" for who in ("paper", "reference", "this run") for a, m in (("a", "DL"), ("b", "M-B0"))
    ]
    assert [axes.get_title(loc="left") for axes in figure.axes] == titles
    bottom = figure.axes[-1]
    assert [label.get_text() for label in bottom.get_xticklabels()] == ["20 %", "50 %", "100 %", "200 %", "300 %"]
    of_record, of_run = figure.axes[2], figure.axes[4]
    assert medians(of_record) == {0: 20.0, 2: 10.0}  # without the type that has no relative change
    assert medians(of_run) == {2: 10.0}
    assert medians(figure.axes[3]) == {0: 12.5, 2: 5.0}


def test_figure_8_shows_every_whisker_and_counts_what_lies_beyond(classes):
    of_record = ratios.figure8(paper.figure8(), record=classes).axes[2]
    low, high = of_record.get_ylim()
    (box,) = boxplot_stats([-20, 0, 20, 900])
    assert low < box["whislo"] < box["whishi"] < high < 900
    assert [text.get_text() for text in of_record.texts] == ["▲ 1"]


def test_figure_8_says_what_was_not_run(classes):
    figure = ratios.figure8(paper.figure8(), run=classes.drop(index="M-B0", level="model"))
    assert [text.get_text() for text in figure.axes[3].texts] == ["not run"]
    nothing = classes.assign(relative=np.nan)
    figure = ratios.figure8(paper.figure8(), run=nothing)
    assert [text.get_text() for text in figure.axes[2].texts] == ["no type was found without pairs"]
    other = classes.rename(index={"M-B0": "UNet"}, level="model")
    figure = ratios.figure8(paper.figure8(), run=other)
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == [
        "(a) DL, paper",
        "(b) M-B0, paper",
        "(c) UNet, paper",
    ]
    assert [text.get_text() for text in figure.axes[2].texts] == ["not in the paper"]


def markers(axes):
    """Difference → (marker, colour, whether filled) of every point."""
    points = [line for line in axes.lines if line.get_marker() in ("o", "s")]
    return [
        (round(float(p.get_xdata()[0]), 6), p.get_marker(), to_rgb(p.get_color()), p.get_markerfacecolor() != "white")
        for p in points
    ]


def test_intervals_are_hollow_where_they_hold_zero(table):
    figure = save(ratios.differences(None, table))
    gel, plate = figure.axes
    assert (gel.get_title(loc="left"), plate.get_title(loc="left")) == ("gel", "wood plate")
    dl, mb0 = map(to_rgb, style.SERIES_COLOURS[:2])
    assert markers(gel) == [
        (value, "o", colour, filled)
        for value, filled in ((3.0, True), (-5.0, True), (0.1, False))
        for colour in (dl, mb0)
    ]
    assert markers(plate) == [(2.0, "o", dl, True)]
    spans = [tuple(np.round(line.get_xdata(), 6)) for line in plate.lines if line.get_linewidth() == 1.8]
    assert spans == [(1.0, 3.0)]
    assert [label.get_text() for label in gel.get_yticklabels()] == ["20 %", "100 %", "300 %"]
    assert list(gel.get_yticks()) == [0.5, 2.5, 4.5]
    assert [gel.xaxis.get_major_formatter()(x, 0) for x in (-2, 0, 2)] == ["−2", "0", "+2"]


def test_record_and_run_are_told_apart_by_shape(table):
    figure = save(ratios.differences(table, table.xs(20, level="ratio", drop_level=False)))
    shapes = [shape for _, shape, _, _ in markers(figure.axes[0])]
    assert shapes == ["s", "s", "o", "o", "s", "s", "s", "s"]
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "DL",
        "M-B0",
        "reference",
        "this run",
        "not significant",
    ]


def test_arms_are_coloured_by_where_their_pairs_come_from(arms):
    (axes,) = save(ratios.controls(None, arms)).axes
    blue, orange = map(to_rgb, style.SERIES_COLOURS[:2])
    assert markers(axes) == [
        (-4.0, "o", to_rgb("#606060"), True),
        (3.0, "o", blue, True),
        (0.1, "o", orange, False),
    ]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["not augmented", "Defect-Gen, u = 400", "SinGAN"]
    both = save(ratios.controls(arms, arms.drop(index="SinGAN"))).axes[0]
    assert [shape for _, shape, _, _ in markers(both)] == ["s"] * 3 + ["o"] * 2


def test_the_map_shows_points_and_says_none(classes):
    figure = save(ratios.class_changes(None, classes))
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "gel, this run"
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "DL, 20 %",
        "DL, 100 %",
        "M-B0, 20 %",
        "M-B0, 100 %",
    ]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["scratch", "dent", "long name", "chip"]
    drawn = "+1 +2 +3 −2 0 +2 +90 +1 +2 +3 +4 −2 0 +2 +90 none"
    assert [text.get_text() for text in axes.texts] == drawn.split()
    assert axes.collections[0].get_clim() == (-90, 90)


def test_sources_of_the_map_stand_below_each_other(classes):
    figure = save(ratios.class_changes(classes, classes.xs(100, level="ratio", drop_level=False)))
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["gel, reference", "gel, this run"]
    assert len(figure.axes[1].get_yticklabels()) == 2


def test_without_numbers_there_is_nothing_to_draw():
    for draw in (ratios.differences, ratios.controls, ratios.class_changes):
        with pytest.raises(ValueError, match="nothing to draw: neither reference results nor a run"):
            draw(None, None)


def test_a_map_has_two_products_beside_each_other_and_no_empty_frames(classes):
    three = pd.concat([classes.rename(index={"gel": name}, level="product") for name in ("gel", "nut", "plate")])
    figure = save(ratios.class_changes(classes.rename(index={"gel": "nut"}, level="product"), three))
    shown = [axes for axes in figure.axes if axes.axison and axes.get_title(loc="left")]
    titles = [axes.get_title(loc="left") for axes in shown]
    assert titles == ["nut, reference", "nut, this run", "gel, this run", "plate, this run"]
    named = [axes.get_yticklabels()[0].get_text() for axes in shown]
    assert named == ["DL, 20 %", "DL, 20 %", "", "DL, 20 %"]
