"""SinDiffusion and DDPM: denoisers on one image or all, and what is said of them."""

from __future__ import annotations

import pytest
import torch

from defectlib.data.encode import encode, stack
from defectlib.data.loading import load_train
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.training import load_denoiser
from defectlib.device import generator
from defectlib.engine import RUNNERS
from defectlib.profiles import load_profile
from defectlib.rivals import ddpm, sindiffusion
from defectlib.settings import EmbeddedData, LargeNet, SmallNet
from defectlib.store import Store

DATA = EmbeddedData(product="softgel", size=32, shots=1, eval_count=3)


class Oracle(torch.nn.Module):
    """A net that knows one pair by heart, and records what it is asked."""

    def __init__(self, known: torch.Tensor) -> None:
        super().__init__()
        self.known, self.asked = known, []

    def forward(self, x_t: torch.Tensor, timestep: int) -> torch.Tensor:
        self.asked.append((x_t, timestep))
        return self.known


def test_a_reconstruction_is_one_call_on_the_noised_pair():
    pair = encode(*stack(load_train(DATA)[:1]), 5)
    net = Oracle(pair / 2)
    assert torch.equal(sindiffusion.reconstruct(net, pair), pair / 2)
    ((x_t, timestep),) = net.asked
    share = schedule().alphas_cumprod[timestep]
    assert share == pytest.approx(0.5, abs=0.02)  # as much image as noise
    noise = (x_t - share.sqrt() * pair) / (1 - share).sqrt()
    torch.testing.assert_close(noise, torch.randn(pair.shape, generator=generator(0, "reconstruct")))


@pytest.mark.parametrize(("size", "field"), [(32, 9), (64, 25), (128, 45), (256, 101)])
def test_the_field_is_that_share_of_the_image_that_its_authors_have(size, field):
    profile = load_profile("cpu", size=size)
    net = profile.sindiffusion(profile.data("softgel"), 1).net
    assert net == SmallNet(receptive_field=field, channels=48 if field <= 25 else 32)


def test_training_sees_the_one_image_alone(tmp_path):
    profile = load_profile("smoke", shots=2)
    first, again, other = (profile.sindiffusion(profile.data("softgel"), image) for image in (1, 1, 2))
    store = Store(tmp_path / "store", shipped=None)
    nets = [load_denoiser(store.build(settings, RUNNERS)) for settings in (first, other)]
    assert first.key() == again.key() != other.key()
    assert any(not torch.equal(a, b) for a, b in zip(*(net.parameters() for net in nets), strict=True))
    # A net on image 1 of ten trains as one on a dataset that has no other.
    from defectlib.defectgen.training import train

    alone, _ = train(first.model_copy(update={"image": None}), load_train(first.data)[1:2], tmp_path / "alone")
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), alone.parameters(), strict=True))


def test_one_net_alone_samples_over_all_timesteps():
    profile = load_profile("smoke")
    data = profile.data("softgel")
    small, large = profile.alone(profile.sindiffusion(data, 1)), profile.alone(profile.ddpm_one(data, 1), 3)
    assert (small.switch_step, large.switch_step) == (1000, 0)
    assert (small.count, large.count) == (profile.gallery, 3)
    assert isinstance(large.large.net, LargeNet)
    assert small.small.image == large.large.image == 1


def test_what_is_said_follows_from_the_settings():
    profile = load_profile("gpu")
    data = profile.data("softgel")
    said = {row[0]: row[2] for row in sindiffusion.rows(profile.alone(profile.sindiffusion(data, 1)))}
    assert said["receptive field"] == "101 px of 256"
    assert said["network"] == "U-Net, width 192 384 768, residual blocks 1"
    assert said["training"] == "50,000 steps, batch 16, learning rate 0.0005, EMA 0.9999"
    assert said["sampling"] == f"{profile.num_inference_steps} calls ({profile.sampler})"
    large = {row[0]: row[2] for row in ddpm.rows(profile.synthesis(data, switch_step=0))}
    assert large["network"].startswith("U-Net, width 128 128 256 256 512 512, residual blocks 2, attention at 3 of")
    assert "folded" not in large["network"]
    assert large["training"].startswith("160,000 steps, batch 2")
