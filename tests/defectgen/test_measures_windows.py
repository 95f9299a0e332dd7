"""The nearest window, found by Fourier transforms, is the one that comparing all of them finds."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from defectlib.defectgen.measures.windows import nearest_windows

RNG = np.random.default_rng(0)


def photograph(height, width):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def halved(image):
    h, w = (side // 2 * 2 for side in image.shape[:2])
    return image[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean(axis=(1, 3)) / 255


def by_comparing(crop, photo):
    """Distance and corner, in pixels of the whole photograph, window by window."""
    crop, photo = halved(crop), halved(photo)
    windows = sliding_window_view(photo, crop.shape)[:, :, 0]
    squared = ((windows - crop) ** 2).mean(axis=(-1, -2, -3))
    place = np.unravel_index(squared.argmin(), squared.shape)
    return np.sqrt(squared.min()), 2 * np.array(place)


@pytest.mark.parametrize("count", [3, 40])  # within one part of the work, and over several
def test_every_window_of_photographs_of_several_sizes_is_compared(count):
    photographs = [photograph(40, 31), photograph(18, 52), photograph(12, 12), photograph(13, 601)]  # the last in tiles
    crops = RNG.integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
    found = nearest_windows(crops, photographs)
    assert found.distance.shape == (count, 4)
    for n, m in np.ndindex(3, 4):
        distance, corner = by_comparing(crops[n], photographs[m])
        assert found.distance[n, m] == pytest.approx(distance, abs=1e-4)
        assert found.corner[n, m].tolist() == corner.tolist()


def test_a_copy_is_found_where_it_was_taken_and_is_at_no_distance():
    photographs = [photograph(64, 48), photograph(50, 70)]
    crop = photographs[1][22:38, 40:56]
    found = nearest_windows(crop[None], photographs)
    assert found.corner[0, 1].tolist() == [22, 40]
    assert found.distance[0, 1] == pytest.approx(0, abs=1e-3)
    assert found.distance[0, 0] > 0.1


def test_a_copy_moved_by_one_pixel_is_nearer_than_anything_else():
    smooth = np.kron(RNG.integers(0, 256, (5, 5, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    found = nearest_windows(smooth[11:43, 21:53][None], [smooth, smooth[::-1].copy()])
    assert found.distance[0, 0] < found.distance[0, 1] / 2
    assert abs(found.corner[0, 0] - [11, 21]).max() <= 1
