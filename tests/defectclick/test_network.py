"""The network: shapes, what the refiner is given, and that elsewhere the coarse mask stands."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from defectclick.network import (
    CHANNELS,
    EDGE_WEIGHT,
    FEATURES,
    NEAR,
    ClickNetwork,
    boundary,
    boundary_loss,
    crop_and_resize,
    mask_loss,
    normalised_focal_loss,
)

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


# Losses, against closed forms and an independent morphology -----------------------------------------------------------


def disk(side=24, radius=7):
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    return torch.from_numpy((rows**2 + columns**2 <= radius**2).astype(np.float32))[None, None]


def test_where_all_pixels_are_as_hard_it_is_cross_entropy():
    target = disk()
    logits = (2 * target - 1) * -0.7  # everywhere as wrong
    expected = functional.binary_cross_entropy_with_logits(logits, target)
    assert float(normalised_focal_loss(logits, target, None)) == pytest.approx(float(expected), rel=1e-5)


def test_an_easy_image_weighs_as_much_as_its_hard_pixels():
    target, logits = torch.zeros(1, 1, 10, 10), torch.full((1, 1, 10, 10), -6.0)
    logits[..., :5, 0] = 3.0  # five wrong ones
    wrong = functional.softplus(torch.tensor(3.0))
    # Their weights make up nearly all the sum of weights, so the mean is nearly theirs alone.
    assert float(normalised_focal_loss(logits, target, None)) == pytest.approx(float(wrong), rel=0.01)


def test_the_boundary_is_what_dilation_adds_and_erosion_takes():
    target = disk()
    square = np.ones((2 * NEAR + 1,) * 2, bool)
    mask = target[0, 0].numpy() > 0
    expected = ndimage.binary_dilation(mask, square) & ~ndimage.binary_erosion(mask, square, border_value=1)
    assert np.array_equal(boundary(target)[0, 0].numpy() > 0, expected)
    assert boundary(torch.ones(1, 1, 8, 8)).sum() == 0  # the border of a crop is no boundary


@pytest.mark.parametrize("sensitive", [True, False])
def test_sensitive_to_edges_an_error_there_pulls_harder_than_one_inside(sensitive):
    target = disk()
    edge = ((boundary(target) > 0) & (target > 0)).flatten().nonzero()[0]
    inner = ((boundary(target) == 0) & (target > 0)).flatten().nonzero()[0]
    logits = (2 * target - 1) * 4
    logits.view(-1)[torch.cat([edge, inner])] *= -1  # both wrong alike
    logits.requires_grad_()
    mask_loss(logits, target, sensitive).backward()
    pull = logits.grad.flatten()
    assert float(pull[edge] / pull[inner]) == pytest.approx(1 + EDGE_WEIGHT * sensitive, rel=1e-3)


def test_boundary_loss_is_least_for_the_boundary():
    target = disk()
    truth = 2 * boundary(target) - 1
    assert boundary_loss(20 * truth, target) < 1e-6
    assert float(boundary_loss(torch.zeros_like(truth), target)) == pytest.approx(np.log(2))
