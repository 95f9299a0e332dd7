"""Tables that sort and filter, in a real browser from disk, by mouse and by keyboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pandas as pd
import pytest
from playwright.sync_api import Page, sync_playwright

from defectlib.plots import tables
from defectlib.plots.sortable import sortable
from defectlib.runtime import REPOSITORY

CHROMIUM = shutil.which("chromium")
ASSETS = REPOSITORY / "book" / "_assets"
ROWS = [
    ("softgel", "reference", "<strong>71.2 ± 0.4</strong>", "5.0"),
    ("softgel", "this run", "9.5", "not run"),
    ("washer", "this run", "−3.0", "1,200.5"),
    ("twill", "this run", "100.0 [90.1, 100.0]", "40.0"),
    ("mean", "this run", "35.5", "7.0"),
]


def frame():
    index = pd.MultiIndex.from_tuples([("a", "x"), ("b", "y")], names=["dataset", "product"])
    return pd.DataFrame({"UNet": [1.0, 2.0]}, index=index)


def test_a_sortable_table_is_the_same_table_with_a_class():
    plain = tables.plain(frame(), "tab-x", "Caption", notes=["Note."])
    lively = sortable(plain)
    assert lively.markdown() == plain.markdown().replace(":name: tab-x\n", ":name: tab-x\n:class: sortable n-last\n")
    assert lively.markdown() != plain.markdown()
    assert (lively.html(), repr(lively)) == (plain.html(), repr(plain))


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    if CHROMIUM is None:
        if os.environ.get("DEFECTLIB_NEEDS_CHROMIUM"):
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    head = "".join(f"<th><p>{name}</p></th>" for name in ("product", "numbers", "UNet", "PSP"))
    body = "".join(f"<tr>{''.join(f'<td><p>{cell}</p></td>' for cell in row)}</tr>" for row in ROWS)
    scripts = "".join(
        f'<script src="{(ASSETS / name).as_uri()}"></script>'
        for name in ("vendor/sortable/sortable.min.js", "tables.js")
    )
    file = tmp_path_factory.mktemp("table") / "page.html"
    table = f'<table class="sortable n-last"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    file.write_text(f'<!doctype html><html><head><meta charset="utf-8">{scripts}</head><body>{table}</body></html>')
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page()
        opened.goto(file.as_uri())
        yield opened
        browser.close()


@pytest.fixture
def fresh(page: Page) -> Page:
    page.reload()
    return page


def column(page: Page, place: int) -> list[str]:
    """The visible cells of a column, without the rows beneath the others."""
    return [cell.inner_text().strip() for cell in page.locator(f"tbody tr:visible td:nth-child({place})").all()]


def head(page: Page, name: str):
    return page.get_by_role("button", name=name)


def test_a_click_sorts_by_number_and_another_turns_the_order(fresh):
    head(fresh, "UNet").click()
    fresh.wait_for_timeout(50)
    assert column(fresh, 3) == ["100.0 [90.1, 100.0]", "71.2 ± 0.4", "9.5", "−3.0"]
    assert fresh.locator("th[aria-sort=descending]").inner_text().strip() == "UNet"
    head(fresh, "UNet").click()
    fresh.wait_for_timeout(50)
    assert column(fresh, 3) == ["−3.0", "9.5", "71.2 ± 0.4", "100.0 [90.1, 100.0]"]
    assert fresh.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("times", [1, 2])
def test_what_was_not_run_stays_last_both_ways(fresh, times):
    for _ in range(times):
        head(fresh, "PSP").click()
        fresh.wait_for_timeout(50)
    assert column(fresh, 4)[-1] == "not run"
    assert column(fresh, 4)[:3] == [["1,200.5", "40.0", "5.0"], ["5.0", "40.0", "1,200.5"]][times - 1]


def test_the_keyboard_sorts_too(fresh):
    head(fresh, "product").focus()
    fresh.keyboard.press("Enter")
    fresh.wait_for_timeout(50)
    assert column(fresh, 1) == ["washer", "twill", "softgel", "softgel"]
    fresh.keyboard.press(" ")
    fresh.wait_for_timeout(50)
    assert column(fresh, 1) == ["softgel", "softgel", "twill", "washer"]


def test_means_are_no_rows_among_the_others(fresh):
    assert fresh.locator("tfoot td").first.inner_text() == "mean"
    assert "mean" not in column(fresh, 1)


def test_lists_choose_rows_and_it_is_said_how_many(fresh):
    assert fresh.get_by_role("status").inner_text() == "4 of 4 rows"
    fresh.get_by_label("numbers").select_option("this run")
    assert column(fresh, 1) == ["softgel", "washer", "twill"]
    fresh.get_by_label("product").select_option("softgel")
    assert column(fresh, 3) == ["9.5"]
    assert fresh.get_by_role("status").inner_text() == "1 of 4 rows"


def test_words_choose_rows_and_sorting_keeps_the_choice(fresh):
    fresh.get_by_label("with the words").fill("SOFT")
    assert column(fresh, 1) == ["softgel"] * 2
    head(fresh, "UNet").click()
    fresh.wait_for_timeout(50)
    assert column(fresh, 3) == ["71.2 ± 0.4", "9.5"]
    fresh.get_by_label("with the words").fill("nothing like it")
    assert fresh.get_by_role("status").inner_text() == "0 of 4 rows"
