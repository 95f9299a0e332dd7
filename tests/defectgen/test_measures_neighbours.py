"""Precision to coverage and memorisation: loops written from the papers' formulas, extremes, expected values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from defectlib.defectgen.measures.memorisation import nearness, patch_nearness
from defectlib.defectgen.measures.neighbours import pairwise_rms, precision_recall_density_coverage, without_self
from defectlib.runtime import numpy_generator


@pytest.fixture
def generator():
    return numpy_generator(0, "test")


def by_loops(fake, real, k):
    """Kynkäänniemi et al. 2019, eq. 1 and 2; Naeem et al. 2020, eq. 3 and 4, word for word."""

    def radius(points, i):
        return sorted(math.dist(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]

    def inside(point, points, i):
        return math.dist(point, points[i]) <= radius(points, i)

    n, m = len(real), len(fake)
    return {
        "precision": sum(any(inside(y, real, i) for i in range(n)) for y in fake) / m,
        "recall": sum(any(inside(x, fake, j) for j in range(m)) for x in real) / n,
        "density": sum(inside(y, real, i) for y in fake for i in range(n)) / (k * m),
        "coverage": sum(any(inside(y, real, i) for y in fake) for i in range(n)) / n,
    }


# Precision, recall, density, coverage -------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "k"), [(24, 25, 3), (7, 12, 5), (12, 7, 1)])
@pytest.mark.parametrize("shift", [0, 0.8, 2])
def test_the_four_are_those_of_the_papers(generator, n, m, k, shift):
    fake, real = generator.standard_normal((n, 2)) + shift, generator.standard_normal((m, 2))
    assert precision_recall_density_coverage(fake, real, k) == pytest.approx(by_loops(fake, real, k))


def test_equal_sets(generator):
    points = generator.standard_normal((20, 4))
    found = precision_recall_density_coverage(points, points[::-1], k=4)
    # Each point lies in its own ball and, on average, in k of the others'.
    assert found == pytest.approx({"precision": 1, "recall": 1, "density": 5 / 4, "coverage": 1})


def test_sets_far_apart(generator):
    points = generator.standard_normal((20, 4))
    assert set(precision_recall_density_coverage(points, points + 100).values()) == {0.0}


def test_a_mode_that_is_never_sampled_costs_recall_and_coverage_and_no_precision(generator):
    near, far = generator.standard_normal((2, 20, 2))
    found = precision_recall_density_coverage(near, np.concatenate([near, far + 100]))
    assert found["precision"] == 1
    assert (found["recall"], found["coverage"]) == (0.5, 0.5)


def test_an_outlier_of_the_real_set_lifts_precision_and_not_density(generator):
    """What density was made for (Naeem et al. 2020, fig. 3)."""
    real, fake = generator.standard_normal((20, 2)), generator.standard_normal((20, 2)) + 30
    found = precision_recall_density_coverage(fake, np.concatenate([real, [[60, 60]]]))
    assert found["precision"] == 1
    assert found["density"] == pytest.approx(1 / 3)
    assert found["coverage"] == pytest.approx(1 / 21)


def test_samples_of_the_real_distribution_come_to_the_expected_density_and_coverage(generator):
    """Naeem et al. 2020, §3.3: whatever the distribution."""
    n, m, k = 25, 20, 3
    runs = [generator.standard_normal((n + m, 3)) for _ in range(600)]
    found = [precision_recall_density_coverage(run[n:], run[:n], k) for run in runs]
    missed = math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    assert np.mean([run["density"] for run in found]) == pytest.approx(1, abs=0.03)
    assert np.mean([run["coverage"] for run in found]) == pytest.approx(1 - missed, abs=0.02)


def test_few_points_make_do_with_the_neighbours_they_have():
    points = np.array([[0.0], [1.0]])
    assert precision_recall_density_coverage(points, points, k=3)["precision"] == 1


def test_distances_of_integers_are_exact(generator):
    a = generator.integers(0, 256, (5, 300), dtype=np.uint8)
    b = np.concatenate([a[:1], generator.integers(0, 256, (3, 300), dtype=np.uint8)])
    assert np.allclose(pairwise_rms(a, b), cdist(a.astype(float), b.astype(float)) / math.sqrt(300))
    assert pairwise_rms(a, b)[0, 0] == 0


# Memorisation -------------------------------------------------------------------------------------------------------


def images(generator, count, side=32):
    return generator.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_nearness_is_a_share_of_training_images():
    among = np.array([[0, 1, 4], [1, 0, 3], [4, 3, 0]])  # nearest: 1, 1, 3
    between = np.array([[0.5, 9, 9], [2, 9, 9], [9, 9, 3], [9, 9, 7]])
    assert nearness(between, among).tolist() == [1, 1 / 3, 1 / 6, 0]


def test_training_images_are_as_near_to_each_other_as_they_are(generator):
    among = cdist(*[generator.standard_normal((15, 3))] * 2)
    assert nearness(without_self(among), among).mean() == pytest.approx(0.5)


def test_fresh_samples_of_the_same_distribution_come_to_a_half(generator):
    runs = [generator.standard_normal((40, 2)) for _ in range(300)]
    found = [nearness(pairwise_rms(run[20:], run[:20]), pairwise_rms(run[:20], run[:20])).mean() for run in runs]
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)


def test_copies_are_told_and_so_are_images_pieced_together_from_copies(generator):
    training = images(generator, 8)
    pieced = training[:1].copy()
    for row in range(4):
        for column in range(4):
            place = np.s_[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            pieced[place] = training[(row + 3 * column) % 8][place[1:]]
    assert patch_nearness(training[:2], training).tolist() == [1, 1]
    # 16 of its 49 patches are copies and the others pieced together of these; as a whole it is far from all.
    assert patch_nearness(pieced, training)[0] > 0.9
    flat, flat_training = pieced.reshape(1, -1), training.reshape(8, -1)
    among = without_self(pairwise_rms(flat_training, flat_training))
    assert pairwise_rms(flat, flat_training).min() > 0.85 * among.min()
    assert patch_nearness(images(generator, 20), training).mean() == pytest.approx(0.5, abs=0.15)


def test_a_patch_counts_only_at_its_place(generator):
    training = images(generator, 8) // 8 + np.linspace(0, 200, 32).astype(np.uint8)[:, None, None]
    assert patch_nearness(training, training).min() == 1
    turned = patch_nearness(training[:, ::-1], training)
    assert turned.max() <= 1 / 7  # the places of the middle row are each other's mirror image
