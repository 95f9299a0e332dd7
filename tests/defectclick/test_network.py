"""The network: shapes, what the refiner is given, and that elsewhere the coarse mask stands."""

import pytest
import torch
from torch.nn import functional

from defectclick.network import CHANNELS, FEATURES, ClickNetwork, crop_and_resize
from defectlib.profiles import load_profile

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ClickNetwork((8, 16, 20, 32), (1, 1, 1, 1)).eval()


@pytest.mark.parametrize("side", [32, 96])
def test_shapes(network, side):
    x = torch.randn(2, CHANNELS, side, side)
    coarse, features = network(x)
    assert coarse.shape == (2, 1, side // 4, side // 4)
    assert features.shape == (2, FEATURES, side // 4, side // 4)
    refined, boundary = network.refine(x, WHOLE.expand(2, -1), coarse, features)
    assert refined.shape == boundary.shape == (2, 1, side, side)


def test_every_input_reaches_the_coarse_mask_and_every_weight_learns(network):
    x = torch.randn(1, CHANNELS, 32, 32, requires_grad=True)
    coarse, features = network(x)
    refined, boundary = network.refine(x, WHOLE, coarse, features)
    (gradient,) = torch.autograd.grad(coarse.sum(), x, retain_graph=True)
    assert (gradient.abs().sum(dim=(0, 2, 3)) > 0).all()
    (coarse.square().sum() + refined.square().sum() + boundary.square().sum()).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []
    network.zero_grad()


def test_away_from_the_boundary_the_coarse_mask_stands(network):
    x = torch.randn(1, CHANNELS, 32, 32)
    coarse, features = network(x)
    with torch.no_grad():
        bias = network.refiner.heads[0].bias
        kept = bias.clone()
        bias[4:] = -1e4  # nothing is a boundary
        refined, _ = network.refine(x, WHOLE, coarse, features)
        bias.copy_(kept)
    expected = functional.interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(refined, expected, atol=1e-4, rtol=1e-4)


def test_crop_and_resize_is_cutting_and_scaling():
    x = torch.randn(2, 3, 16, 16)
    boxes = torch.tensor([[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.5, 0.5]])
    found = crop_and_resize(x, boxes, 8)
    torch.testing.assert_close(found, torch.stack([x[0, :, 4:12, 8:16], x[1, :, :8, :8]]))
    twice = crop_and_resize(x, boxes[1:].expand(2, -1), 16)[..., 4:12, 4:12]  # away from where the crop ends
    scaled = functional.interpolate(x[..., :8, :8], scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(twice, scaled[..., 4:12, 4:12])


def test_the_network_of_the_cpu_profile_is_small():
    settings = load_profile("cpu").clicker_training()
    count = sum(weight.numel() for weight in ClickNetwork(settings.widths, settings.depths).parameters())
    assert 0.5e6 < count < 1e6
