"""The simulation of time in closed form: what every motion costs, and what the assumptions do to the share saved."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from defectclick.evaluation import SLACK
from defectlib.experiments import annotation_time
from defectlib.experiments.annotation_time import (
    BEST,
    VARIED,
    WORST,
    Costs,
    by_hand,
    saved,
    seconds,
    sensitivity,
    with_clicks,
)

COSTS = Costs(first=2, click=3, vertex=1.5, clicks=4)


def defects(count=6):
    """Outlines of 24 vertices, finer ones of 40 and coarser ones of 10; two clicks leave nothing to be mended."""
    row = {"vertices": [40, 24, 10], "repairs": [[20, 12, 4], [6, 0, 0]]}
    return pd.DataFrame([row | {"data": "softgel", "group": f"{k}"} for k in range(count)])


def test_by_hand_every_vertex_is_paid_for_and_the_first_one_more():
    assert by_hand([40, 24, 10], COSTS) == 2 + 23 * 1.5
    assert by_hand([40, 24, 10], Costs(first=2, vertex=1.5, slack=SLACK[0])) == 2 + 39 * 1.5


def test_with_clicks_the_rest_is_drawn():
    assert with_clicks([40, 24, 10], [[20, 12, 4], [6, 0, 0], [9, 9, 9]], COSTS) == 2 + 3  # content after the second
    assert with_clicks([40, 24, 10], [[20, 12, 4], [6, 5, 0]], COSTS) == 2 + 3 + 5 * 1.5
    once = Costs(first=2, click=3, vertex=1.5, clicks=1)
    assert with_clicks([40, 24, 10], [[20, 12, 4], [6, 0, 0]], once) == 2 + 12 * 1.5


def test_what_is_worse_than_nothing_is_drawn_anew():
    assert with_clicks([40, 24, 10], [[90, 70, 50]], COSTS) == 2 + 24 * 1.5


def test_the_share_is_that_of_all_time_together():
    table = defects()
    assert seconds(table, COSTS) == pytest.approx(np.tile([36.5, 5.0], (6, 1)))
    assert saved(table, COSTS) == pytest.approx(1 - 5 / 36.5)
    costly = Costs(first=2, click=100, vertex=1.5, clicks=4)
    assert saved(table, costly) == pytest.approx(1 - 102 / 36.5)  # below zero: clicks cost more


def test_the_ends_of_every_assumption_are_simulated_and_all_at_once_spans_the_costs():
    table = sensitivity(defects(), COSTS)
    assert list(table.index) == ["as it stands", *VARIED, "all at once"]
    central = table.loc["as it stands"]
    assert central["saved at low"] == central["saved at high"] == pytest.approx(1 - 5 / 36.5)
    assert (central["low"], central["high"]) == pytest.approx((1 - 5 / 36.5, 1 - 5 / 36.5))  # all defects are alike
    assert (central["by hand"], central["clicks"], central["vertices"]) == (36.5, 5, 24)
    clicks = table.loc["seconds a click"]
    assert clicks["saved at low"] == pytest.approx(1 - (2 + annotation_time.FURTHER) / 36.5)
    assert clicks["saved at high"] == pytest.approx(1 - (2 + annotation_time.BOX) / 36.5)
    exact = table.loc["boundary tolerance (times the usual)"]
    assert exact["saved at low"] == pytest.approx(1 - (2 + 3 + 6 * 1.5) / (2 + 39 * 1.5))
    assert table.loc["clicks before the rest is drawn", "saved at low"] == pytest.approx(1 - (2 + 12 * 1.5) / 36.5)
    ends = table.loc["all at once", ["saved at low", "saved at high"]].tolist()
    assert ends == pytest.approx([saved(defects(), WORST), saved(defects(), BEST)])


def test_the_interval_holds_the_share_and_there_is_none_with_one_image():
    table = defects(8)
    table["vertices"] = [[40, k, 10] for k in range(10, 50, 5)]
    row = sensitivity(table, COSTS).loc["as it stands"]
    assert row["low"] < row["saved at low"] < row["high"]
    assert np.isnan(sensitivity(table[:1], COSTS).loc["as it stands", "low"])


def test_costs_are_what_the_sources_say():
    assert Costs().vertex == pytest.approx(7 / 4)  # four points on an outline in seven seconds
    assert pytest.approx(22 * 3600 / 1000) == annotation_time.COCO_POLYGON
