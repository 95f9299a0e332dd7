"""A resumed training ends in the weights of one that was never cut off; the loss is what it says."""

import math
from itertools import pairwise

import pytest
import torch

from defectlib.config import DenoiserTraining
from defectlib.data import procedural
from defectlib.defectgen import checkpoint, training
from defectlib.defectgen.diffusion import T, schedule
from defectlib.runtime import progress
from tests.defectgen.conftest import LARGE, SMALL


def weights(denoiser):
    return torch.cat([p.detach().flatten() for p in denoiser.parameters()])


class CutOff(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(
    "settings", [LARGE, SMALL, LARGE.model_copy(update={"crop": 32})], ids=["large", "small", "crop"]
)
def test_resumed_is_equal_to_undisturbed(settings, samples, tmp_path, monkeypatch):
    whole, losses = training.train(settings, samples, tmp_path / "whole")

    def cut_off_at_5(total, what, initial=0, unit="step"):
        bar = progress(total, what, initial, unit)
        done = []

        def counted(n=1):
            done.append(n)
            if initial == 0 and len(done) == 5:
                raise CutOff

        bar.update = counted
        return bar

    monkeypatch.setattr(training.runtime, "progress", cut_off_at_5)
    with pytest.raises(CutOff):
        training.train(settings, samples, tmp_path / "cut")
    assert (tmp_path / "cut" / checkpoint.FILE).is_file()
    resumed, resumed_losses = training.train(settings, samples, tmp_path / "cut")
    assert torch.equal(weights(whole), weights(resumed))
    assert [point["step"] for point in losses] == [point["step"] for point in resumed_losses] == [6]


def test_a_checkpoint_cut_in_half_is_as_good_as_none(samples, tmp_path):
    whole, _ = training.train(LARGE, samples, tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    path = tmp_path / "cut" / checkpoint.FILE
    content = (tmp_path / "whole" / checkpoint.FILE).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    again, _ = training.train(LARGE, samples, tmp_path / "cut")
    assert torch.equal(weights(whole), weights(again))


def test_what_samples_is_the_average_and_not_the_last_step(samples, tmp_path):
    slow, _ = training.train(LARGE.model_copy(update={"ema": 0.999}), samples, tmp_path / "a")
    fast, _ = training.train(LARGE.model_copy(update={"ema": 0.01}), samples, tmp_path / "b")
    assert not torch.equal(weights(slow), weights(fast))


def test_the_loss_weighs_mask_channels():
    x_0 = torch.zeros(2, 5, 4, 4)
    off = torch.zeros_like(x_0)
    off[:, :3] = 1.0
    assert float(training.reconstruction_loss(off, x_0, 2.0)) == pytest.approx(3 / 5)
    off = torch.zeros_like(x_0)
    off[:, 3:] = 1.0
    assert float(training.reconstruction_loss(off, x_0, 2.0)) == pytest.approx(2 * 2 / 5)


def test_the_learning_rate_rises_and_ends_near_zero():
    factors = [training.learning_rate_factor(step, 2000) for step in range(2000)]
    assert factors[0] == pytest.approx(1 / 100)
    assert max(factors) == factors[99] == pytest.approx(1)
    assert factors[-1] < 1e-5
    assert all(a >= b for a, b in pairwise(factors[100:]))


def test_the_schedule_is_the_cosine_one():
    """ᾱ_t = f(t + 1) / f(0) with f(t) = cos²((t/T + s)/(1 + s) · π/2), s = 0.008 (Nichol & Dhariwal 2021, eq. 17)."""
    alpha_bar = schedule().alphas_cumprod
    for t in (0, 200, 400, 800):
        f = [math.cos((n / T + 0.008) / 1.008 * math.pi / 2) ** 2 for n in (0, t + 1)]
        assert float(alpha_bar[t]) == pytest.approx(f[1] / f[0], abs=1e-4)


def test_it_learns(tmp_path):
    """A hundred steps on one image bring the loss to a fraction of where it began."""
    sample = (procedural.sample("brushed_plate", "train", 0, size=32),)
    settings = DenoiserTraining(data=LARGE.data, net=SMALL.net, steps=100, batch=4, lr=5e-3)
    _, losses = training.train(settings, sample, tmp_path)
    assert losses[-1]["loss"] < 0.4 * losses[0]["loss"]


def test_a_finished_training_is_loaded_as_it_was_saved(store, samples, tmp_path):
    artifact = store.find(LARGE)
    assert {path.name for path in artifact.iterdir()} == {"net", "losses.json", "provenance.json"}
    assert not any(path.suffix in (".bin", ".pt", ".pkl") for path in artifact.rglob("*"))
    trained, _ = training.train(LARGE, samples, tmp_path / "again")
    assert torch.equal(weights(training.load_denoiser(artifact)), weights(trained))
