"""Methods without training, on images whose answer is known: they take the shape, give back what a click denies."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk

from defectclick.classical import FloodFill, GrabCut, RandomWalker
from defectclick.clicks import Click
from defectclick.evaluation import iou

SIDE = 64
METHODS = [FloodFill(), GrabCut(), RandomWalker()]
named = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


COLOURS = [(200, 40, 40), (40, 60, 200)]


def discs(*places, radius=9, noise=3, colours=COLOURS[:1] * 2):
    """A grey image with coloured discs and a little noise, uint8 (64, 64, 3), and the mask of each disc."""
    masks = []
    image = np.full((SIDE, SIDE, 3), 120.0)
    for place, colour in zip(places, colours, strict=False):
        mask = np.zeros((SIDE, SIDE), bool)
        mask[disk(place, radius)] = True
        image[mask] = colour
        masks.append(mask)
    image += np.random.default_rng(0).normal(0, noise, image.shape)
    return image.clip(0, 255).astype(np.uint8), masks


NOTHING = np.zeros((SIDE, SIDE), bool)


@named
def test_a_disc_takes_one_click_and_two_take_two_whatever_was_asked_between(method):
    image, (left, right) = discs((32, 14), (32, 50))
    given, clicks = image.copy(), [Click(32, 14), Click(32, 50)]
    first = method.segment(image, clicks[:1], NOTHING)
    assert first.dtype == bool
    assert iou(first, left) > 0.95
    method.segment(255 - image, [Click(3, 3)], NOTHING)
    assert np.array_equal(method.segment(image, clicks[:1], NOTHING), first)
    assert iou(method.segment(image, clicks, first), left | right) > 0.95
    assert not method.segment(image, [Click(32, 32, positive=False)], NOTHING).any()
    assert np.array_equal(image, given)
    assert not NOTHING.any()


@named
def test_a_negative_click_gives_back_what_was_too_much(method):
    image, (left, right) = discs((32, 22), (32, 42), radius=5, colours=COLOURS)
    clicks = [Click(32, 22), Click(32, 42, positive=False)]
    too_much = left | right
    found = method.segment(image, clicks, too_much)
    assert iou(found, left) > 0.9
    assert not found[32, 42]


@named
def test_what_is_clicked_is_as_it_was_clicked(method):
    image = np.random.default_rng(1).integers(0, 256, (40, 52, 3), dtype=np.uint8)  # no method can know better
    mask = np.zeros(image.shape[:2], bool)
    clicks = []
    for row, column, positive in [(5, 6, True), (30, 40, True), (20, 20, False), (21, 21, True)]:
        clicks.append(Click(row, column, positive))
        mask = method.segment(image, clicks, mask)
        assert mask[row, column] == positive


@named
def test_an_image_of_one_colour_breaks_nothing(method):
    image = np.full((32, 40, 3), 77, np.uint8)
    clicks = [Click(0, 0), Click(31, 39), Click(16, 20, positive=False)]
    mask = np.zeros((32, 40), bool)
    for count in range(1, 4):
        mask = method.segment(image, clicks[:count], mask)
        assert mask[0, 0]
    assert not mask[16, 20]


def test_the_flood_stops_at_its_tolerance_and_before_a_click_of_the_other_kind():
    image = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 20, axis=0).repeat(3, axis=2)  # a ramp
    narrow, wide = (FloodFill(tolerance).segment(image, [Click(10, 32)], image[..., 0] > 255) for tolerance in (5, 20))
    assert 0 < narrow.sum() < wide.sum() < narrow.size
    assert narrow[:, 32].all()
    clicks = [Click(10, 40, positive=False), Click(10, 32)]
    halved = FloodFill(20).segment(image, clicks, image[..., 0] > 255)
    assert wide[10, 40]
    assert not halved[10, 40]
    assert halved[10, 32]


def test_the_random_walker_does_not_leave_its_reach():
    image = np.full((SIDE, SIDE, 3), 90, np.uint8)
    found = RandomWalker(reach=0.25).segment(image, [Click(32, 32)], NOTHING)
    rows, columns = np.nonzero(found)
    assert np.hypot(rows - 32, columns - 32).max() <= 0.25 * SIDE
