"""Sliders without a kernel: read from the saved state, and moved by keyboard in a real browser."""

from __future__ import annotations

import io
import os
import re
import shutil
from base64 import b64decode

import ipywidgets
import numpy as np
import pytest
from ipywidgets.embed import dependency_state, embed_minimal_html
from PIL import Image
from playwright.sync_api import sync_playwright

from defectlib.errors import UserError
from defectlib.plots import widgets
from defectlib.runtime import REPOSITORY

CHROMIUM = shutil.which("chromium")
MANAGER = REPOSITORY / "book" / "_assets" / "vendor" / "html-manager" / "embed.js"
STEPS, FIELDS = (0, 400, 1000), (9, 45)


def picture(level):
    return np.full((16, 16, 3), level, np.uint8)


def level(widget: ipywidgets.HTML) -> int:
    """The grey of the picture in an HTML widget."""
    data = re.search(r"base64,([^\"]+)", widget.value).group(1)
    with Image.open(io.BytesIO(b64decode(data))) as image:
        return image.getpixel((0, 0))[0]


def alt(widget: ipywidgets.HTML) -> str:
    return re.search(r'alt="([^"]*)"', widget.value).group(1)


@pytest.fixture
def grid():
    """Every picture has a grey of its own: 10 times the place of u, plus the place of the field."""
    return {(u, f): picture(10 * i + j) for i, u in enumerate(STEPS) for j, f in enumerate(FIELDS)}


def links(panel):
    """(source model, source trait, target model, target trait) of every jslink in the saved state."""
    state = dependency_state([panel], drop_defaults=False)
    return [
        (*link["state"]["source"], *link["state"]["target"])
        for link in state.values()
        if link["model_name"] == "LinkModel"
    ]


def test_switch_slider_is_linked_in_the_browser():
    panel = widgets.switch_slider({400: picture(2), 0: picture(1), 1000: picture(3)})
    slider, stack = panel.children
    assert [label for label, _ in slider.options] == ["0", "400", "1000"]
    assert links(panel) == [(f"IPY_MODEL_{slider.model_id}", "index", f"IPY_MODEL_{stack.model_id}", "selected_index")]
    assert [level(child) for child in stack.children] == [1, 2, 3]
    assert alt(stack.children[1]) == "synthetic images at switch step u = 400"
    assert (slider.index, stack.selected_index) == (0, 0)


def test_two_sliders_choose_among_all_pairs(grid):
    panel = widgets.switch_and_field(grid)
    step, field, outer = panel.children
    targets = {(source, target) for source, _, target, _ in links(panel)}
    assert targets == {(f"IPY_MODEL_{step.model_id}", f"IPY_MODEL_{row.model_id}") for row in outer.children} | {
        (f"IPY_MODEL_{field.model_id}", f"IPY_MODEL_{outer.model_id}")
    }
    for j, row in enumerate(outer.children):
        assert [level(child) for child in row.children] == [10 * i + j for i in range(3)]
    assert alt(outer.children[1].children[2]) == "synthetic images at u = 1000, receptive field 45 px"


def test_text_form_is_short_and_the_same_for_other_pictures(grid):
    other = {point: picture(200) for point in grid}
    texts = {repr(widgets.switch_and_field(frames)) for frames in (grid, other)}
    assert texts == {"<sliders: switch step u, 3 positions; receptive field, 2 positions>"}
    bundle = widgets.switch_and_field(grid)._repr_mimebundle_()
    assert bundle["text/plain"] in texts


def test_alternative_text_is_escaped():
    _, stack = widgets.switch_slider({0: picture(1), 1: picture(2)}, alt='a "b" <c>').children
    assert 'alt="a &quot;b&quot; &lt;c&gt; at' in stack.children[0].value


def test_a_missing_pair_is_named(grid):
    del grid[400, 45]
    with pytest.raises(UserError, match=re.escape("no picture for (u, receptive field) = (400, 45)")):
        widgets.switch_and_field(grid)


@pytest.mark.parametrize("number", [0, 1, 61])
def test_too_few_or_too_many_pictures(number):
    with pytest.raises(UserError, match=f"a choice of {number} pictures: give it 2 to 60"):
        widgets.switch_slider(dict.fromkeys(range(number), picture(1)))


