"""A chart with marks: each lies on its point, can have the focus, and shows its box in a real browser."""

from __future__ import annotations

import os
import re
import shutil

import numpy as np
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright

from defectlib.plots import style
from defectlib.plots.hover import HoverChart, Mark

CHROMIUM = shutil.which("chromium")
POINTS = ((0.0, 0.0), (1.0, 5.0), (4.0, 10.0))


def chart(name="one", picture=None):
    style.use()
    figure, ((axes,),) = style.panels(1, 1, 5, 3)
    axes.plot(*zip(*POINTS, strict=True), marker="o")
    axes.set(xlabel="across", ylabel="up")
    marks = [Mark(*point, (f"point {k}", "a <value>: 3"), picture) for k, point in enumerate(POINTS)]
    return HoverChart(figure, marks, "Three points", name)


def parsed(drawn):
    return BeautifulSoup(drawn.html(), "html.parser")


def test_a_mark_lies_on_its_point():
    page = parsed(chart())
    rings = [(float(ring["cx"]), float(ring["cy"])) for ring in page.select("circle.ring")]
    drawn = [(float(use["x"]), float(use["y"])) for use in page.find_all("use") if "style" in use.attrs]
    markers = [place for place in drawn if any(abs(place[0] - x) + abs(place[1] - y) < 0.2 for x, y in rings)]
    assert len(markers) == len(POINTS)


def test_words_are_escaped_and_said_to_those_who_do_not_see():
    marks = parsed(chart()).select("g.hover-mark")
    assert [mark["aria-label"] for mark in marks] == [f"point {k}; a <value>: 3" for k in range(3)]
    assert {mark["tabindex"] for mark in marks} == {"0"}
    assert parsed(chart()).select_one("svg")["aria-label"] == "Three points"


def test_boxes_keep_within_the_chart():
    page = parsed(chart(picture=np.zeros((40, 80, 3), np.uint8)))
    _, _, width, height = map(float, page.svg["viewbox"].split())
    for box in page.select("g.tip > rect"):
        left, top, wide, high = (float(box[name]) for name in ("x", "y", "width", "height"))
        assert left >= 0
        assert top >= 0
        assert left + wide <= width
        assert top + high <= height


def test_a_box_does_not_hide_its_point():
    page = parsed(chart(picture=np.zeros((90, 90, 3), np.uint8)))
    for mark in page.select("g.hover-mark"):
        x, y = (float(mark.circle[name]) for name in ("cx", "cy"))
        left, top, wide, high = (float(mark.rect[name]) for name in ("x", "y", "width", "height"))
        assert not (left < x < left + wide and top < y < top + high)


def test_two_charts_of_a_page_share_no_name_and_every_reference_leads_somewhere():
    one, two = (parsed(chart(name)) for name in ("one", "two"))
    names = [{tag["id"] for tag in page.find_all(id=True)} for page in (one, two)]
    assert not names[0] & names[1]
    text = str(one)
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    assert used
    assert used <= names[0]


def test_the_same_chart_is_the_same_text():
    assert chart().html() == chart().html()


def test_where_no_html_is_shown_it_is_a_picture():
    bundle = chart()._repr_mimebundle_()
    assert bundle["text/plain"] == "<chart with 3 marks>"
    assert bundle["image/png"].startswith("iVBOR")


def test_the_box_shows_by_pointer_and_by_keyboard(tmp_path):
    if CHROMIUM is None:
        if os.environ.get("DEFECTLIB_NEEDS_CHROMIUM"):
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    page_file = tmp_path / "page.html"
    page_file.write_text(f"<!doctype html><html><body>{chart().html()}</body></html>")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(page_file.as_uri())
        tips = page.locator(".tip")
        seen = [[tip.is_visible() for tip in tips.all()]]
        page.locator(".ring").nth(1).hover()
        seen.append([tip.is_visible() for tip in tips.all()])
        page.mouse.move(0, 0)
        for _ in range(3):
            page.keyboard.press("Tab")
        seen.append([tip.is_visible() for tip in tips.all()])
        browser.close()
    assert seen == [[False, False, False], [False, True, False], [False, False, True]]
