"""What the baselines minimise, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from defectlib.segmentation import losses
from defectlib.segmentation.losses import MatchingLoss, PixelLoss, class_weights, criterion
from defectlib.segmentation.mask2former import Queries
from defectlib.segmentation.models import MODELS, build


def halves():
    """One image of 4 px, its upper half of class 1."""
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    target[0, :2] = 1
    return target


def test_even_logits_closed_form():
    # Even logits: cross-entropy log 2 under any weights; soft Dice of each class 2 * 4 / (8 + 8).
    loss = PixelLoss(torch.tensor([1.0, 3.0]))([torch.zeros(1, 2, 4, 4)], halves())
    assert loss.item() == pytest.approx(math.log(2) + 0.5)


def test_auxiliary_heads_count_by_their_weight():
    even = torch.zeros(1, 2, 4, 4)
    loss = PixelLoss(torch.ones(2), auxiliary=0.4)([even, even, even], halves())
    assert loss.item() == pytest.approx((1 + 2 * 0.4) * (math.log(2) + 0.5))


def test_class_weights_are_the_inverse_root_of_frequency_up_to_a_limit():
    mask = torch.zeros(10, 10, dtype=torch.uint8)
    mask[:2] = 1  # 20 pixels
    mask[2, 0] = 2  # 1 pixel
    weights = class_weights([mask], 4)
    assert weights.tolist() == pytest.approx([1, math.sqrt(79 / 20), losses.HEAVIEST_CLASS, losses.HEAVIEST_CLASS])


# Mask2Former --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def matching():
    return MatchingLoss(build("M2F", 2).net)


EVERYWHERE, NOWHERE = torch.ones(16, 16, dtype=torch.bool), torch.zeros(16, 16, dtype=torch.bool)
ALL_OF_CLASS_1 = EVERYWHERE[None].long()


def says(classes, masks):
    """Queries, as good as certain, of the class ``classes[q]`` of 4, the last of which is none, and masks (Q, H, W)."""
    named = 50.0 * functional.one_hot(torch.tensor(classes), 4)
    return Queries(named[None], 50.0 * (2 * torch.stack(masks).float() - 1)[None])


@pytest.fixture(scope="module")
def cost(matching):
    """The loss of queries, layer by layer, in an image that is all of class 1; masks compared at the same points."""

    def of_layers(*layers):
        torch.manual_seed(0)
        return matching(layers, ALL_OF_CLASS_1).item()

    return of_layers


RIGHT = says([3, 1], [NOWHERE, EVERYWHERE])


def test_a_wrong_name_costs_its_cross_entropy(cost):
    # 50 of the matched query, its weight 1 and 0.1 of a query that names none, counted twice.
    renamed = says([3, 2], [NOWHERE, EVERYWHERE])
    assert cost(renamed) - cost(RIGHT) == pytest.approx(2 * 50 / 1.1, rel=1e-3)


def test_a_query_too_many_costs_a_tenth_of_that(cost):
    again = says([3, 1, 2], [NOWHERE, EVERYWHERE, NOWHERE])
    none = says([3, 1, 3], [NOWHERE, EVERYWHERE, NOWHERE])
    assert cost(again) - cost(none) == pytest.approx(2 * 0.1 * 50 / 1.2, rel=1e-3)


def test_a_mask_drawn_elsewhere_costs_at_every_point(cost):
    # Cross-entropy of 50 at most, less near the border, and Dice of 1, both counted five times.
    displaced = says([3, 1], [NOWHERE, NOWHERE])
    assert 5 * 50 / 2 < cost(displaced) - cost(RIGHT) < 5 * 50 + 5
    assert cost(RIGHT) < 20  # beyond the border, masks and image alike fade into nothing


def test_every_layer_counts(cost):
    assert cost(RIGHT, RIGHT) == pytest.approx(2 * cost(RIGHT), rel=0.05)  # at other points


def test_each_model_has_its_loss():
    for name in MODELS:
        model = build(name, 2)
        assert isinstance(criterion(model, torch.ones(3), 0.0), MatchingLoss if name == "M2F" else PixelLoss)
