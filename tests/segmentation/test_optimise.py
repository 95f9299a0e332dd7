"""Optimised baselines give the outputs of those they were made from; what must not be folded is not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from defectlib.segmentation import optimise
from defectlib.segmentation.models import MODELS, Segmenter, build, parameter_count

IMAGE = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def lively(model):
    """``model`` in evaluation mode, with random statistics and scales in every batch normalisation."""
    draws = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2),
                (module.weight, 0.5, 1.2),
                (module.bias, -0.5, 0.5),
            ):
                tensor.detach().uniform_(low, high, generator=draws)
    return model.eval()


def relative(a, b):
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("name", MODELS)
def test_folded_is_unfolded(name):
    model = lively(build(name, 3))
    faster, done, _ = optimise.optimise(model, IMAGE, "fp32")
    with torch.inference_mode():
        before, after = model(IMAGE), faster(IMAGE)
    assert relative(after, before) < 1e-4
    assert done[1:] == ["channels_last"]
    found = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    left = [module for module in faster.modules() if isinstance(module, nn.BatchNorm2d)]
    folded = int(done[0].split()[0])
    assert len(found) - len(left) == folded
    if len(found) > 20:
        assert folded > 0.9 * len(found) - 2  # all but a few behind a pooling or in heads that only serve training


def test_what_was_given_is_left_as_it_was():
    model = lively(build("UNet", 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimise.optimise(model, IMAGE, "fp32")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_one_convolution_folded_by_hand():
    conv, norm = nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)
    model = lively(Segmenter(nn.Sequential(conv, norm), 32))
    optimise.fold_batch_norms(model, IMAGE)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(model.net[0].weight, conv.weight * scale.view(2, 1, 1, 1))
    torch.testing.assert_close(model.net[0].bias, (conv.bias - norm.running_mean) * scale + norm.bias)
    assert type(model.net[1]) is nn.Identity


class Wired(nn.Module):
    """Two convolutions and two normalisations, in a wiring of one's choice."""

    def __init__(self, wiring):
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 3, padding=1), nn.ConvTranspose2d(3, 3, 1)
        self.norm, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.wiring = wiring

    def forward(self, x):
        return self.wiring(self, x)


def _read_twice(net, x):
    y = net.conv(x)
    return net.norm(y) + y


WIRINGS = {
    "in a row": (lambda net, x: net.norm(net.conv(x)), 1),
    "transposed": (lambda net, x: net.second(net.other(x)), 1),
    "both": (lambda net, x: net.second(net.other(net.norm(net.conv(x)))), 2),
    "read twice": (_read_twice, 0),
    "convolution used twice": (lambda net, x: net.second(net.conv(net.norm(net.conv(x)))), 0),
    "normalisation used twice": (lambda net, x: net.norm(net.other(net.norm(net.conv(x)))), 0),
    "something between": (lambda net, x: net.norm(net.conv(x).relu()), 0),
    "something in place between": (lambda net, x: net.norm(net.conv(x).relu_()), 0),
    "the other way round": (lambda net, x: net.conv(net.norm(x)), 0),
}


@pytest.mark.parametrize(("wiring", "folded"), WIRINGS.values(), ids=WIRINGS)
def test_only_what_can_be_folded_is(wiring, folded):
    model = lively(Segmenter(Wired(wiring), 32))
    with torch.inference_mode():
        before = model(IMAGE)
        assert optimise.fold_batch_norms(model, IMAGE)[0] == folded
        assert relative(model(IMAGE), before) < 1e-5


def test_in_training_mode_nothing_can_be_folded():
    with pytest.raises(ValueError, match=r"call eval\(\) first"):
        optimise.fold_batch_norms(build("UNet", 3), IMAGE)


def test_in_bf16_products_are_rounded_and_logits_are_not():
    model = lively(build("UNet", 3))
    faster, done, dtype = optimise.optimise(model, IMAGE, "bf16")
    with torch.inference_mode():
        before, after = model(IMAGE), faster(IMAGE)
    assert done[-1] == dtype == "bf16"
    assert after.dtype == torch.float32
    assert 1e-4 < relative(after, before) < 0.1
    assert optimise.within(optimise.difference(after, before), "bf16")


def test_where_bf16_is_beyond_its_tolerance_the_copy_keeps_fp32(monkeypatch):
    monkeypatch.setitem(optimise.TOLERANCE, "bf16", (1e-5, 0.0))
    model = lively(build("UNet", 3))
    faster, done, dtype = optimise.optimise(model, IMAGE, "bf16")
    assert (done[-1], dtype) == ("fp32, as bf16 is beyond its tolerance", "fp32")
    with torch.inference_mode():
        assert optimise.within(optimise.difference(faster(IMAGE), model(IMAGE)), "fp32")


def test_parameters_of_heads_that_serve_training_alone_are_not_read():
    model = lively(build("PSP", 3))
    auxiliary = sum(weight.numel() for weight in model.net.auxiliary.parameters())
    assert auxiliary > 0
    every = sum(weight.numel() for weight in model.parameters())
    assert optimise.parameters_read(model, IMAGE) <= every - auxiliary
    unet = lively(build("UNet", 3))
    assert optimise.parameters_read(unet, IMAGE) == parameter_count(unet)


def test_difference_of_probabilities_and_of_decided_pixels():
    even, sure = torch.zeros(1, 2, 1, 4), torch.tensor([[0.0] * 4, [3.0] * 4]).view(1, 2, 1, 4)
    assert optimise.difference(even, even) == {"probability": 0, "changed": 0}
    other = sure.clone()
    other[..., 0] = -sure[..., 0]
    other[:, 0, :, 0] = 3
    found = optimise.difference(other, sure)  # the first pixel: (0, 3) has become (3, -3)
    assert found["changed"] == 0.25
    sigmoid = [1 / (1 + math.exp(-logit)) for logit in (3, -6)]
    assert found["probability"] == pytest.approx(sigmoid[0] - sigmoid[1])
    undecided = even.clone()
    undecided[:, 1, :, 0] = 0.1  # of another class, but none was preferred
    assert optimise.difference(undecided, even)["changed"] == 0


def test_what_is_no_number_is_not_within_the_tolerance():
    assert optimise.within({"probability": 1e-4, "changed": 0.0}, "fp32")
    assert not optimise.within({"probability": 2e-3, "changed": 0.0}, "fp32")
    assert not optimise.within({"probability": 0.0, "changed": 2e-3}, "fp32")
    assert not optimise.within({"probability": float("nan"), "changed": 0.0}, "fp32")
