"""CycleGAN on tiny networks: its parts against closed forms, and one pair of images overfitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from defectlib.checkpoint import FILE
from defectlib.data import procedural
from defectlib.data.encode import decode, encode, stack
from defectlib.data.loading import load_train
from defectlib.defectgen.receptive_field import chain_field
from defectlib.device import generator
from defectlib.errors import UserError
from defectlib.rivals import cyclegan
from defectlib.settings import EmbeddedData, FolderData, RivalTraining

DATA = EmbeddedData(product="softgel", size=32, shots=1)
SETTINGS = RivalTraining(data=DATA, method="CycleGAN", steps=6, batch=2, channels=4, lr=1e-3, checkpoint_every=2)


@pytest.fixture(scope="module")
def x():
    samples = load_train(DATA)
    return encode(*stack(samples), len(samples[0].classes))


@pytest.fixture(scope="module")
def good():
    samples = [procedural.sample("softgel", "good", k, size=32) for k in range(3)]
    return encode(*stack(samples), len(samples[0].classes))


def trained(settings, x, good, unfinished):
    module = cyclegan.build(settings, x.shape[1], x.shape[-1])
    losses = cyclegan.train(module, settings, x, good, unfinished)
    return module, losses


def weights(module):
    return torch.cat([value.flatten().double() for value in module.state_dict().values()])


def test_the_critic_sees_34_pixels_a_side():
    network = cyclegan.critic(3, 4)
    assert chain_field([layer for layer in network if isinstance(layer, nn.Conv2d)]) == 34
    # Without normalisation, which reaches everywhere: what is left is the field of the layers.
    layers = nn.Sequential(*[layer for layer in network if not isinstance(layer, nn.InstanceNorm2d)])
    x = torch.randn(1, 3, 96, 96, generator=generator(0, "x"), requires_grad=True)
    judged = layers(x)
    middle = judged.shape[-1] // 2
    (gradient,) = torch.autograd.grad(judged[0, 0, middle, middle], x)
    rows, columns = np.nonzero((gradient[0] != 0).any(0).numpy())
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (34, 34)


@pytest.mark.parametrize("side", [32, 40, 64])
def test_a_generator_keeps_the_shape_and_the_range(side):
    made = cyclegan.translator(5, 4)(torch.randn(2, 5, side, side, generator=generator(0, "x")))
    assert made.shape == (2, 5, side, side)
    assert made.abs().max() <= 1


def test_a_generator_treats_each_image_by_itself():
    network, x = cyclegan.translator(5, 4), torch.randn(3, 5, 32, 32, generator=generator(0, "x"))
    torch.testing.assert_close(network(x)[1:2], network(x[1:2]), rtol=0, atol=1e-5)


def test_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(UserError, match=r"setting 'size' of the data is 34 px, but CycleGAN needs a multiple of 4 px"):
        cyclegan.build(SETTINGS, 5, 34)


def test_a_critic_is_right_where_real_is_1_and_fake_0():
    critic = nn.Flatten()
    real, fake = torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), 3.0)
    assert cyclegan.critic_loss(critic, real, fake).item() == pytest.approx(0.5 * (0.25 + 9))
    assert cyclegan.critic_loss(critic, torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).item() == 0


def test_the_pool_keeps_what_comes_while_there_is_room_then_shows_old_for_new_half_of_the_time():
    pool, draw = cyclegan.ImagePool((1, 1, 1), capacity=50), generator(0, "pool")
    images = torch.arange(2050.0).reshape(-1, 1, 1, 1)
    assert torch.equal(pool(images[:50], draw), images[:50])
    kept, swaps = set(range(50)), 0
    for image in images[50:]:
        shown, newest = int(pool(image[None], draw)), int(image)
        if shown != newest:
            assert shown in kept
            kept = kept - {shown} | {newest}
            swaps += 1
    assert {int(image) for image in pool.images} == kept
    assert swaps == pytest.approx(1000, abs=4 * np.sqrt(2000 / 4))


def test_the_pool_lets_no_gradient_through():
    pool = cyclegan.ImagePool((1, 2, 2))
    assert not pool(torch.ones(1, 1, 2, 2, requires_grad=True), generator(0)).requires_grad


def test_the_learning_rate_is_full_for_half_the_steps_then_falls_in_a_line(x, good):
    settings = SETTINGS.model_copy(update={"steps": 8})
    training = cyclegan._Training(cyclegan.build(settings, x.shape[1], 32), settings, x, good)
    assert [training.rate(step) for step in range(8)] == pytest.approx([1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_losses_of_a_step_are_those_of_the_paper(x, good):
    """Written out for networks that give constants; each loss is the sum of both directions."""
    settings = SETTINGS.model_copy(update={"batch": 1})
    module = cyclegan.build(settings, x.shape[1], 32)
    for parameter in module.parameters():
        parameter.data.zero_()
    a, b = good[:1], x[:1]
    training = cyclegan._Training(module, settings, b, a)
    losses = training.step(torch.optim.Adam(training.parameters(), fused=True), 0)
    to_zero = float(a.abs().mean() + b.abs().mean())
    assert float(losses["loss_adversarial"]) == pytest.approx(2.0)  # (0 − 1)² twice
    assert float(losses["loss_cycle"]) == float(losses["loss_identity"]) == pytest.approx(to_zero)
    assert float(losses["loss_critic"]) == pytest.approx(2 * 0.5)


@pytest.mark.parametrize("at", [3, 5])
def test_resumed_is_equal_to_undisturbed(at, x, good, tmp_path, monkeypatch, cut_off):
    """With a pool that is full before the cut, so that it must be found again."""
    monkeypatch.setattr(cyclegan, "POOL", 2)
    monkeypatch.setattr(cyclegan.ImagePool.__init__, "__defaults__", (2,))
    whole, losses = trained(SETTINGS, x, good, tmp_path / "whole")
    cut_off(lambda: trained(SETTINGS, x, good, tmp_path / "cut"), at)
    assert (tmp_path / "cut" / FILE).is_file()
    resumed, resumed_losses = trained(SETTINGS, x, good, tmp_path / "cut")
    assert torch.equal(weights(whole), weights(resumed))
    assert losses == resumed_losses


def test_seeds_decide(x, good, tmp_path):
    one, losses = trained(SETTINGS, x, good, tmp_path / "one")
    same, _ = trained(SETTINGS, x, good, tmp_path / "same")
    other, _ = trained(SETTINGS.model_copy(update={"seed": 1}), x, good, tmp_path / "other")
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(other))
    assert [point["step"] for point in losses] == [6]
    assert set(losses[0]) == {"step", "loss_adversarial", "loss_cycle", "loss_identity", "loss_critic"}


def test_every_network_learns(x, good, tmp_path):
    fresh = cyclegan.build(SETTINGS, x.shape[1], 32)
    module, _ = trained(SETTINGS, x, good, tmp_path)
    for name, value in fresh.state_dict().items():
        assert not torch.equal(value, module.state_dict()[name]), name


def test_a_pair_depends_on_its_own_generator_and_the_image_that_it_picks(x, good, tmp_path):
    module, _ = trained(SETTINGS, x, good, tmp_path)
    many = cyclegan.sample(module, SETTINGS, [generator(7, k) for k in range(6)], good)
    alone = cyclegan.sample(module, SETTINGS, [generator(7, 1)], good)
    assert many.shape == (6, *x.shape[1:])
    torch.testing.assert_close(many[1:2], alone, atol=1e-4, rtol=0)  # rounding in another batch
    with torch.no_grad():
        possible = [module.to_defective(image[None])[0] for image in good]
    assert {sum(torch.allclose(one, other, atol=1e-4) for other in possible) for one in many} == {1}


FOLDER = FolderData(root="/data/bolts", digest="0", split="splits/default.json")


@pytest.mark.parametrize(("data", "name"), [(DATA, "softgel"), (FOLDER, "/data/bolts")])
@pytest.mark.parametrize("good", [None, torch.empty(0, 5, 32, 32)], ids=["none", "empty"])
def test_without_defect_free_images_it_says_what_is_missing(data, name, good, x, tmp_path):
    settings = SETTINGS.model_copy(update={"data": data})
    module = cyclegan.build(settings, x.shape[1], 32)
    message = (
        f"{name}: there are no defect-free images, which CycleGAN starts from; "
        "add some with empty masks, or leave CycleGAN out"
    )
    for refused in (
        lambda: cyclegan.train(module, settings, x, good, tmp_path),
        lambda: cyclegan.sample(module, settings, [generator(0)], good),
    ):
        with pytest.raises(UserError) as told:
            refused()
        assert str(told.value) == message


def test_an_image_that_is_not_there_is_named(x, good, tmp_path):
    settings = SETTINGS.model_copy(update={"image": len(x)})
    with pytest.raises(UserError, match=f"setting 'image' is {len(x)}, but training images are numbered 0 to"):
        trained(settings, x, good, tmp_path)


def test_its_table_tells_what_is_done():
    table = {what: (paper, here, why) for what, paper, here, why in cyclegan.rows(SETTINGS, 64)}
    assert table["width"][1] == "4"
    assert table["training"][1].startswith("6 steps, batch 2, learning rate 0.001,")
    assert f"pool of {cyclegan.POOL}" in table["adversarial loss"][0]
    assert f"λ = {cyclegan.CYCLE:g}" in table["cycle loss"][0]


def test_it_overfits_one_image(x, good, tmp_path):
    """From one defect-free image to one defective pair and back."""
    settings = SETTINGS.model_copy(update={"steps": 150, "batch": 1, "channels": 8, "lr": 2e-3, "image": 1})
    module, losses = trained(settings, x, good[:1], tmp_path)
    pair = x[1:2]
    made = cyclegan.sample(module, settings, [generator(0)], good[:1])
    error = float((made - pair).abs().mean())
    before = float((good[:1] - pair).abs().mean())
    assert losses[-1]["loss_cycle"] < 0.2 * losses[0]["loss_cycle"]
    assert error < 0.5 * before
    there, wanted = decode(made)[1] > 0, decode(pair)[1] > 0
    assert (there & wanted).sum() > 0.5 * (there | wanted).sum()
