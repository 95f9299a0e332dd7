"""Walks against scikit-image's, which solves the same equations by other means, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.segmentation import random_walker

from defectclick.crops import BETA, first_met


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


def test_what_an_edge_shuts_in_is_met_first_from_within():
    image = np.zeros((12, 12, 3))
    image[:, 6:] = 1
    found = first_met(image, marked((12, 12), (5, 2, 1), (5, 9, 2)))
    assert found[:, :6].min() > 0.999
    assert found[:, 6:].max() < 0.001


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
