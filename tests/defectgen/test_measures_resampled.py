"""The patch distance of resamples: that of the set itself where nothing is drawn twice, and of a part where it is."""

from __future__ import annotations

import numpy as np
import pytest

from defectlib.data import procedural
from defectlib.defectgen.measures.resampled import resampled_patch_distance
from defectlib.defectgen.measures.wasserstein import patch_distance
from defectlib.runtime import numpy_generator


def images(first, count):
    return np.stack([procedural.sample("softgel", "train", first + k, size=32).image for k in range(count)])


def distance(ours, theirs):
    return patch_distance(ours, theirs, numpy_generator(0, "patch distance"))


def test_it_is_the_patch_distance_of_what_was_drawn():
    ours, theirs = images(0, 6), images(10, 5)
    weights = np.array([[1, 1, 1, 1, 1, 1], [2, 2, 2, 0, 0, 0], [0, 0, 0, 0, 0, 6]])
    expected = [distance(ours, theirs), distance(ours[:3], theirs), distance(ours[5:], theirs)]
    assert resampled_patch_distance(ours, theirs, weights) == pytest.approx(expected, rel=0.02)


def test_a_shift_of_all_pixels():
    theirs = images(0, 4) // 2
    found = resampled_patch_distance(theirs + 51, theirs, np.ones((1, 4), int))
    assert found == pytest.approx([distance(theirs + 51, theirs)], rel=0.02)


def test_equal_sets_are_at_zero():
    assert resampled_patch_distance(images(0, 4), images(0, 4), np.ones((1, 4), int)) == pytest.approx([0], abs=1e-9)
