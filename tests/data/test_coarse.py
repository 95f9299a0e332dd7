"""Coarse masks cover exact ones, with convex pieces and one type."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from defectlib.data import procedural
from defectlib.data.coarse import coarse

MASKS = arrays(np.uint8, (12, 15), elements=st.sampled_from([0, 0, 0, 1, 2, 3]))


def grown(region):
    """What lies within one pixel."""
    wide = np.pad(region, 1)
    return wide[1:-1, 1:-1] | wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]


def test_a_rectangle_grows_by_a_pixel_on_each_side():
    mask = np.zeros((40, 40), np.uint8)
    mask[10:15, 20:28] = 2
    found = coarse(mask)
    assert set(np.unique(found)) == {0, 2}
    np.testing.assert_array_equal(found > 0, grown(mask > 0))
    assert np.count_nonzero(found) == 5 * 8 + 2 * (5 + 8)


def test_an_angle_becomes_the_triangle_between_its_arms():
    mask = np.zeros((40, 40), np.uint8)
    mask[10:20, 10] = mask[10, 10:20] = 1
    rows, columns = np.indices(mask.shape) - 10
    # The hull's long edge runs from corner to corner of the outermost pixels, x + y = 10, and each arm ends at 9.
    triangle = (rows >= 0) & (columns >= 0) & (rows + columns <= 10) & (rows <= 9) & (columns <= 9)
    np.testing.assert_array_equal(coarse(mask) > 0, grown(triangle))


def test_a_thin_diagonal_becomes_a_band():
    rows, columns = np.indices((30, 30))
    # The hull of the pixels' squares runs through the centres of the pixels beside the diagonal; then it grows by one.
    np.testing.assert_array_equal(coarse(np.eye(30, dtype=np.uint8)) > 0, abs(rows - columns) <= 2)


@pytest.mark.parametrize(("size", "margin"), [(32, 1), (64, 1), (128, 2), (256, 4), (1024, 15)])
def test_growth_goes_with_the_image(size, margin):
    mask = np.zeros((size, size), np.uint8)
    mask[size // 2, size // 2] = 1
    assert np.count_nonzero(coarse(mask)[size // 2]) == 2 * margin + 1


def test_the_largest_type_takes_every_piece_and_pieces_stay_apart():
    mask = np.zeros((60, 60), np.uint8)
    mask[5:10, 5:10] = 1
    mask[40:50, 40:50] = 3
    mask[50:52, 40:50] = 2  # touches the large one
    found = coarse(mask)
    assert set(np.unique(found)) == {0, 3}
    np.testing.assert_array_equal(found > 0, grown(mask > 0))


def test_without_a_defect_nothing_is_drawn():
    assert not coarse(np.zeros((20, 30), np.uint8)).any()


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_it_covers_the_mask_with_its_most_frequent_type(mask):
    found = coarse(mask)
    assert found.dtype == np.uint8
    assert (found[mask > 0] > 0).all()
    counts = [np.count_nonzero(mask == k) for k in (1, 2, 3)]
    assert set(np.unique(found[found > 0])) == ({1 + int(np.argmax(counts))} if any(counts) else set())
    np.testing.assert_array_equal(coarse(mask), found)


def test_on_real_shapes_it_ends_a_pixel_outside_the_exact_mask():
    for i in range(6):
        mask = procedural.sample("softgel", "train", i, size=64).mask
        found = coarse(mask)
        for axis in (0, 1):
            exact, loose = (np.flatnonzero(m.any(axis=axis)) for m in (mask, found))
            assert loose[0] == max(0, exact[0] - 1)
            assert loose[-1] == min(63, exact[-1] + 1)
