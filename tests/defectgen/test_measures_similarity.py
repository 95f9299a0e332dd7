"""Multi-scale structural similarity equals torchmetrics', and the diversity made of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from defectlib.defectgen.measures import similarity
from defectlib.defectgen.measures.similarity import SCALE_WEIGHTS, diversity, ms_ssim, scales
from defectlib.runtime import numpy_generator


def images(count, height, width, seed=0):
    """Noise, rough and smooth."""
    drawn = numpy_generator(seed, "images").standard_normal((count, height, width, 3))
    smooth = [gaussian_filter(image, (blur, blur, 0)) for image, blur in zip(drawn, (0, 1, 3, 6), strict=False)]
    return np.stack([128 + 50 * image / image.std() for image in smooth]).clip(0, 255).astype(np.uint8)


def by_torchmetrics(a, b):
    x, y = (torch.from_numpy(image).movedim(-1, 0)[None].double() / 255 for image in (a, b))
    weights = np.array(SCALE_WEIGHTS[: scales(min(a.shape[:2]))])
    betas = tuple(weights / weights.sum())
    return float(multiscale_structural_similarity_index_measure(x, y, data_range=1.0, betas=betas))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (50, 67), (128, 100), (192, 192)])
def test_the_similarity_is_torchmetrics(height, width):
    drawn = images(4, height, width)
    mixed = (0.7 * drawn + 0.3 * drawn[::-1]).astype(np.uint8)
    for a, b in [(drawn[0], mixed[0]), (drawn[2], mixed[2]), (drawn[3], mixed[3]), (drawn[1], drawn[2])]:
        assert ms_ssim(a, b) == pytest.approx(by_torchmetrics(a, b), abs=1e-7)


def test_opposite_images_are_not_less_than_unlike():
    image = images(1, 64, 64)[0]
    assert ms_ssim(image, 255 - image) == 0 == pytest.approx(by_torchmetrics(image, 255 - image))


@pytest.mark.parametrize(
    ("side", "count"), [(10, 0), (11, 1), (21, 1), (22, 2), (32, 2), (64, 3), (88, 4), (175, 4), (176, 5), (1024, 5)]
)
def test_the_window_fits_the_coarsest_scale(side, count):
    assert scales(side) == count


def test_images_smaller_than_the_window_are_refused():
    small = np.zeros((10, 40, 3), np.uint8)
    with pytest.raises(ValueError, match="images of 10 × 40 px are smaller than the window of 11 px"):
        ms_ssim(small, small)


def test_diversity_is_one_minus_the_mean_over_pairs():
    drawn = images(4, 64, 64)
    expected = np.mean([by_torchmetrics(drawn[i], drawn[j]) for i in range(4) for j in range(i)])
    assert diversity(drawn) == pytest.approx(1 - expected, abs=1e-7)


def test_copies_have_no_diversity():
    assert diversity(np.repeat(images(1, 32, 32), 3, axis=0)) == pytest.approx(0, abs=1e-9)


def test_of_many_pairs_evenly_spaced_ones_stand_for_all(monkeypatch):
    few = images(4, 32, 32)
    drawn = few[np.arange(26) % 4]  # 325 pairs, of which 300 are taken
    assert diversity(drawn) == pytest.approx(_all_pairs(drawn), abs=0.02)
    calls = []
    monkeypatch.setattr(similarity, "ms_ssim", lambda a, b: calls.append(1) or 0.0)
    diversity(drawn)
    assert len(calls) == 300


def _all_pairs(drawn):
    return 1 - np.mean([ms_ssim(drawn[i], drawn[j]) for i in range(len(drawn)) for j in range(i)])
