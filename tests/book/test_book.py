"""The book, built with warnings as errors and read in a real browser: from disk and over http, on wide and narrow
screens, in light and dark colours, by keyboard.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urldefrag

import pytest
from playwright.sync_api import expect

from defectlib.profiles import load_profile
from defectlib.publishing import notebooks, staging
from defectlib.runtime import REPOSITORY
from tests.book.conftest import OWN_PAGE, has_widgets
from tests.book.controls import column, controls, sights, tab_through
from tests.book.pages import MOST_BYTES, links, local, pages, soup, weight
from tests.book.visits import DESKTOP, PHONE

SOURCES = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
WITH_WIDGETS = [path.stem for path in SOURCES if has_widgets(notebooks.read(path))]
own_book = pytest.mark.skipif("DEFECTLIB_BOOK" in os.environ, reason="a book built elsewhere has not this page")


# As files -----------------------------------------------------------------------------------------------------------


def test_every_committed_notebook_has_a_page(book):
    built = {path.stem for path in (book / "notebooks").glob("*.html")} - {OWN_PAGE}
    assert built == {path.stem for path in SOURCES}


def test_local_links_and_pictures_lead_somewhere_and_nothing_is_loaded_from_elsewhere(book):
    faults = []
    for page in pages(book):
        for tag, target in links(page):
            goal = local(page, target)
            if goal is None and tag.name != "a" and tag.get("rel") != ["canonical"]:
                faults.append(f"{page.name}: {tag.name} loads {target}")
            elif goal is not None and not goal.exists():
                faults.append(f"{page.name}: {tag.name} leads to {target}, which is not there")
    assert faults == []


def test_anchors_within_the_book_exist(book):
    soups = {page.resolve(): soup(page) for page in pages(book)}
    faults = []
    for page in soups:
        for tag, target in links(page):
            anchor, goal = urldefrag(target).fragment, soups.get(local(page, target))
            if tag.name == "a" and anchor and goal and not goal.find(id=anchor):
                faults.append(f"{page.name}: no {anchor} in {target}")
    assert faults == []


def test_every_figure_is_numbered_and_says_in_words_what_it_shows(book):
    faults = []
    for page in pages(book):
        for image in soup(page).select("article.bd-article img"):
            text = image.get("alt", "")
            if len(text) < 12 or re.search(r"\.(png|svg|jpe?g)$|^_?images?/", text):
                faults.append(f"{page.name}: {image['src'][:60]} says {text!r}")
            if image.find_parent(class_="cell_output") and not image.find_parent("figure"):
                faults.append(f"{page.name}: {text!r} has no number")
    assert faults == []


def test_no_page_is_too_heavy(book):
    heavy = {page.name: weight(page) for page in pages(book) if weight(page) > MOST_BYTES}
    assert heavy == {}


@own_book
def test_the_box_says_where_the_numbers_come_from(book):
    boxes = [box for box in soup(book / "notebooks" / f"{OWN_PAGE}.html").select(".admonition") if "Where" in box.text]
    assert [box.select_one(".admonition-title").text.strip() for box in boxes] == [staging.BOX_TITLE]
    assert [cell.text for cell in boxes[0].select("tr td:first-child")] == [
        "Notebook", "Profile", "Parameters", "Data", "Device", "Seed", "Commit", "Date", "Time", "Run it",
    ]  # fmt: skip


# In a browser -------------------------------------------------------------------------------------------------------


def gathered(visits, look) -> list[str]:
    return [f"{name}: {fault}" for name, visit in visits.items() for fault in look(visit)]


def test_every_page_opens_from_disk_without_an_error_or_a_request_elsewhere(visits):
    assert gathered(visits, lambda visit: visit.faults) == []


def test_every_page_opens_over_http_without_an_error_or_a_request_elsewhere(book, served, tab):
    for path in pages(book):
        tab.open(f"{served}/{path.relative_to(book)}")
        assert tab.faults == [], path.name


def test_every_picture_is_there_and_has_words_in_its_stead(visits):
    assert gathered(visits, lambda visit: visit.pictures) == []


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_everything_fits_the_screen_or_scrolls_in_a_box_of_its_own(visits, width):
    assert gathered(visits, lambda visit: visit.overflow[width]) == []


@pytest.mark.parametrize("how", ["light, on a desktop", "dark, on a phone"])
def test_nobody_is_seriously_hindered(visits, how):
    assert gathered(visits, lambda visit: visit.violations[how]) == []


@pytest.mark.parametrize("name", WITH_WIDGETS)
def test_every_slider_and_list_changes_its_picture_by_keyboard_without_a_kernel(book, tab, name):
    page = tab.open((book / "notebooks" / f"{name}.html").as_uri())
    moved = {i: len(set(sights(page, control))) for i, control in enumerate(controls(page))}
    assert moved, "no widget has come"
    assert all(different > 1 for different in moved.values()), moved
    assert tab.faults == []


@pytest.mark.parametrize("name", WITH_WIDGETS)
def test_the_keyboard_reaches_whatever_can_be_moved_and_shows_where_it_is(book, tab, name):
    page = tab.open((book / "notebooks" / f"{name}.html").as_uri())
    missed = tab_through(page)
    assert missed == []


def test_the_keyboard_changes_colours_and_opens_the_search(book, tab):
    page = tab.open((book / "index.html").as_uri())
    mode = page.evaluate("document.documentElement.dataset.theme")
    button = page.locator("button.theme-switch-button:visible").first
    modes = []
    for _ in range(3):  # light, dark, and what the system has
        button.press("Enter")
        modes.append(page.evaluate("document.documentElement.dataset.theme"))
    assert mode == "light"
    assert "dark" in modes
    page.keyboard.press("Control+k")
    page.keyboard.type("receptive")
    page.keyboard.press("Enter")
    page.locator("#search-results li a").first.wait_for()
    assert tab.faults == []


def test_both_sliders_of_the_playground_choose_the_picture(book, tab):
    page = tab.open((book / "notebooks" / "06_playground.html").as_uri())
    first = page.locator(".cell_output:has(.noUi-handle)").first
    picture, handles = first.locator("img:visible"), first.locator(".noUi-handle:visible")
    assert handles.count() == 2
    seen = [picture.get_attribute("alt")]
    for handle in (0, 0, 1):
        handles.nth(handle).press("ArrowRight")
        expect(picture).not_to_have_attribute("alt", seen[-1])
        assert picture.count() == 1
        seen.append(picture.get_attribute("alt"))
    places = [alt.rpartition(" at ")[2] for alt in seen]
    profile = load_profile(os.environ.get("DEFECTLIB_BOOK_PROFILE", "smoke"))
    fields, steps = profile.receptive_fields, profile.switch_steps
    visited = [(steps[0], fields[0]), (steps[1], fields[0]), (steps[2], fields[0]), (steps[2], fields[1])]
    assert places == [f"u = {u}, receptive field {field} px" for u, field in visited]
    assert tab.faults == []


@own_book
def test_a_slider_with_mathematics_in_its_label_changes_the_picture(book, tab):
    page = tab.open((book / "notebooks" / f"{OWN_PAGE}.html").as_uri())
    (slider,) = controls(page)
    assert len(set(sights(page, slider))) == 3
    assert page.locator(".widget-label mjx-container svg").count() == 1
    assert tab.faults == []


# Tables -------------------------------------------------------------------------------------------------------------


def _with_sortable_tables(book, tab):
    """Every page that has one, opened."""
    return ((path, tab.open(path.as_uri())) for path in pages(book) if soup(path).select("table.sortable"))


def test_tables_sort_by_keyboard_up_and_down(book, tab):
    tried = 0
    for path, page in _with_sortable_tables(book, tab):
        tables = page.locator("table.sortable")
        for i in range(tables.count()):
            heads = tables.nth(i).locator("thead th")
            for place in {0, heads.count() - 1}:
                orders = [_sorted_by(page, tables.nth(i), heads.nth(place), place) for _ in range(2)]
                assert sorted(orders) == ["ascending", "descending"], f"{path.name}, table {i}, column {place}"
                tried += 1
        assert tab.faults == []
    assert tried, "no page has a table of class sortable"


def _sorted_by(page, table, head, place) -> str:
    """Press the head's button, and see that the column follows; which way it says."""
    head.locator("button").press("Enter")
    page.wait_for_timeout(80)
    order, cells = head.get_attribute("aria-sort"), column(table, place)
    numbers = [float(found[0].replace("−", "-")) for cell in cells if (found := re.match(r"[+−-]?\d+(\.\d+)?", cell))]
    values = numbers or [cell.casefold() for cell in cells if cell]  # empty cells stay last
    assert len(values) > 1
    assert values == sorted(values, reverse=order == "descending"), (order, cells)
    return order


def test_lists_and_words_choose_the_rows_of_a_table(book, tab):
    tried = 0
    for _, page in _with_sortable_tables(book, tab):
        bars = page.locator(".table-filters")
        for i in range(bars.count()):
            table = page.locator("table.sortable").nth(i)
            rows, word = table.locator("tbody tr:visible"), column(table, 0)[0]
            whole = rows.count()
            bars.nth(i).locator("input").fill(word)
            assert 0 < rows.count() <= whole
            assert all(word.casefold() in text.casefold() for text in rows.all_inner_texts())
            bars.nth(i).locator("input").fill("no such words")
            assert rows.count() == 0
            assert bars.nth(i).get_by_role("status").inner_text() == f"0 of {whole} rows"
            tried += 1
    assert tried, "no page has a table that can be filtered"
