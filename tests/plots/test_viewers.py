"""Viewers: every pair is there under its name, with the distance and the overlap that it has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from defectlib.plots import viewers, widgets


def cards(panel):
    """The HTML of each card of a panel of one choice."""
    return [BeautifulSoup(card.value, "html.parser") for card in panel.children[1].children]


def alts(page):
    return [image["alt"] for image in page.find_all("img")]


def test_the_sheet_of_images_and_masks_has_both_below_each_other(samples):
    sheet = viewers.image_and_mask(samples[:4], columns=2)
    assert sheet.shape == (4 * 196 - 4, 2 * 196 - 4, 3)
    images = viewers.tiles.plain(samples[1].image), viewers.tiles.filled(samples[1], 0.65)
    assert np.array_equal(sheet[:192, 196:], images[0])
    assert np.array_equal(sheet[196:388, 196:], images[1])


def test_a_slider_over_steps_shows_the_pairs_and_what_was_measured(samples):
    table = pd.DataFrame({"loss": [1.5, 0.25], "nearest": [0.3, 0.1]}, index=[1, 50])
    panel = viewers.while_learning({1: samples[:2], 50: samples[2:4]}, table)
    assert repr(panel) == "<slider: training step, 2 positions>"
    first, last = cards(panel)
    assert first.p.text == "After step 1: loss 1.500; mean distance to the nearest training image 0.300."
    assert "loss 0.250" in last.p.text
    assert alts(last) == [f"{sample.key} after training step 50, and its mask" for sample in samples[2:4]]


def test_every_model_is_shown_with_what_it_sees(samples):
    truth = next(sample for sample in samples if sample.present)
    blind = replace(truth, mask=np.zeros_like(truth.mask))
    other = next(sample for sample in samples if sample.key != truth.key)
    images = {"a": {"truth": truth, "UNet": truth, "PSP": blind}, "b": {"truth": other, "UNet": other, "PSP": other}}
    panel = viewers.as_seen(images)
    assert [name for name, _ in panel.children[0].options] == ["a", "b"]
    page = cards(panel)[0]
    assert page.p.text == f"Caption: {truth.caption}"
    types = ", ".join(truth.present)
    captions = [tile.div.get_text("|") for tile in page.select(".tile")]
    assert captions == [
        "image",
        f"true mask|{types}",
        f"UNet|{types}; overlap 100\N{NO-BREAK SPACE}%",
        "PSP|sees no defect; overlap 0\N{NO-BREAK SPACE}%",
    ]


def test_an_image_without_a_caption_says_so(samples):
    silent = replace(samples[0], caption="")
    page = cards(viewers.as_seen({"a": {"truth": silent}, "b": {"truth": silent}}))[0]
    assert page.p.text == "There is no caption for this image."


@pytest.mark.parametrize(
    ("mask", "seen", "share"),
    [
        ([0, 0], [0, 0], 1),
        ([1, 0], [1, 0], 1),
        ([1, 0], [2, 0], 0),
        ([1, 1], [1, 0], 0.5),
        ([1, 0, 2], [1, 1, 2], 2 / 3),
    ],
)
def test_overlap(mask, seen, share):
    assert viewers.overlap(np.array([mask]), np.array([seen])) == pytest.approx(share)


def test_a_copy_leaves_nothing_and_a_distance_is_the_root_mean_square():
    black, grey = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 51, np.uint8)
    panel = viewers.beside_nearest({"net": [(grey, grey), (grey, black)], "other": [(black, black)] * 2}, "net")
    row = panel.children[2].children[0].children
    copy, apart = (BeautifulSoup(card.value, "html.parser") for card in row)
    assert copy.p.text.startswith("Distance 0.000")
    assert apart.p.text.startswith("Distance 0.200")
    assert alts(apart) == [
        "net, pair 2: the generated image",
        "net, pair 2: the training image nearest to it",
        "net, pair 2: difference",
    ]


def test_the_difference_is_white_at_half_the_range(monkeypatch):
    made = []
    monkeypatch.setattr(viewers.tiles, "plain", lambda image, pixels: made.append(image) or image)
    viewers._beside("a", np.full((4, 4, 3), 128, np.uint8), np.zeros((4, 4, 3), np.uint8), 192)
    assert made[-1].min() == 255


def test_many_generators_show_fewer_pairs_each_and_large_ones_smaller_tiles():
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    panel = viewers.beside_nearest({str(k): [(noise, noise)] * 6 for k in range(24)}, "net")
    assert len(panel.children[1].options) == 2
    rows = [row.children for row in panel.children[2].children]
    assert widgets.size([card.value for card in row] for row in rows) <= widgets.MAX_BYTES
    assert 'alt="0, pair 2: the generated image"' in rows[0][1].value


def test_as_many_pairs_are_shown_of_each_as_there_are_of_the_fewest():
    black = np.zeros((8, 8, 3), np.uint8)
    panel = viewers.beside_nearest({"reference": [(black, black)] * 5, "this run": [(black, black)] * 2}, "net")
    assert [len(row.children) for row in panel.children[2].children] == [2, 2]


def test_every_point_of_the_chart_tells_its_values_and_shows_its_pairs(samples):
    table = pd.DataFrame({"u": [0, 400], "d": [1.0, 2.0], "s": [0.1, 0.3], "real_d": [1.5] * 2, "real_s": [0.25] * 2})
    options = {"x_label": "distance (pixels)", "y_label": "spread (0 to 1)", "reference": "real"}
    chart = viewers.fidelity_diversity(table, {0: samples[:4], 400: samples[4:8]}, x="d", y="s", **options)
    assert [mark.text for mark in chart.marks] == [
        ("u = 0", "distance: 1.000", "spread: 0.100"),
        ("u = 400", "distance: 2.000", "spread: 0.300"),
        ("real images", "distance: 1.500", "spread: 0.250"),
    ]
    assert [mark.picture is None for mark in chart.marks] == [False, False, True]
    assert [(mark.x, mark.y) for mark in chart.marks] == [(1.0, 0.1), (2.0, 0.3), (1.5, 0.25)]