def sizes(panel):
    """(bytes, width, height) of every picture of a panel."""
    for child in panel.children[1].children:
        data = b64decode(re.search(r"base64,([^\"]+)", child.value).group(1))
        with Image.open(io.BytesIO(data)) as image:
            yield len(data), *image.size


@pytest.mark.parametrize(("side", "pictures"), [(2000, 3), (800, 30)])
def test_large_pictures_are_made_to_fit_the_page(side, pictures):
    noise = np.random.default_rng(0).integers(0, 256, (side // 2, side, 3), np.uint8)  # nothing compresses worse
    found = list(sizes(widgets.switch_slider(dict.fromkeys(range(pictures), noise))))
    assert sum(size for size, _, _ in found) <= widgets.MAX_BYTES
    assert {width / height for _, width, height in found} == {2.0}


def test_small_pictures_stay_as_they_are():
    assert [size[1:] for size in sizes(widgets.switch_slider({0: picture(1), 1: picture(2)}))] == [(16, 16)] * 2


def test_the_colours_of_types_are_named_where_given():
    panel = widgets.switch_slider({0: picture(1), 1: picture(2)}, classes=("scratch", "a<b"))
    assert "scratch" in panel.children[-1].value
    assert "a&lt;b" in panel.children[-1].value


@pytest.mark.parametrize(("slide", "control"), [(False, ipywidgets.Dropdown), (True, ipywidgets.SelectionSlider)])
def test_cards_are_chosen_by_name(slide, control):
    panel = widgets.cards("image", {"one": "<p>1</p>", "two": "<p>2</p>"}, slide=slide)
    chosen, stack = panel.children
    assert type(chosen) is control
    assert [name for name, _ in chosen.options] == ["one", "two"]
    assert [child.value for child in stack.children] == ["<p>1</p>", "<p>2</p>"]
    assert links(panel) == [(f"IPY_MODEL_{chosen.model_id}", "index", f"IPY_MODEL_{stack.model_id}", "selected_index")]
    assert repr(panel) == f"<{'slider' if slide else 'list'}: image, 2 positions>"


def test_cards_in_groups_keep_their_number_when_the_group_changes():
    panel = widgets.cards_in_groups("net", "pair", {"a": ["1", "2"], "b": ["3", "4"]})
    net, pair, outer = panel.children
    assert [[card.value for card in row.children] for row in outer.children] == [["1", "2"], ["3", "4"]]
    targets = {(source, target) for source, _, target, _ in links(panel)}
    assert targets == {(f"IPY_MODEL_{pair.model_id}", f"IPY_MODEL_{row.model_id}") for row in outer.children} | {
        (f"IPY_MODEL_{net.model_id}", f"IPY_MODEL_{outer.model_id}")
    }


def test_groups_must_be_equally_large():
    with pytest.raises(UserError, match=re.escape("groups of [1, 2] cards: one slider moves through all of them")):
        widgets.cards_in_groups("net", "pair", {"a": ["1"], "b": ["2", "3"]})


def test_cards_that_a_page_cannot_carry_are_refused():
    heavy = dict.fromkeys(("a", "b"), "x" * widgets.MAX_BYTES)
    with pytest.raises(UserError, match="pictures of 2250000 bytes in one widget: a page carries 1500000"):
        widgets.cards("image", heavy)


def test_arrow_keys_change_the_picture_in_a_static_page(tmp_path, grid):
    if CHROMIUM is None:
        if os.environ.get("DEFECTLIB_NEEDS_CHROMIUM"):
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    page_file = tmp_path / "page.html"
    embed_minimal_html(page_file, widgets.switch_and_field(grid), requirejs=False, embed_url=MANAGER.as_uri())
    # The book loads the script without this attribute, with which a browser takes nothing from file://.
    page_file.write_text(page_file.read_text().replace(' crossorigin="anonymous"', ""))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(page_file.as_uri())
        page.locator(".noUi-handle").nth(1).wait_for()
        step, field = page.locator(".noUi-handle").all()
        visible = page.locator("img:visible")
        seen = [visible.get_attribute("alt")]
        for handle, key in ((step, "ArrowRight"), (field, "ArrowRight"), (step, "ArrowRight"), (field, "ArrowLeft")):
            handle.press(key)
            seen.append(visible.get_attribute("alt"))
        browser.close()
    places = [(0, 9), (400, 9), (400, 45), (1000, 45), (1000, 9)]
    assert seen == [f"synthetic images at u = {u}, receptive field {field} px" for u, field in places]
    assert errors == []
