"""Figures and the slider of clicks, from small recorded ones: what they show is what was recorded."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from defectlib.data.sample import Sample
from defectlib.plots import clicking

SIDE = 24


def png(*masks):
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(masks)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def bar(columns, rows=3):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10 : 10 + rows, :columns] = True
    return mask


@pytest.fixture
def table():
    """Clicks on a bar and on a square; the second method stops after one click."""
    rows = []
    for number, truth in enumerate((bar(20), bar(10, rows=10))):
        for method, masks in (("Defect-Click", [truth & bar(5, 10), truth]), ("GrabCut", [truth & bar(9, 10)])):
            clicks = [[11, 4, 1], [2, 2, 0]][: len(masks)]
            row = {"size": SIDE, "clicks": json.dumps(clicks), "png": png(truth, *masks)}
            rows.append({"data": "softgel", "number": number, "defect": "scratch", "method": method} | row)
    return pd.DataFrame(rows).set_index(["data", "number", "defect", "method"]).iloc[::-1]


def image(name, number, size):
    pixels = np.full((size, size, 3), 90 + 50 * number, np.uint8)
    return Sample(str(number), pixels, np.zeros((size, size), np.uint8), ("scratch",), name)


@pytest.fixture
def replays(table):
    return clicking.replays(table, image)


def test_the_thinnest_defects_come_first(replays):
    assert [one.name for one in replays] == ["softgel, scratch, image 0", "softgel, scratch, image 1"]
    assert replays[0].image[0, 0].tolist() == [90, 90, 90]
    assert np.array_equal(replays[0].truth, bar(20))
    assert clicking.thickness(bar(20)) == pytest.approx(60 / 46**2)
    assert clicking.thickness(bar(4, 4)) == pytest.approx(1 / 16)


def test_one_who_stopped_keeps_the_mask(replays):
    one = replays[0]
    assert one.iou("Defect-Click", 1) == pytest.approx(5 / 20)
    assert one.iou("Defect-Click", 2) == one.iou("Defect-Click", 9) == 1
    assert one.iou("GrabCut", 5) == pytest.approx(9 / 20)


def test_a_spread_takes_both_ends():
    assert clicking.spread(list("abcdefg"), 3) == ["a", "d", "g"]
    assert clicking.spread(list("ab"), 6) == ["a", "b"]


def test_figure_2_has_a_row_for_each_method_and_marks_each_click(replays):
    figure = clicking.click_by_click(replays)
    grid = np.array(figure.axes).reshape(4, 2 + len(clicking.COLUMNS))
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in grid[0]]
    assert titles == ["image", "true mask", "after 1 click", "after 2 clicks", "after 3 clicks", "after 5 clicks"]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["GrabCut", "Defect-Click"] * 2
    ours = grid[1]
    assert [len(axes.lines) for axes in ours] == [0, 0, 1, 2, 2, 2]
    assert [line.get_marker() for line in ours[3].lines] == ["P", "X"]
    assert [axes.get_xlabel() for axes in ours[2:4]] == ["IoU 25 %", "IoU 100 %"]
    scale = len(ours[0].images[0].get_array()) // SIDE
    (place,) = ours[2].lines[0].get_xydata()
    assert place.tolist() == [4.5 * scale - 0.5, 11.5 * scale - 0.5]


def test_the_slider_goes_through_the_clicks_of_all_methods(replays):
    panel = clicking.slider(replays)
    assert repr(panel) == "<list: defect, 2 positions; slider: clicks, 2 positions>"
    cards = [[card.value for card in stack.children] for stack in panel.children[-1].children]
    assert [len(row) for row in cards] == [2, 2]
    assert "IoU 25\N{NO-BREAK SPACE}% after 1 click" in cards[0][0]
    assert "IoU 100\N{NO-BREAK SPACE}% after 2 clicks" in cards[0][1]
    assert "IoU 45\N{NO-BREAK SPACE}% after 1 click" in cards[0][1]  # the other method stopped
    assert all(card.count("<img") == 3 for row in cards for card in row)


def test_clicks_are_drawn_where_they_were_made(replays):
    picture = clicking._with_clicks(replays[0], "Defect-Click", 2)
    scale = len(picture) // SIDE
    on, off = (picture[int((row + 0.5) * scale), int((column + 0.5) * scale)] for row, column in ((11, 4), (2, 2)))
    assert on.tolist() == [0, 158, 115]
    assert off.tolist() == [213, 94, 0]
