"""The book, built from the committed notebooks with warnings as errors, and read in a real browser from file://."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell
from playwright.sync_api import Browser, Page, sync_playwright

from defectlib.profiles import load_profile
from defectlib.publishing import notebooks, staging
from defectlib.publishing.runner import run_notebook
from defectlib.runtime import REPOSITORY
from tests.publishing.conftest import SLIDER, new_notebook

CHROMIUM = shutil.which("chromium")
WIDGET_PAGE = "slider"
PLAYGROUND = "06_playground"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages: the committed notebooks as they are; two executed here, since those hold no widget state."""
    folder = tmp_path_factory.mktemp("book")
    source, executed = folder / "source.ipynb", folder / f"{WIDGET_PAGE}.ipynb"
    notebook = new_notebook(SLIDER, title="Slider")
    notebook.cells.append(new_markdown_cell("The hand-over is at $u$."))
    notebooks.write(notebook, source)
    run_notebook(source, executed, {})
    playground = folder / f"{PLAYGROUND}.ipynb"
    run_notebook(REPOSITORY / "notebooks" / playground.name, playground, {})
    committed = [path for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb")) if path.name != playground.name]
    staging.stage([*committed, playground, executed], folder / "stage", lambda name, parameters: ())
    toc = folder / "stage" / "book" / "_toc.yml"
    content = yaml.safe_load(toc.read_text())
    content["parts"].append({"caption": "Tests", "chapters": [{"file": f"notebooks/{WIDGET_PAGE}"}]})
    toc.write_text(yaml.safe_dump(content))
    staging.build_html(folder / "stage", REPOSITORY / "_config.yml", folder / "html", folder / "book.log")
    return folder / "html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("DEFECTLIB_NEEDS_CHROMIUM"):
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


def pages(book: Path) -> list[Path]:
    return [path for path in sorted(book.rglob("*.html")) if "_static" not in path.relative_to(book).parts]


def test_every_committed_notebook_has_a_page(book):
    expected = {path.stem for path in (REPOSITORY / "notebooks").glob("*.ipynb")} | {WIDGET_PAGE}
    assert {path.stem for path in (book / "notebooks").glob("*.html")} == expected


def test_local_links_and_pictures_lead_somewhere_and_nothing_is_loaded_from_elsewhere(book):
    faults = []
    for page in pages(book):
        for tag in BeautifulSoup(page.read_text(), "html.parser").find_all(["a", "img", "script", "link", "source"]):
            target = urldefrag(tag.get("src") or tag.get("href") or "").url
            scheme = urlsplit(target).scheme
            if scheme in ("http", "https") and tag.name != "a":
                faults.append(f"{page.name}: {tag.name} loads {target}")
            elif target and not scheme and not (page.parent / unquote(urlsplit(target).path)).exists():
                faults.append(f"{page.name}: {tag.name} leads to {target}, which is not there")
    assert faults == []


def test_anchors_within_the_book_exist(book):
    soups = {page.resolve(): BeautifulSoup(page.read_text(), "html.parser") for page in pages(book)}
    faults = []
    for page, soup in soups.items():
        for tag in soup.find_all("a", href=True):
            url, anchor = urldefrag(tag["href"])
            goal = soups.get((page.parent / unquote(url)).resolve() if url else page)
            if anchor and goal and not goal.find(id=anchor):
                faults.append(f"{page.name}: no {anchor} in {url or page.name}")
    assert faults == []


def open_page(browser: Browser, path: Path) -> tuple[Page, list[str]]:
    """A page opened from disk, and what goes wrong on it: requests elsewhere or in vain, errors on the console."""
    page, faults = browser.new_page(), []
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else faults.append(r.url))
    page.on("requestfailed", lambda r: faults.append(f"failed: {r.url}"))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(path.as_uri(), wait_until="load")
    return page, faults


def test_every_page_opens_from_disk_without_an_error_or_a_request_elsewhere(book, browser):
    for path in pages(book):
        page, faults = open_page(browser, path)
        page.wait_for_timeout(300)  # scripts that start after the page has loaded
        assert faults == [], path.name
        page.close()


def test_a_slider_changes_the_picture_without_a_kernel(book, browser):
    page, faults = open_page(browser, book / "notebooks" / f"{WIDGET_PAGE}.html")
    picture = page.locator(".jupyter-widgets img:visible")
    picture.first.wait_for()
    assert picture.count() == 1
    seen = [picture.screenshot()]
    for _ in range(2):
        page.locator(".noUi-handle").first.press("ArrowRight")
        page.wait_for_timeout(200)
        seen.append(picture.screenshot())
    assert len(set(seen)) == 3
    assert page.locator(".widget-label mjx-container svg").count() == 1  # mathematics in the slider's label
    assert faults == []


def test_both_sliders_of_the_playground_choose_the_picture(book, browser):
    page, faults = open_page(browser, book / "notebooks" / f"{PLAYGROUND}.html")
    picture = page.locator(".jupyter-widgets img:visible")
    picture.first.wait_for()
    handles = page.locator(".noUi-handle:visible")
    assert handles.count() == 2
    seen = [picture.get_attribute("alt")]
    for handle in (0, 0, 1):
        handles.nth(handle).press("ArrowRight")
        page.wait_for_timeout(200)
        assert picture.count() == 1
        seen.append(picture.get_attribute("alt"))
    places = [alt.rpartition(" at ")[2] for alt in seen]
    fields, steps = load_profile("smoke").receptive_fields, load_profile("smoke").switch_steps
    visited = [(steps[0], fields[0]), (steps[1], fields[0]), (steps[2], fields[0]), (steps[2], fields[1])]
    assert places == [f"u = {u}, receptive field {field} px" for u, field in visited]
    assert faults == []


def test_the_box_says_where_the_numbers_come_from(book):
    soup = BeautifulSoup((book / "notebooks" / f"{WIDGET_PAGE}.html").read_text(), "html.parser")
    boxes = [box for box in soup.select(".admonition") if staging.BOX_TITLE in box.text]
    assert len(boxes) == 1
    assert [cell.text for cell in boxes[0].select("tr td:first-child")] == [
        "Notebook", "Profile", "Parameters", "Data", "Device", "Seed", "Commit", "Date", "Time",
    ]  # fmt: skip
