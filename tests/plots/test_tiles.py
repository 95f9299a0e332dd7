"""Tiles: what is said under a picture, what a reader who does not see it is told, and that nothing breaks the HTML."""

from __future__ import annotations

import io
from base64 import b64decode

import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from defectlib.data.sample import Sample
from defectlib.plots import tiles
from defectlib.plots.style import DEFECT_COLOURS
from defectlib.plots.tiles import Tile


def grey(level, side=8):
    return np.full((side, side, 3), level, np.uint8)


def shown(tag):
    """The picture in an ``<img>``."""
    with Image.open(io.BytesIO(b64decode(tag["src"].partition("base64,")[2]))) as image:
        return np.asarray(image)


def test_a_card_holds_its_text_and_every_tile_with_its_words():
    page = BeautifulSoup(
        tiles.card([Tile(grey(40), "image", "one"), Tile(grey(90), "mask", "two", "dent")], "Said."), "html.parser"
    )
    assert page.p.text == "Said."
    assert [tile.div.get_text("|") for tile in page.select(".tile")] == ["image", "mask|dent"]
    assert [image["alt"] for image in page.find_all("img")] == ["one", "two"]
    assert [shown(image)[0, 0, 0] for image in page.find_all("img")] == [40, 90]


def test_words_cannot_become_tags():
    page = BeautifulSoup(tiles.card([Tile(grey(0), "<b>", 'a "b" <c>', "<i>")], "<script>x</script>"), "html.parser")
    assert page.script is None
    assert page.i is None
    assert page.img["alt"] == 'a "b" <c>'


def test_the_legend_gives_each_type_the_colour_that_outlines_have(samples):
    page = BeautifulSoup(tiles.legend(samples[0].classes), "html.parser")
    swatches = [span["style"].rpartition("background: ")[2] for span in page.select("span > span")]
    assert [span.text for span in page.select("div > span")] == list(samples[0].classes)
    assert swatches == list(DEFECT_COLOURS[: len(samples[0].classes)])


def test_there_is_no_legend_where_colours_repeat():
    assert tiles.legend([str(k) for k in range(len(DEFECT_COLOURS) + 1)]) == ""


@pytest.mark.parametrize("side", [16, 32, 64, 100, 256, 1000])
@pytest.mark.parametrize("pixels", [96, 192])
def test_tiles_have_the_size_that_was_asked_for(side, pixels):
    sample = Sample("a", grey(9, side), np.eye(side, dtype=np.uint8), ("scratch",), "p")
    for image in (tiles.plain(sample.image, pixels), tiles.outlined(sample, pixels), tiles.filled(sample, 0.5, pixels)):
        assert pixels / 2 < image.shape[0] <= pixels
        assert image.shape[0] == image.shape[1]


def test_an_outline_is_seen_and_a_filled_mask_has_its_colour():
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 1
    sample = Sample("a", grey(100, 32), mask, ("scratch",), "p")
    colour = np.array([int(DEFECT_COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)])
    outlined, filled = tiles.outlined(sample), tiles.filled(sample, 1.0)
    assert (outlined == colour).all(axis=-1).any()
    assert (outlined[96, 96] == 100).all()  # inside of the outline
    assert (filled[96, 96] == colour).all()
    assert (filled[2, 2] == 100).all()
