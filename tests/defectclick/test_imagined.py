"""Defects and materials that no product has: what they change, what they leave alone, and how they vary."""

import numpy as np
import pytest
from scipy import ndimage

from defectclick.imagined import LEAST_SEEN, imagined, patched
from defectlib import runtime
from defectlib.data import procedural


def draws(count):
    return (runtime.numpy_generator(0, "imagined", i) for i in range(count))


@pytest.fixture(scope="module")
def image():
    return procedural.sample("twill", "oracle", 0, size=64).image


def test_a_defect_is_seen_and_the_image_far_from_it_is_as_it_was(image):
    kept = image.copy()
    for draw in draws(60):
        found, target = imagined(image, draw)
        assert (found.shape, found.dtype, target.dtype) == (image.shape, np.uint8, bool)
        changed = np.abs(found.astype(int) - image)
        assert changed[target].mean() >= LEAST_SEEN
        assert not changed[ndimage.distance_transform_edt(~target) > 8].any()
    assert np.array_equal(image, kept)


def test_defects_are_large_and_small_thin_and_round(image):
    shares, widths = [], []
    for draw in draws(150):
        _, target = imagined(image, draw)
        shares.append(target.mean())
        widths.append(ndimage.distance_transform_edt(target).max() / np.sqrt(target.sum()))
    assert min(shares) < 0.005
    assert max(shares) > 0.1
    assert min(widths) < 0.2  # a line
    assert max(widths) > 0.45  # a disk: 0.56


def test_in_the_smallest_image_there_is_a_defect_too():
    for draw in draws(40):
        found, target = imagined(np.full((8, 11, 3), 255, np.uint8), draw)
        assert target.any()
        assert found.shape == (8, 11, 3)


def test_a_defect_follows_from_its_draw(image):
    (one, first), (two, second), (_, third) = (
        imagined(image, runtime.numpy_generator(seed, "imagined")) for seed in (0, 0, 1)
    )
    assert np.array_equal(one, two)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_patches_recolour_parts_and_leave_the_rest_and_the_image_given_alone():
    image = np.full((40, 60, 3), 100, np.uint8)
    image[10:20, 10:20] = 200
    kept = image.copy()
    found = [patched(image, draw) for draw in draws(60)]
    assert np.array_equal(image, kept)
    untouched = [np.array_equal(one, image) for one in found]
    assert 0.1 < np.mean(untouched) < 0.6
    assert any((one[0] == 100).any() and (one != image).any() for one in found)
    inside = [(one[12, 12].astype(int) != one[25, 12]).any() for one in found]
    assert np.mean(inside) > 0.9  # a defect goes on through a patch
