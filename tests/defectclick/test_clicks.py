"""Simulated clicks: in the middle of the largest error, and in training deep in it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from defectclick.clicks import Click, depth, next_click, random_click

MASKS = arrays(bool, (9, 12))


def rectangle(top, left, bottom, right, shape=(20, 30)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_first_click_is_the_middle_of_the_widest_defect():
    truth = rectangle(2, 3, 9, 10) | rectangle(15, 1, 18, 29)  # 7 x 7 is deeper than 3 x 28
    assert next_click(np.zeros_like(truth), truth) == Click(5, 6, positive=True)


def test_what_goes_beyond_the_defect_is_clicked_away():
    truth, mask = rectangle(2, 3, 9, 10), rectangle(2, 3, 9, 10) | rectangle(10, 20, 19, 29)
    assert next_click(mask, truth) == Click(14, 24, positive=False)


def test_the_border_of_the_image_is_an_edge():
    assert next_click(np.zeros((5, 5), bool), np.ones((5, 5), bool)) == Click(2, 2)


def test_no_pixel_is_clicked_twice_and_where_nothing_is_wrong_nothing_is_clicked():
    truth = rectangle(4, 4, 5, 6)
    first = next_click(np.zeros_like(truth), truth)
    second = next_click(np.zeros_like(truth), truth, [first])
    assert [first, second] == [Click(4, 4), Click(4, 5)]
    assert next_click(np.zeros_like(truth), truth, [first, second]) is None
    assert next_click(truth, truth) is None


@given(MASKS, MASKS, st.integers(0, 2**32))
def test_every_click_is_where_the_mask_is_wrong_and_says_how(mask, truth, seed):
    for click in (next_click(mask, truth), random_click(mask, truth, np.random.default_rng(seed))):
        assert (click is None) == np.array_equal(mask, truth)
        if click is not None:
            assert truth[click.row, click.column] == click.positive
            assert mask[click.row, click.column] != click.positive


def test_clicks_of_training_lie_in_the_deeper_half_and_not_all_in_one_place():
    truth, draw = rectangle(3, 3, 14, 14), np.random.default_rng(0)
    clicks = {random_click(np.zeros_like(truth), truth, draw) for _ in range(400)}
    assert {(click.row, click.column) for click in clicks} == {(r, c) for r in range(5, 12) for c in range(5, 12)}


@given(MASKS)
def test_the_distance_transform_is_that_of_scipy(region):
    np.testing.assert_allclose(depth(region), ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1], rtol=1e-6)
