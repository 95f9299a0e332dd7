"""Boxes and what is cut from them: nothing moves on the way there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.segmentation import random_walker

from defectclick.clicks import Click
from defectclick.crops import (
    ALIKE,
    BETA,
    CHANNELS,
    EASY,
    STEEP,
    Box,
    around,
    cut,
    cut_mask,
    disks,
    first_met,
    likeness,
    prepare,
    put_back,
    reach,
    square,
    walk,
)

OUTER = Box(0, 0, 60, 100)


def smooth(height, width):
    """A slope along both axes: bilinear scaling leaves it what it is, but for the border."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    return (rows / height + 2 * columns / width).astype(np.float32)


def test_around_holds_region_and_clicks_and_no_more():
    region = np.zeros((10, 12), bool)
    region[3:5, 6:9] = True
    assert around(region) == Box(3, 6, 5, 9)
    assert around(region, [Click(8, 2)]) == Box(3, 2, 9, 9)
    assert around(np.zeros_like(region), [Click(8, 2)]) == Box(8, 2, 9, 3)


def test_square_is_moved_into_the_image_and_never_too_small():
    assert square(Box(20, 40, 30, 60), 1.5, 0, OUTER) == Box(10, 35, 40, 65)
    assert square(Box(0, 90, 10, 100), 1, 20, OUTER) == Box(0, 80, 20, 100)
    assert square(Box(20, 40, 30, 90), 1.4, 0, OUTER) == Box(0, 30, 60, 100)  # a side is the image's at most


@given(*(st.floats(0, 0.4) for _ in range(2)), *(st.floats(0.6, 1) for _ in range(2)))
def test_shares_lead_back_to_the_box(top, left, bottom, right):
    outer = Box(7, 3, 29, 84)
    assert outer.at((top, left, bottom, right)).within(outer) == pytest.approx((top, left, bottom, right))


def test_a_crop_at_its_own_size_is_the_image_itself():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    assert np.array_equal(cut(image, Box(5, 9, 21, 25), 16), image[5:21, 9:25])
    mask = image[..., 0] > 128
    assert np.array_equal(cut_mask(mask, Box(5, 9, 21, 25), 16), mask[5:21, 9:25])


@given(st.floats(0, 20), st.floats(0, 20), st.floats(12, 35), st.integers(8, 64))
def test_there_and_back(top, left, length, side):
    image = smooth(60, 60)
    box = Box(top, left, top + length, left + length)
    rows, columns = (edge + (np.arange(side) + 0.5) / side * length for edge in (top, left))
    values = (rows[:, None] / 60 + 2 * columns[None] / 60).astype(np.float32)
    found, place = put_back(values, box, image.shape)
    inside = (slice(2, -2),) * 2  # at its border a crop knows nothing of what is beyond
    step = 3 * max(length / side, 1) / 60
    np.testing.assert_allclose(found[inside], image[place][inside], atol=step)
    assert found.shape == image[place].shape
    assert abs(place[0].start - top) <= 0.5
    assert abs(place[1].stop - (left + length)) <= 0.5


def test_disks_lie_under_the_clicks():
    box = Box(10, 20, 42, 52)  # 32 px at 64: two pixels of the crop to one of the image
    for click, (row, column) in ((Click(20, 30), (21, 21)), (Click(30, 45, positive=False), (41, 51))):
        rows, columns = np.nonzero(disks([click, Click(0, 0)], box, 64))
        assert (rows.mean(), columns.mean()) == pytest.approx((row - 0.5, column - 0.5))  # 20.5 - 10, times two, is 21
        assert rows.max() - rows.min() == 5


def test_likeness_is_to_the_nearest_of_the_clicked_colours():
    crop = np.zeros((3, 32, 32), np.float32)
    crop[:, :, 8:], crop[:, :, 16:], crop[0, :, 24:] = 0.5, -0.5, -0.3  # four stripes
    clicks = [Click(10, 3), Click(10, 20), Click(99, 12)]
    found = likeness(crop, clicks, Box(0, 0, 32, 32))[0]
    far = np.exp(-3 * 0.5**2 / (2 * ALIKE**2))
    assert found[::8] == pytest.approx([1, far, 1, np.exp(-(0.2**2) / (2 * ALIKE**2))], abs=1e-6)
    assert not likeness(crop, clicks[2:], Box(0, 0, 32, 32)).any()  # beyond the crop


