"""Distances between the defects of two sets of masks, from squares whose type, size and place are known."""

from __future__ import annotations

import numpy as np
import pytest

from defectlib.data.sample import Sample
from defectlib.defectgen.measures.defects import places_distance, sizes_distance, types_distance


def sample(*squares, side=40):
    """A mask with squares (type, side, row, column of the corner)."""
    mask = np.zeros((side, side), np.uint8)
    for kind, length, row, column in squares:
        mask[row : row + length, column : column + length] = kind
    return Sample("key", np.zeros((side, side, 3), np.uint8), mask, ("pit", "scratch", "stain"), "disc")


A, B = sample((1, 4, 0, 0)), sample((2, 8, 20, 20))


def test_types_are_as_far_apart_as_defects_would_change_type():
    assert types_distance([A, A, B, B], [A, B]) == 0
    assert types_distance([A, A, A, B], [A, B]) == pytest.approx(1 / 4)
    assert types_distance([A], [B, B]) == 1
    both = sample((1, 4, 0, 0), (2, 8, 20, 20))
    assert types_distance([both], [A, B]) == 0


def test_an_image_without_defect_counts_as_a_type():
    assert types_distance([sample()], [A, B]) == 1
    assert types_distance([A, B, sample(), sample()], [A, B]) == pytest.approx(1 / 2)
    assert types_distance([sample()], [sample()] * 3) == 0


def test_sizes_are_sides_of_squares():
    assert sizes_distance([A, B], [B, A, A, B]) == pytest.approx(0)
    assert sizes_distance([A], [B]) == pytest.approx((8 - 4) / 40)
    assert sizes_distance([A, A, B], [B]) == pytest.approx(2 / 3 * (8 - 4) / 40)
    one_by_area = sample((1, 4, 0, 0), (1, 4, 20, 20))  # one type in one image: one defect, of both areas
    assert sizes_distance([one_by_area], [A]) == pytest.approx((np.sqrt(32) - 4) / 40)


@pytest.mark.parametrize(("down", "right"), [(10, 0), (0, 10), (6, 8), (8, -6)])
def test_places_are_apart_by_the_shift(down, right):
    here = [sample((1, 4, row, 10)) for row in (8, 12, 16)]
    there = [sample((1, 4, row + down, 10 + right)) for row in (8, 12, 16)]
    # Projections of the three places cross where they are shifted along their own line: then it stays the mean shift.
    assert places_distance(here, there) == pytest.approx(10 / 40, rel=0.01)


def test_places_do_not_depend_on_how_many_there_are():
    assert places_distance([A, B], [B, A, A, B]) == pytest.approx(0, abs=1e-12)


def test_a_wide_mask_is_measured_along_each_of_its_sides():
    image, mask = np.zeros((20, 80, 3), np.uint8), np.zeros((2, 20, 80), np.uint8)
    mask[0, 4:8, 0:4] = mask[1, 4:8, 40:44] = 1
    left, right = (Sample("key", image, m, ("pit",), "bar") for m in mask)
    assert places_distance([left], [right]) == pytest.approx(0.5, rel=0.01)
    assert sizes_distance([left], [right]) == 0


def test_without_defects_there_is_no_size_and_no_place():
    assert sizes_distance([sample()], [A]) is None
    assert places_distance([A], [sample(), sample()]) is None
