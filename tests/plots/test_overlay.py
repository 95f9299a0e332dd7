"""Outlines against a loop over pixels, fills against the formula, sheets and files against what went in."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from defectlib.plots import overlay
from defectlib.plots.style import defect_colour


def rgb(class_id):
    return (np.array(defect_colour(class_id)[:3]) * 255).astype(np.uint8)


def neighbours(mask, row, column, reach):
    return mask[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]


@pytest.fixture
def grey():
    return np.full((12, 16, 3), 90, np.uint8)


@pytest.mark.parametrize(("scale", "thickness"), [(1, 1), (4, 1), (3, 2)])
def test_outline_colours_exactly_the_pixels_around_a_defect(samples, scale, thickness):
    # The sample with most types: their outlines must not be mixed up.
    sample = max(samples, key=lambda s: len(s.present))
    drawn = overlay.outline(sample.image, sample.mask, scale, thickness)
    bare = overlay.enlarge(sample.image, scale)
    mask = np.repeat(np.repeat(sample.mask, scale, axis=0), scale, axis=1)
    for row, column in np.ndindex(mask.shape):
        own, pixel = mask[row, column], drawn[row, column]
        others = set(neighbours(mask, row, column, thickness).flat) - {0, own}
        unchanged = (pixel == bare[row, column]).all()
        in_line = any((pixel == rgb(k)).all() for k in others)
        # Background beside a defect always is line; a defect only where it touches a smaller one.
        assert in_line if others and not own else unchanged or in_line


def test_a_thin_defect_stays_visible(grey):
    mask = np.zeros((12, 16), np.uint8)
    mask[5, 3:12] = 2
    drawn = overlay.outline(grey, mask, scale=1)
    assert (drawn[mask > 0] == 90).all()
    assert (drawn[4, 2:13] == rgb(2)).all()
    assert (drawn[6, 2:13] == rgb(2)).all()
    assert (drawn != 90).any(axis=2).sum() == 2 * 11 + 2


@pytest.mark.parametrize(("inner", "outer"), [(1, 2), (2, 1)])
def test_where_types_touch_the_smaller_keeps_its_line(grey, inner, outer):
    mask = np.zeros((12, 16), np.uint8)
    mask[2:10, 2:12], mask[5:7, 5:7] = outer, inner
    drawn = overlay.outline(grey, mask, scale=1)
    assert (drawn[4, 4:8] == rgb(inner)).all()
    assert (drawn[5:7, 5:7] == 90).all()
    assert (drawn[1, 1:13] == rgb(outer)).all()


def test_no_defect_no_line(grey):
    assert (overlay.outline(grey, np.zeros((12, 16), np.uint8), scale=1) == 90).all()


def test_small_images_are_enlarged_to_about_256_pixels():
    sizes = {size: overlay.scale_for(np.zeros((size, size, 3), np.uint8)) for size in (32, 64, 100, 256, 900)}
    assert sizes == {32: 8, 64: 4, 100: 2, 256: 1, 900: 1}


def test_enlarged_masks_hold_no_new_value():
    mask = np.array([[0, 3], [1, 0]], np.uint8)
    assert (overlay.enlarge(mask, 3) == np.kron(mask, np.ones((3, 3), np.uint8))).all()


def test_blend_mixes_by_alpha(grey):
    mask = np.zeros((12, 16), np.uint8)
    mask[0, 0] = 3
    drawn = overlay.blend(grey, mask, scale=1, alpha=0.25)
    assert (drawn[0, 0] == np.round(0.75 * 90 + 0.25 * rgb(3).astype(float))).all()
    assert (drawn[mask == 0] == 90).all()


def test_sheet_places_images_row_by_row():
    images = [np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = overlay.sheet(images, columns=2, gap=1)
    assert sheet.shape == (5, 7, 3)
    assert sheet[..., 0].tolist() == [
        [10, 10, 10, 255, 20, 20, 20],
        [10, 10, 10, 255, 20, 20, 20],
        [255] * 7,
        [30, 30, 30, 255, 255, 255, 255],
        [30, 30, 30, 255, 255, 255, 255],
    ]
    assert (overlay.side_by_side(images[:2], gap=1) == sheet[:2]).all()


@pytest.mark.parametrize("images", [[], [np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)]])
def test_sheet_needs_images_of_one_size(images):
    with pytest.raises(ValueError, match="needs images of one size"):
        overlay.sheet(images, columns=2)


def test_files_hold_the_image(samples):
    image = overlay.enlarge(samples[0].image, 4)
    content = overlay.to_bytes(image, quality=90)
    with Image.open(io.BytesIO(content)) as read:
        assert read.format == "JPEG"
        assert np.abs(np.asarray(read, np.int16) - image).mean() <= 6


def test_jpeg_keeps_the_colour_of_thin_lines(samples):
    sample = samples[0]
    bare, drawn = overlay.enlarge(sample.image, 4), overlay.outline(sample.image, sample.mask, 4)
    line = (bare != drawn).any(axis=2)
    with Image.open(io.BytesIO(overlay.to_bytes(drawn))) as read:
        assert read.format == "JPEG"
        assert np.abs(np.asarray(read, np.int16) - drawn)[line].mean() < 12
