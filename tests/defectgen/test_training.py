"""A resumed training ends in the weights of one that was never cut off; the loss is what it says."""

import math
from itertools import pairwise

import pytest
import torch
from diffusers.training_utils import EMAModel

from defectlib import checkpoint
from defectlib.data import procedural
from defectlib.data.encode import encode, stack
from defectlib.defectgen import training
from defectlib.defectgen.diffusion import T, schedule
from defectlib.device import generator
from defectlib.runtime import child_seed, progress
from defectlib.settings import DenoiserTraining, SmallNet
from tests.defectgen.conftest import LARGE, SMALL


def weights(denoiser):
    return torch.cat([p.detach().flatten() for p in denoiser.parameters()])


SAME = 0.03
"""Below it two trainings are one up to rounding, see :func:`distance`; on other samples it is 0.29.

A bias before normalisation has no gradient but what rounding leaves, and Adam makes whole steps even of that.
"""


def distance(settings, one, other):
    """Of two nets, as a share of the way that the first has come since its start."""
    channels, seed = one.config.channels, child_seed(settings.seed, "init")
    start = weights(training.build_denoiser(settings.net, channels, seed))
    return float((weights(one) - weights(other)).norm() / (weights(one) - start).norm())


def plainly_trained(settings, samples):
    """The averaged weights and the losses of the method written out: no sharing, no parts, no log, no checkpoint."""
    x = encode(*stack(samples), len(samples[0].classes))
    denoiser = training.build_denoiser(settings.net, x.shape[1], child_seed(settings.seed, "init")).train()
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    ema = EMAModel(denoiser.parameters(), decay=settings.ema)
    losses = []
    for step in range(settings.steps):
        optimizer.param_groups[0]["lr"] = settings.lr * training.learning_rate_factor(step, settings.steps)
        x_0 = x[torch.randint(len(x), (settings.batch,), generator=generator(settings.seed, "order", step))]
        noise = generator(settings.seed, "noise", step)
        t = torch.randint(T, (settings.batch,), generator=noise)
        epsilon = torch.randn(x_0.shape, generator=noise)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.dtype == "bf16"):
            prediction = denoiser(schedule().add_noise(x_0, epsilon, t), t)
        loss = training.reconstruction_loss(prediction.float(), x_0, settings.mask_weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.step(denoiser.parameters())
        losses.append(loss.item())
    ema.copy_to(denoiser.parameters())
    return denoiser, losses


@pytest.mark.parametrize(("settings", "dtype"), [(LARGE, "fp32"), (SMALL, "fp32"), (SMALL, "bf16")])
def test_on_a_cpu_it_is_the_plain_loop_to_the_bit(settings, dtype, samples, tmp_path):
    """Pinned as a loop and not as a digest, since the same arithmetic gives other bits on another processor."""
    settings = settings.model_copy(update={"steps": 12, "dtype": dtype})
    plain, plain_losses = plainly_trained(settings, samples)
    trained, losses = training.train(settings, samples, tmp_path)
    assert torch.equal(weights(plain), weights(trained))
    assert [point["loss"] for point in losses] == [sum(plain_losses[:10]) / 10, sum(plain_losses[10:]) / 2]


def test_a_batch_in_parts_is_one_batch_up_to_rounding(samples, tmp_path):
    whole = SMALL.model_copy(update={"batch": 8, "steps": 12})
    parts = whole.model_copy(update={"accumulate": 2})
    (one, losses), (two, their_losses) = (
        training.train(s, samples, tmp_path / name) for name, s in (("whole", whole), ("parts", parts))
    )
    assert not torch.equal(weights(one), weights(two))
    assert distance(whole, one, two) < SAME
    for a, b in zip(losses, their_losses, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)


def test_a_compiled_network_trains_the_same_weights(samples, tmp_path, monkeypatch):
    """With torch's own kernels behind it; what matters here is that the weights are shared and saved by their names."""
    settings = SMALL.model_copy(update={"steps": 3, "checkpoint_every": 2})
    plain, _ = training.train(settings, samples, tmp_path / "plain")
    monkeypatch.setattr(training, "compiled", lambda network, device, steps: torch.compile(network, backend="eager"))
    compiled, _ = training.train(settings, samples, tmp_path / "compiled")
    resumed, _ = training.train(settings, samples, tmp_path / "compiled")
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for network in (compiled, resumed):
        torch.testing.assert_close(weights(network), weights(plain), rtol=0, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_learns_what_a_cpu_learns(samples, tmp_path):
    settings = LARGE.model_copy(update={"steps": 20})
    _, losses = training.train(settings, samples, tmp_path / "cpu")
    on_gpu = settings.model_copy(update={"device": "cuda", "dtype": "bf16", "samples_every": 10})
    trained, gpu_losses = training.train(on_gpu, samples, tmp_path / "gpu")
    assert all(weight.is_contiguous() for weight in trained.parameters())
    for a, b in zip(losses, gpu_losses, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=0.02)


class CutOff(Exception):
    """Stands for a kill."""


OWN = SMALL.model_copy(
    update={
        "net": SmallNet(receptive_field=9, channels=8, padding="reflect", prediction="v"),
        "crop": 32,
        "flips": True,
        "gray_noise": True,
    }
)


@pytest.mark.parametrize("settings", [LARGE, SMALL, OWN], ids=["large", "small", "own defects"])
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


def test_a_constant_learning_rate_neither_rises_nor_falls():
    settings = LARGE.model_copy(update={"steps": 2000, "lr": 3e-4, "lr_schedule": "constant"})
    assert {training.learning_rate(settings, step) for step in (0, 50, 1999)} == {3e-4}
    assert training.learning_rate(settings.model_copy(update={"lr_schedule": "cosine"}), 0) == pytest.approx(3e-6)


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
