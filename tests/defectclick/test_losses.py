"""The losses, against closed forms and an independent morphology."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from defectclick.network import EDGE_WEIGHT, NEAR, boundary, boundary_loss, mask_loss, normalised_focal_loss


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


def test_what_is_right_costs_nothing_and_pulls_nowhere():
    target = disk()
    logits = ((2 * target - 1) * 30).requires_grad_()
    loss = normalised_focal_loss(logits, target, None)
    loss.backward()
    assert loss < 1e-6
    assert logits.grad.abs().max() < 1e-6


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
