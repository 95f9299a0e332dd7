"""Sliced Wasserstein distance: closed forms, and scipy's distance for every projection."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import norm, wasserstein_distance

from defectlib.defectgen.measures.patches import patches, patches_of_all, side_of
from defectlib.defectgen.measures.wasserstein import directions, patch_distance, sliced, wasserstein
from defectlib.runtime import numpy_generator


@pytest.fixture
def generator():
    return numpy_generator(0, "test")


def mean_cosine(dimensions):
    """E|θ₁| for θ uniform on the unit sphere."""
    return math.exp(gammaln(dimensions / 2) - gammaln((dimensions + 1) / 2)) / math.sqrt(math.pi)


def noise(seed, count=3, side=32):
    return numpy_generator(seed, "images").integers(0, 256, (count, side, side, 3), dtype=np.uint8)


# One dimension ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 7), (5, 12), (24, 25)])
def test_the_distance_is_scipys_with_ties_and_unequal_numbers(generator, n, m):
    x, y = generator.standard_normal(n), 3 * generator.standard_normal(m)
    assert wasserstein(x, y) == pytest.approx(wasserstein_distance(x, y), rel=1e-12)
    x, y = generator.integers(0, 4, n), generator.integers(0, 4, m)
    assert wasserstein(x, y) == pytest.approx(wasserstein_distance(x, y), abs=1e-12)


def test_gaussians_have_the_closed_form():
    quantiles = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    assert wasserstein(quantiles, quantiles + 0.7) == pytest.approx(0.7)
    assert wasserstein(2 * quantiles, 5 * quantiles) == pytest.approx(3 * math.sqrt(2 / math.pi), rel=1e-3)


def test_a_distance_is_symmetric_and_zero_between_equals(generator):
    x, y = generator.standard_normal(9), generator.standard_normal(6)
    assert wasserstein(x, y) == pytest.approx(wasserstein(y, x))
    assert wasserstein(x, np.concatenate([x, x])[::-1]) == pytest.approx(0, abs=1e-12)


# Many dimensions ----------------------------------------------------------------------------------------------------


def test_the_sliced_distance_is_scipys_mean_over_projections(generator):
    a, b, along = generator.standard_normal((8, 5)), generator.standard_normal((11, 5)), directions(5, 7, generator)
    expected = np.mean([wasserstein_distance(a @ v, b @ v) for v in along.T])
    assert sliced(a, b, along) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dimensions", [2, 3, 48])
def test_a_shift_gives_its_length_times_the_mean_cosine(generator, dimensions):
    a, shift = generator.standard_normal((6, dimensions)), generator.standard_normal(dimensions)
    expected = np.linalg.norm(shift) * mean_cosine(dimensions)
    assert sliced(a, a + shift, directions(dimensions, 20_000, generator)) == pytest.approx(expected, rel=0.02)
    assert mean_cosine(2) == pytest.approx(2 / math.pi)


def test_directions_are_unit_vectors_that_favour_none(generator):
    drawn = directions(3, 20_000, generator)
    assert np.allclose(np.linalg.norm(drawn, axis=0), 1)
    assert np.allclose(drawn @ drawn.T / drawn.shape[1], np.eye(3) / 3, atol=0.02)


# Patches ------------------------------------------------------------------------------------------------------------


def test_patches_reach_every_edge_and_keep_their_place():
    image = noise(0, count=1, side=10)[0]
    found = patches(image, 4, 32).reshape(-1, 3, 4, 4)  # windows put the colour first
    assert len(found) == 16  # starts 0, 2, 4, 6: no nearer than half a patch
    assert np.array_equal(found[0], image[:4, :4].transpose(2, 0, 1))
    assert np.array_equal(found[1], image[:4, 2:6].transpose(2, 0, 1))
    assert np.array_equal(found[-1], image[6:, 6:].transpose(2, 0, 1))
    assert len(patches(image, 4, 3)) == 9
    assert len(patches(image, 10, 3)) == 1


def test_patches_that_do_not_overlap_cover_the_image_once():
    images = noise(0, count=2, side=32)
    found = patches_of_all(images, 1 / 4, 4)
    assert found.shape == (2, 16, 192)
    assert np.array_equal(np.sort(found.reshape(2, -1)), np.sort(images.reshape(2, -1)))
    assert side_of(np.zeros((1, 6, 64, 3)), 1 / 16) == 1


def test_equal_sets_are_at_no_distance_in_any_order():
    images = noise(0)
    assert patch_distance(images, images[::-1], numpy_generator(0, "p")) == pytest.approx(0, abs=1e-3)


def test_brightness_gives_four_fifths_of_its_difference_and_black_from_white_the_most(generator):
    grey = np.full((3, 32, 32, 3), 100, np.uint8)
    some = np.mean([patch_distance(grey, grey + np.uint8(51), generator) for _ in range(8)])
    assert some == pytest.approx(800 * 0.2, rel=0.05)
    most = np.mean([patch_distance(0 * grey, 0 * grey + np.uint8(255), generator) for _ in range(8)])
    assert most == pytest.approx(800, rel=0.05)


def test_details_count_and_their_place_does_not():
    """The same spots elsewhere are as before; a blur of them is not."""
    images = np.full((4, 32, 32, 3), 128, np.uint8)
    images[:, 8:12, 8:12] = 255
    moved, soft = np.roll(images, 8, axis=2), images.copy()
    soft[:, 6:14, 6:14] = 160
    draws = [numpy_generator(0, "p") for _ in range(2)]
    assert patch_distance(images, moved, draws[0]) < 0.1 * patch_distance(images, soft, draws[1])


def test_projections_come_from_the_generator_alone():
    distances = [patch_distance(noise(0), noise(1), numpy_generator(seed, "p")) for seed in (0, 0, 1)]
    assert distances[0] == distances[1] != distances[2]
