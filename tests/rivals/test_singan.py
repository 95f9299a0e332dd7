"""SinGAN on tiny pyramids: its parts against closed forms, and one image overfitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from defectlib.checkpoint import FILE
from defectlib.data.encode import encode, stack
from defectlib.data.loading import load_train
from defectlib.defectgen.receptive_field import chain_field
from defectlib.device import generator
from defectlib.errors import UserError
from defectlib.rivals import singan
from defectlib.settings import EmbeddedData, RivalTraining

DATA = EmbeddedData(product="softgel", size=32, shots=1)
SETTINGS = RivalTraining(data=DATA, method="SinGAN", steps=3, channels=4, lr=1e-3, image=1, checkpoint_every=2)


@pytest.fixture(scope="module")
def x():
    samples = load_train(DATA)
    return encode(*stack(samples), len(samples[0].classes))


def trained(settings, x, unfinished):
    module = singan.build(settings, x.shape[1], x.shape[-1])
    losses = singan.train(module, settings, x, None, unfinished)
    return module, losses


def weights(module):
    return torch.cat([value.flatten().double() for value in module.state_dict().values()])


def rms(x):
    return float(x.square().mean().sqrt())


def test_the_pyramid_goes_by_about_three_quarters_from_25_px_to_the_image():
    assert singan.scales(64) == [25, 34, 47, 64]
    assert singan.scales(32) == [25, 32]
    assert singan.scales(20) == [20]
    sides = singan.scales(250)  # the paper's largest images
    assert (sides[0], sides[-1], len(sides)) == (25, 250, 9)
    ratios = np.divide(sides[:-1], sides[1:])
    assert ratios == pytest.approx([3 / 4] * 8, abs=0.02)


def test_layers_are_twice_as_wide_every_four_scales():
    settings = SETTINGS.model_copy(update={"channels": 32})
    module = singan.build(settings, 5, 250)
    for nets in (module.generators, module.critics):
        assert [net[0].out_channels for net in nets] == [32] * 4 + [64] * 4 + [128]


def test_generator_and_critic_see_11_pixels_a_side():
    network = singan.patch_network(3, 8, 1)
    assert chain_field([layer for layer in network if isinstance(layer, nn.Conv2d)]) == 11
    # Without normalisation, which reaches everywhere: what is left is the field of the layers.
    layers = nn.Sequential(*[layer for layer in network if not isinstance(layer, nn.InstanceNorm2d)])
    x = torch.randn(1, 3, 31, 31, generator=generator(0, "x"), requires_grad=True)
    judged = layers(x)
    assert judged.shape[-2:] == (21, 21)
    (gradient,) = torch.autograd.grad(judged[0, 0, 10, 10], x)
    rows, columns = np.nonzero((gradient[0] != 0).any(0).numpy())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 20, 10, 20)


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope():
    critic = nn.Conv2d(3, 1, 1)
    nn.init.constant_(critic.weight, 2.0)
    real, fake = torch.randn(2, 1, 3, 6, 6, generator=generator(0, "pairs")).unbind()
    penalty = singan.gradient_penalty(critic, real, fake, generator(0, "mix"))
    slope = np.sqrt(3 * 2.0**2)
    assert penalty.item() == pytest.approx(singan.PENALTY * (slope - 1) ** 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, critic.weight)
    expected = singan.PENALTY * 2 * (slope - 1) * 2.0 / slope
    assert gradient.flatten().tolist() == pytest.approx([expected] * 3, rel=1e-5)


def test_the_penalty_is_taken_between_the_two_pairs():
    class Square(nn.Module):
        def forward(self, x):
            return 0.5 * x.square()  # of slope x

    real, fake = torch.full((1, 1, 4, 4), 3.0), torch.full((1, 1, 4, 4), 5.0)
    penalty = singan.gradient_penalty(Square(), real, fake, generator(0, "mix"))
    mix = torch.rand(1, generator=generator(0, "mix")).item()
    assert penalty.item() == pytest.approx(singan.PENALTY * (mix * 3 + (1 - mix) * 5 - 1) ** 2, rel=1e-5)


def test_a_scale_begins_with_the_weights_below_and_noise_as_strong_as_its_error(x, tmp_path):
    module = singan.build(SETTINGS, x.shape[1], 32)
    training = singan._Training(module, SETTINGS, x[1:2])
    training._enter(0, fresh=True)
    assert module.amplitudes[0] == 1
    training._enter(1, fresh=True)
    for nets in (module.generators, module.critics):
        below, above = (net.state_dict() for net in nets)
        assert all(torch.equal(value, above[name]) for name, value in below.items())
    error = (module.below(module.fixed(0)) - x[1:2]).square().mean().sqrt()
    assert module.amplitudes[1].item() == pytest.approx(0.1 * error.item(), rel=1e-5)
    before = module.amplitudes.clone()
    module.generators[1][0].weight.data.zero_()
    training._enter(1, fresh=False)  # after a kill: nothing may change
    assert torch.equal(before, module.amplitudes)
    assert not module.generators[1][0].weight.any()


def test_lower_scales_stand_still_and_losses_are_told(x, tmp_path):
    first, losses = trained(SETTINGS, x, tmp_path / "a")
    assert [point["step"] for point in losses] == [6]
    assert set(losses[0]) == {
        "step", "scale", "loss_critic", "loss_penalty", "loss_adversarial", "loss_reconstruction"
    }  # fmt: skip
    assert all(np.isfinite(list(losses[0].values())))
    training = singan._Training(first, SETTINGS, x[1:2])
    optimizer = torch.optim.Adam(first.parameters(), lr=0.1, fused=True)
    lower = ("generators.0.", "critics.0.")
    below = {name: value.clone() for name, value in first.state_dict().items() if name.startswith(lower)}
    assert below
    above = first.generators[1][0].weight.clone()
    training.step(optimizer, 4)
    assert all(torch.equal(value, first.state_dict()[name]) for name, value in below.items())
    assert not torch.equal(above, first.generators[1][0].weight)


def test_the_learning_rate_falls_late_in_each_scale(x):
    settings = SETTINGS.model_copy(update={"steps": 10})
    training = singan._Training(singan.build(settings, x.shape[1], 32), settings, x[:1])
    assert [training.rate(step) for step in range(20)] == ([1.0] * 8 + [0.1] * 2) * 2


@pytest.mark.parametrize("at", [3, 4, 5])  # in the second scale, at its first step, and later
def test_resumed_is_equal_to_undisturbed(at, x, tmp_path, cut_off):
    whole, losses = trained(SETTINGS, x, tmp_path / "whole")
    cut_off(lambda: trained(SETTINGS, x, tmp_path / "cut"), at)
    assert (tmp_path / "cut" / FILE).is_file()
    resumed, resumed_losses = trained(SETTINGS, x, tmp_path / "cut")
    assert torch.equal(weights(whole), weights(resumed))
    assert losses == resumed_losses


def test_seeds_decide(x, tmp_path):
    one, _ = trained(SETTINGS, x, tmp_path / "one")
    same, _ = trained(SETTINGS, x, tmp_path / "same")
    other, _ = trained(SETTINGS.model_copy(update={"seed": 1}), x, tmp_path / "other")
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(one.generators[0][0].weight, other.generators[0][0].weight)


def test_a_pair_depends_on_its_own_generator_alone(x, tmp_path):
    module, _ = trained(SETTINGS, x, tmp_path)
    three = singan.sample(module, SETTINGS, [generator(7, k) for k in range(3)], None)
    alone = singan.sample(module, SETTINGS, [generator(7, 1)], None)
    assert three.shape == (3, *x.shape[1:])
    assert three.abs().max() <= 1
    torch.testing.assert_close(three[1:2], alone, atol=1e-4, rtol=0)  # rounding in another batch
    assert not torch.allclose(three[0], three[1], atol=1e-4)


def test_what_is_saved_is_enough_to_sample(x, tmp_path):
    module, _ = trained(SETTINGS, x, tmp_path)
    again = singan.build(SETTINGS.model_copy(update={"seed": 5}), x.shape[1], 32)
    again.load_state_dict(module.state_dict())
    draws = [[generator(7, k) for k in range(2)] for _ in range(2)]
    assert torch.equal(singan.sample(module, SETTINGS, draws[0], None), singan.sample(again, SETTINGS, draws[1], None))
    assert torch.equal(singan.reconstruct(module), singan.reconstruct(again))


def test_bf16_is_the_same_up_to_its_rounding(x, tmp_path):
    one_step = SETTINGS.model_copy(update={"steps": 1})
    _, fine = trained(one_step, x, tmp_path / "fp32")
    _, coarse = trained(one_step.model_copy(update={"dtype": "bf16"}), x, tmp_path / "bf16")
    assert fine != coarse
    assert coarse[0]["loss_reconstruction"] == pytest.approx(fine[0]["loss_reconstruction"], rel=0.15)


def test_its_table_tells_what_is_done():
    table = {what: (paper, here, why) for what, paper, here, why in singan.rows(SETTINGS, 64)}
    assert table["scales"][1] == "4, factor 0.73, from 25 px"
    assert table["width"][1].startswith("4,")
    assert table["training"][1].startswith("3 steps per scale, learning rate 0.001,")
    assert f"λ = {singan.PENALTY}" in table["adversarial loss"][0]
    assert f"α = {singan.RECONSTRUCTION:g}" in table["reconstruction loss"][0]
    assert singan.rows(SETTINGS, 20)[1][2] == "1, factor 1.00, from 20 px"


def test_an_image_that_is_not_there_is_named(x, tmp_path):
    settings = SETTINGS.model_copy(update={"image": len(x)})
    with pytest.raises(
        UserError, match=f"setting 'image' is {len(x)}, but training images are numbered 0 to {len(x) - 1}$"
    ):
        trained(settings, x, tmp_path)


def test_it_overfits_one_image(x, tmp_path):
    """The fixed noise gives the training pair back, other noise gives other pairs."""
    settings = SETTINGS.model_copy(update={"steps": 60, "channels": 16})
    module, _ = trained(settings, x, tmp_path)
    pair = x[1:2]
    error, blank = rms(singan.reconstruct(module) - pair), rms(pair - pair.mean(dim=(2, 3), keepdim=True))
    assert error < 0.17
    assert error < 0.6 * blank
    samples = singan.sample(module, settings, [generator(0, k) for k in range(4)], None)
    assert rms(samples - pair) > 1.5 * error
    assert rms(samples - samples.roll(1, dims=0)) > error
