"""Densities of samples against closed forms: a Gaussian, a mixture, points."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from scipy.stats import norm

from defectlib.defectgen import density
from defectlib.defectgen.density import TRUTH, Mixture, Pushed, fit, mass_near, measure, points, push_forward, reverse
from defectlib.defectgen.diffusion import schedule
from defectlib.device import generator
from defectlib.settings import Density


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gaussian(mean: float, deviation: float) -> Mixture:
    return Mixture(double(1), double(mean), double(deviation))


THREE = double(-1.0, 0.25, 1.5)


def test_density_and_mass_of_a_mixture_are_scipys():
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    parts = list(zip(TRUTH.weights.tolist(), TRUTH.means.tolist(), TRUTH.deviations.tolist(), strict=True))
    assert TRUTH.density(x).numpy() == pytest.approx(sum(w * norm.pdf(x, m, s) for w, m, s in parts))
    assert TRUTH.cumulative(x).numpy() == pytest.approx(sum(w * norm.cdf(x, m, s) for w, m, s in parts))
    blurred = TRUTH.blurred(0.3).density(x)
    assert blurred.numpy() == pytest.approx(sum(w * norm.pdf(x, m, math.hypot(s, 0.3)) for w, m, s in parts))


def test_the_best_denoiser_is_the_posterior_mean():
    """Bayes' rule, integrated numerically, at a low, a middle and a high noise."""
    for t in (50, 400, 900):
        signal = float(schedule().alphas_cumprod[t].double() ** 0.5)
        noise = math.sqrt(1 - signal**2)
        for x_t in (-0.7, 0.3):
            parts = zip(TRUTH.weights.tolist(), TRUTH.means.tolist(), TRUTH.deviations.tolist(), strict=True)
            x_0 = np.linspace(-8, 8, 200_001)
            joint = sum(w * norm.pdf(x_0, m, s) for w, m, s in parts) * norm.pdf(x_t, signal * x_0, noise)
            mean = (x_0 * joint).sum() / joint.sum()
            assert float(TRUTH.denoise(double(x_t), t)) == pytest.approx(mean, rel=1e-5)


def test_of_points_the_best_denoiser_is_a_softmax_over_them():
    signal, noise = density._levels()[300]
    share = np.exp(-((0.4 - signal * THREE.numpy()) ** 2) / (2 * noise**2))
    assert float(points(THREE).denoise(double(0.4), 300)) == pytest.approx(share @ THREE.numpy() / share.sum())


def test_the_reverse_process_is_diffusers_ddim_with_every_step():
    ddim = DDIMScheduler.from_config(schedule().config)
    ddim.set_timesteps(1000)
    noise = double(-1.3, 0.1, 0.8)
    x = noise
    for t in ddim.timesteps:
        x = ddim.step(TRUTH.denoise(x, int(t)), t, x).prev_sample
    assert reverse(TRUTH.denoise, noise).numpy() == pytest.approx(x.numpy(), abs=1e-5)


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (0.7, 0.5), (-0.4, 0.1)])
def test_a_gaussian_comes_back(mean, deviation):
    """The probability flow of a Gaussian carries z to mean + deviation · z."""
    z = double(-2, -0.5, 0, 1.5)
    assert reverse(gaussian(mean, deviation).denoise, z).numpy() == pytest.approx(
        (mean + deviation * z).numpy(), abs=0.01
    )


def test_with_the_true_denoiser_the_truth_comes_back_and_no_mass_is_lost():
    found = measure(push_forward(TRUTH.denoise), points(THREE).means)
    assert found["variation"] < 0.005
    assert abs(found["divergence"]) < 1e-3
    assert found["mass"] == pytest.approx(1, abs=1e-3)
    assert found["near"] == pytest.approx(found["true_near"], abs=0.005)


def test_the_best_denoiser_of_points_returns_the_points():
    pushed = push_forward(points(THREE).denoise)
    assert mass_near(pushed, THREE, 1e-3) > 0.99
    for point in THREE.tolist():
        assert mass_near(pushed, double(point), 1e-3) == pytest.approx(1 / 3, abs=0.02)
    found = measure(pushed, THREE)
    assert found["near"] > 0.99
    assert found["true_near"] < 0.3
    assert found["variation"] > 0.7


def test_a_map_that_folds_keeps_its_mass():
    """|x| turns one half of the line over; its density is twice the normal one on the right of zero."""
    pushed = push_forward(lambda x, t: x.abs() if t == 0 else gaussian(0, 1).denoise(x, t))
    x = double(0.5, 1.0, 2.0)
    assert pushed.mass.sum() == pytest.approx(1)
    assert pushed.density(x, 0.01).numpy() == pytest.approx(2 * norm.pdf(x), rel=0.02)
    assert float(pushed.cumulative(double(-0.01))) == 0


def test_density_of_one_piece_is_a_blurred_box():
    piece = Pushed(double(1), double(-0.5), double(0.5))
    assert piece.density(double(0, 0.5, 2), 0.02).numpy() == pytest.approx([1, 0.5, 0], abs=1e-9)
    assert piece.cumulative(double(-1, 0.25, 1)).tolist() == [0, 0.75, 1]


def test_mass_near_counts_what_is_near_to_two_points_once():
    uniform = Pushed(double(1), double(0), double(1))
    assert mass_near(uniform, double(0.5, 0.55), 0.1) == pytest.approx(0.25)
    assert mass_near(uniform, double(0.2, 0.8, 0.2), 0.05) == pytest.approx(0.2)


def test_a_net_trained_on_one_gaussian_comes_close_to_the_best_denoiser():
    values = gaussian(0.4, 0.5).draw(2000, generator(0, "test"))
    net = fit(values, steps=300)
    x_t = torch.linspace(-1, 1, 9, dtype=torch.float64)
    for t in (100, 500, 900):
        assert net.denoise(x_t, t).numpy() == pytest.approx(gaussian(0.4, 0.5).denoise(x_t, t).numpy(), abs=0.12)


def test_training_is_the_same_each_time():
    first, second = (fit(THREE, steps=3, seed=1).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_stage_writes_both_densities(tmp_path):
    density.run(Density(samples=3, denoiser="optimum"), {}, tmp_path)
    found = json.loads((tmp_path / "density.json").read_text())
    assert len(found["places"]) == len(found["learned"]) == len(found["true"])
    assert len(found["points"]) == 3
    assert found["near"] > 0.98
