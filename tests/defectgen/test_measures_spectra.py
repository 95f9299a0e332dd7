"""The radial power spectrum against closed forms, and that it finds blur and noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from defectlib.data.procedural import sample
from defectlib.defectgen.measures.spectra import radial_spectrum, spectrum_distance


def test_white_noise_has_its_variance_at_every_frequency():
    noise = 128 + 6 * np.random.default_rng(0).standard_normal((200, 64, 64, 1))
    images = np.repeat(noise, 3, axis=-1).round().astype(np.uint8)
    expected = 10 * np.log10(6**2 + 1 / 12)  # rounding to whole gray levels adds a twelfth
    assert radial_spectrum(images) == pytest.approx(np.full(31, expected), abs=0.3)


def test_a_wave_stands_at_its_number():
    x = np.arange(64)
    wave = 128 + 50 * np.sin(2 * np.pi * 9 * x / 64)
    images = np.broadcast_to(wave[None, None, :, None], (1, 64, 64, 3)).round().astype(np.uint8)
    assert radial_spectrum(images).argmax() == 9 - 1


@pytest.fixture(scope="module")
def surfaces() -> tuple[np.ndarray, np.ndarray]:
    images = np.stack([sample("twill", "eval", i, size=64).image for i in range(120)])
    return images[::2], images[1::2]


@pytest.mark.parametrize("fault", ["blur", "noise"])
def test_blurred_and_noisy_images_are_farther_than_other_real_ones(surfaces, fault):
    real, other = surfaces
    changed = {
        "blur": lambda: ndimage.gaussian_filter(other, (0, 1, 1, 0)),
        "noise": lambda: (other + np.random.default_rng(0).normal(0, 20, other.shape)).clip(0, 255).astype(np.uint8),
    }[fault]()
    assert spectrum_distance(changed, real) > 2 * spectrum_distance(other, real) > 0