def test_reach_follows_what_is_alike_and_goes_round_what_is_not():
    alike = np.zeros((64, 64), np.float32)
    alike[:, :16] = alike[:, 48:] = alike[:16] = 1  # an arch
    found = reach(alike, [Click(62, 2)], Box(0, 0, 64, 64))
    assert found[62, 2] == pytest.approx(1, abs=0.05)
    across = 32 / 64 * STEEP  # from leg to leg over what is not alike: half the side
    round_it = (2 * 60 + 46) / 64 * EASY  # up, over and down again, at most
    assert -np.log(found[62, 61]) < round_it < across
    assert -np.log(found[60, 32]) == pytest.approx(16 / 64 * STEEP, rel=0.15)
    assert found[20:, 24:40].max() < found[62, 61]
    assert not reach(alike, [Click(80, 3)], Box(0, 0, 64, 64)).any()  # beyond the crop


def test_a_walk_stays_within_what_it_began_in_and_beyond_a_negative_click_there_is_none():
    image = np.full((64, 64, 3), 60, np.uint8)
    image[16:48, 8:56] = 200  # a plate
    box, inside = Box(0, 0, 64, 64), (slice(18, 46), slice(10, 54))
    found = walk(image, [Click(30, 20)], box)
    assert (found.shape, found.dtype) == ((64, 64), np.float32)
    assert found[inside].min() > 0.99 > 0.2 > found[:14].max()
    divided = walk(image, [Click(30, 12), Click(30, 52, positive=False)], box) ** 4
    assert divided[30, 16] > 0.5 > divided[30, 48]
    assert divided[30, 52] < 0.01
    assert not walk(image, [Click(80, 3), Click(5, 5, positive=False)], box).any()


def test_prepare_stacks_colours_mask_and_clicks_of_both_kinds():
    image = np.full((4, 4, 3), 255, np.uint8)
    image[..., 2] = 0
    box = Box(0, 0, 40, 40)
    x = prepare(image, np.eye(4, dtype=bool), [Click(0, 0)], box)
    assert (x.shape, x.dtype) == ((CHANNELS, 4, 4), np.float32)
    assert [x[0].mean(), x[1].mean(), x[2].mean(), x[3].sum()] == [1, 1, -1, 4]
    assert np.array_equal(x[4], disks([Click(0, 0)], box, 4))
    assert (x[5] == 1).all()
    assert np.array_equal(x[6], reach(x[5], [Click(0, 0)], box))
    assert not x[7:10].any()
    assert np.array_equal(x[10], walk(image, [Click(0, 0)], box))
    other = prepare(image, np.eye(4, dtype=bool), [Click(0, 0, positive=False)], box)
    assert np.array_equal(other[7:10], x[4:7])
    assert not other[[4, 5, 6, 10]].any()


# Random walks, against scikit-image's, which solves the same equations by other means ---------------------------------


def marked(shape, *spots):
    marks = np.zeros(shape, np.int8)
    for row, column, mark in spots:
        marks[row, column] = mark
    return marks


@pytest.mark.parametrize("shape", [(24, 24), (5, 9), (9, 4), (6, 1), (1, 6), (2, 2)])
def test_walks_are_those_of_scikit_image(shape):
    draw = np.random.Generator(np.random.PCG64(3))
    image, marks = draw.random((*shape, 3)), marked(shape, (0, 0, 2), (-1, -1, 1))
    theirs = random_walker(image, marks, beta=BETA, mode="bf", channel_axis=-1, return_full_prob=True)[0]
    assert np.abs(first_met(image, marks) - theirs).max() < 1e-5


def test_on_a_plain_line_the_probability_falls_as_the_ruin_of_a_gambler():
    found = first_met(np.full((1, 11, 3), 0.4), marked((1, 11), (0, 0, 1), (0, 10, 2)))
    assert np.allclose(found, np.linspace(1, 0, 11)[None])


def test_marks_stay_as_they_are_and_pixels_that_no_walk_leaves_have_an_answer():
    draw = np.random.Generator(np.random.PCG64(5))
    image = draw.integers(0, 2, (16, 16, 3)).astype(float)  # nearly every step is over an edge
    marks = draw.integers(0, 3, (16, 16)) * (draw.random((16, 16)) < 0.1)
    marks[0, 0], marks[15, 15] = 1, 2
    found = first_met(image, marks)
    assert (found[marks == 1] == 1).all()
    assert (found[marks == 2] == 0).all()
    assert np.isfinite(found).all()
    assert 0 <= found.min() <= found.max() <= 1
