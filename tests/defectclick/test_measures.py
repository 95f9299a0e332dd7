"""Measures of clicks against closed forms and against a computation of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from skimage.draw import disk, polygon

from defectclick import evaluation as measures


def square(side, top, left, length):
    mask = np.zeros((side, side), bool)
    mask[top : top + length, left : left + length] = True
    return mask


def test_iou_in_closed_form():
    a, b = square(20, 2, 2, 10), square(20, 2, 7, 10)  # they share one half of each
    assert measures.iou(a, b) == pytest.approx(50 / 150)
    assert measures.iou(a, a) == 1
    assert measures.iou(a, ~a) == 0
    assert measures.iou(a & ~a, a & ~a) == 1


def test_the_number_of_clicks_is_that_of_the_first_click_that_is_good_enough():
    ious = [0.5, 0.84, 0.9, 0.7, 0.95]
    assert [measures.clicks_to(ious, target) for target in measures.TARGETS] == [2, 3, 3]
    assert not measures.fails(ious, 0.95)
    assert measures.clicks_to(ious, 0.95) == 5
    assert measures.clicks_to(ious, 0.95, most=4) == 4
    assert measures.fails(ious, 0.95, most=4)
    assert measures.clicks_to(ious, 0.99) == measures.MOST_CLICKS
    assert measures.fails(ious, 0.99)


def test_the_tolerance_grows_with_the_image_and_is_a_pixel_at_least():
    assert measures.tolerance((64, 64)) == 1
    assert measures.tolerance((300, 400)) == pytest.approx(500 * measures.TOLERANCE)


def test_the_boundary_of_a_square_is_its_frame_and_an_image_ends_at_its_border():
    inside = measures.boundary(square(12, 3, 4, 5))
    assert inside.sum() == 16
    assert not inside[4:7, 5:8].any()
    assert measures.boundary(np.ones((6, 7), bool)).sum() == 2 * 6 + 2 * 7 - 4


def test_boundary_f_in_closed_form():
    truth = square(64, 20, 20, 20)
    assert measures.boundary_f(truth, truth) == 1
    # Shrunk by the tolerance of one pixel: of 76 pixels of the true boundary only the corners are farther off.
    assert measures.boundary_f(square(64, 21, 21, 18), truth) == pytest.approx(2 * (72 / 76) / (1 + 72 / 76))
    assert measures.boundary_f(square(64, 23, 23, 14), truth) == 0
    assert measures.boundary_f(truth & ~truth, truth) == 0
    assert measures.boundary_f(truth & ~truth, truth & ~truth) == 1
    # A second square that is not there doubles the boundary: precision 1/2, recall 1.
    assert measures.boundary_f(truth | square(64, 42, 42, 20), truth) == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_boundary_f_against_all_pairs_of_boundary_pixels(seed):
    draw = np.random.default_rng(seed)
    masks = []
    for _ in range(2):
        mask = np.zeros((160, 200), bool)
        mask[disk(draw.integers(60, 100, 2), draw.integers(20, 50), shape=mask.shape)] = True
        masks.append(mask ^ (draw.random(mask.shape) < 0.002))
    points = [np.argwhere(measures.boundary(mask)) for mask in masks]
    apart, within = cdist(*points), measures.TOLERANCE * math.hypot(160, 200)
    precision, recall = (apart.min(1) <= within).mean(), (apart.min(0) <= within).mean()
    assert measures.boundary_f(*masks) == pytest.approx(2 * precision * recall / (precision + recall))


# What people would draw ---------------------------------------------------------------------------------------------


def test_a_straight_outline_needs_its_corners_alone():
    # The line between the pixels cuts each corner of a square, so four corners are eight vertices if drawn exactly.
    assert measures.outline_vertices(square(64, 10, 10, 30), 0.1) == 8
    assert measures.outline_vertices(square(64, 10, 10, 30), 1) == 4
    assert measures.outline_vertices(np.zeros((8, 8), bool), 1) == 0
    assert measures.outline_vertices(square(9, 4, 4, 1), 5) == 3  # no polygon has fewer


def test_pieces_and_holes_are_outlined_each_for_itself():
    ring = square(64, 10, 10, 30) & ~square(64, 20, 20, 10)
    assert measures.outline_vertices(ring, 1) == 8
    assert measures.outline_vertices(ring | square(64, 45, 45, 15), 1) == 12


@pytest.mark.parametrize("within", [0.5, 1.0, 2.0])
def test_polygons_of_so_many_vertices_do_keep_within_the_tolerance(within):
    from skimage.measure import approximate_polygon, find_contours

    mask = np.zeros((128, 128), bool)
    mask[disk((64, 64), 40)] = True
    (line,) = find_contours(mask.astype(float), 0.5)
    drawn = approximate_polygon(line, within)
    assert len(drawn) - 1 == measures.outline_vertices(mask, within)
    again = np.zeros_like(mask)
    again[polygon(*drawn.T, mask.shape)] = True
    wrong = np.argwhere(again ^ mask)
    if len(wrong):
        assert cdist(wrong, line).min(1).max() <= within + 0.5
    assert measures.outline_vertices(mask, within) < len(line) / 2


def test_a_finer_tolerance_takes_more_vertices():
    mask = np.zeros((128, 128), bool)
    mask[disk((64, 64), 40)] = True
    counts = [measures.outline_vertices(mask, within) for within in (0.25, 0.5, 1, 2, 4)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[1] > counts[2] > counts[4]


def test_repairs_outline_errors_that_reach_farther_than_the_tolerance():
    truth = square(64, 20, 20, 20)
    assert measures.repair_vertices(truth, truth, 1) == 0
    assert measures.repair_vertices(square(64, 21, 21, 18), truth, 1) == 0  # a frame as wide as the tolerance
    assert measures.repair_vertices(square(64, 21, 21, 18), truth, 0.5) > 0
    beside = square(64, 45, 45, 10)
    assert measures.repair_vertices(truth | beside, truth, 1) == measures.outline_vertices(beside, 0.5)
    nothing = np.zeros_like(truth)
    assert measures.repair_vertices(nothing, truth, 1) == measures.outline_vertices(truth, 0.5)
    assert measures.repair_vertices(beside, nothing, 1) == measures.outline_vertices(beside, 0.5)


def test_the_rule_says_what_counts():
    assert "on which 20 clicks do not get there counts 20" in measures.rule()
    assert "counts 5 and is a failure" in measures.rule(5)
    assert "0.75 %" in measures.rule()
