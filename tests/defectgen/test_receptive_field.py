"""The receptive field: layers, gradients and the trained net agree, and what leaks through normalisation is real."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers.models.upsampling import Upsample2D
from torch import nn

from defectlib.defectgen import receptive_field as fields
from defectlib.defectgen.denoiser import build_denoiser
from defectlib.engine import RUNNERS
from defectlib.settings import RECEPTIVE_FIELDS, LargeNet, ReceptiveField, SmallNet
from tests.defectgen.conftest import LARGE, SMALL

CHANNELS = 4
GLOBAL = LargeNet(channels=(8, 16), attention=(1,))


def small(field):
    return build_denoiser(SmallNet(receptive_field=field, channels=8), CHANNELS, seed=0).eval()


def large():
    return build_denoiser(GLOBAL, CHANNELS, seed=0).eval()


def inputs(side, images=3):
    return torch.randn(images, CHANNELS, side, side, generator=torch.Generator().manual_seed(1))


# Theory against gradients -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", RECEPTIVE_FIELDS)
def test_layers_and_gradients_give_the_size_that_the_net_is_asked_for_by(field):
    denoiser = small(field)
    assert fields.theoretical_field(denoiser) == field
    side = denoiser.multiple * (field // denoiser.multiple + 4)
    rows, columns = np.nonzero(support := fields.gradient_support(denoiser, side))
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == field
    assert support.sum() == field**2  # a full square
    assert rows.min() > 0  # the canvas did not cut it
    assert rows.max() < side - 1


def test_the_ladder_measures_every_small_net():
    assert fields.ladder() == {size: (size, size) for size in RECEPTIVE_FIELDS}


def test_every_pixel_of_a_cell_sees_a_square_of_the_same_size():
    denoiser = small(45)
    x = inputs(64, images=1).requires_grad_()
    with fields.frozen_statistics(denoiser, x, 5):
        predicted = denoiser(x, 5)
        for row, column in ((32, 32), (33, 32), (33, 33)):
            (gradient,) = torch.autograd.grad(predicted[0, :, row, column].sum(), x, retain_graph=True)
            seen = (gradient[0] != 0).any(dim=0)
            assert seen.sum() == 45**2
            assert seen[row, column]


def test_the_large_net_sees_the_whole_image():
    denoiser = large()
    assert fields.theoretical_field(denoiser) == float("inf")
    assert fields.gradient_support(denoiser, 32).all()


def test_folding_multiplies_the_field():
    chain = [nn.Conv2d(1, 1, 3)] * 2
    assert fields.chain_field(chain, fold=2) == 2 * fields.chain_field(chain)


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_one_convolution_sees_its_kernel(kernel):
    assert fields.chain_field([nn.Conv2d(1, 1, kernel)]) == kernel


def test_stacks_have_their_closed_forms():
    assert fields.chain_field([]) == 1
    assert fields.chain_field([nn.Conv2d(1, 1, 3)] * 10) == 1 + 2 * 10
    assert fields.chain_field([nn.Conv2d(1, 1, 3, dilation=4)]) == 9
    # n convolutions of stride 2: 2ⁿ⁺¹ - 1.
    assert fields.chain_field([nn.Conv2d(1, 1, 3, stride=2)] * 5) == 2**6 - 1
    # Down and up again: as before at the fine resolution.
    assert fields.chain_field([nn.Conv2d(1, 1, 3, stride=2), Upsample2D(1), nn.Conv2d(1, 1, 3)]) == 3 + 2


def test_no_hook_stays_behind():
    denoiser = small(9)
    fields.theoretical_field(denoiser)
    with fields.frozen_statistics(denoiser, inputs(16), 0):
        assert any(module._forward_hooks for module in denoiser.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in denoiser.modules())


# Frozen statistics --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: small(17), large])
@torch.no_grad()
def test_freezing_changes_nothing_at_the_input_it_was_frozen_at_and_something_elsewhere(make):
    denoiser, x = make(), inputs(32)
    live, live_elsewhere = denoiser(x, 9), denoiser(2 * x, 9)
    with fields.frozen_statistics(denoiser, x, 9):
        torch.testing.assert_close(denoiser(x, 9), live, rtol=1e-4, atol=1e-5)
        assert (denoiser(2 * x, 9) - live_elsewhere).abs().max() > 1e-2
    assert torch.equal(denoiser(2 * x, 9), live_elsewhere)


@torch.no_grad()
def test_a_frozen_normalisation_is_affine():
    norm = nn.Sequential(nn.GroupNorm(2, 4))
    nn.init.normal_(norm[0].weight)
    nn.init.normal_(norm[0].bias)
    x, y = inputs(8), inputs(8).flip(2) * 3
    # A net takes a timestep as well.
    call = lambda z, t: norm(z)  # noqa: E731
    frozen = nn.Module()
    frozen.norm, frozen.forward = norm, call
    with fields.frozen_statistics(frozen, x, 0):
        middle = norm((x + y) / 2)
        torch.testing.assert_close(middle, (norm(x) + norm(y)) / 2)
    assert (norm((x + y) / 2) - middle).abs().max() > 1e-2


# The effective field ------------------------------------------------------------------------------------------------


def test_the_effective_field_is_a_share_and_stays_within_the_theoretical_one():
    denoiser = small(9).requires_grad_(False)
    effective = fields.effective_field(denoiser, inputs(20), 500)
    assert effective.shape == (20, 20)
    assert effective.sum() == pytest.approx(1, abs=1e-5)
    assert effective[6:15, 6:15].min() > 0
    assert np.delete(np.delete(effective, range(6, 15), 0), range(6, 15), 1).max() == 0
    assert fields.side_holding(effective) <= 9


def test_the_effective_field_is_the_sum_of_absolute_derivatives():
    denoiser, x = small(9), inputs(12, images=2)
    with fields.frozen_statistics(denoiser, x, 100):
        jacobian = torch.autograd.functional.jacobian(lambda z: denoiser(z, 100)[:, :, 6, 6], x)
    expected = jacobian.abs().sum(dim=(0, 1, 2, 3))  # (N, C, N, C, H, W): one image does not touch the other
    expected = (expected / expected.sum()).numpy()
    np.testing.assert_allclose(fields.effective_field(denoiser, x, 100), expected, rtol=1e-3, atol=1e-7)


def test_the_side_that_holds_a_share():
    field = np.zeros((8, 8))
    field[4, 4], field[4, 6], field[1, 4] = 0.5, 0.45, 0.05  # distances 0, 2 and 3
    assert [fields.side_holding(field, share) for share in (0.4, 0.5, 0.51, 0.94, 0.96, 1)] == [1, 1, 5, 5, 7, 7]
    assert fields.side_holding(np.ones((9, 9)), 1) == 9
    assert fields.side_holding(np.ones((9, 9)), 0.3) == 5  # 25 of 81 pixels


# The leak -----------------------------------------------------------------------------------------------------------


def test_frozen_statistics_let_nothing_through_and_live_ones_do():
    denoiser, x = small(9), inputs(24)
    live = fields.influence(denoiser, x, 300, [0, 3, 4, 6])
    frozen = fields.influence(denoiser, x, 300, [0, 3, 4, 6], frozen=True)
    assert frozen[0] > frozen[1] > 0
    assert frozen[2:] == [0, 0]  # exactly: no input of any operation has changed
    assert min(live) > 1e-3


def test_influence_is_relative_to_exchanging_everything():
    denoiser, x = small(9), inputs(16)
    with torch.no_grad():
        now, other, swapped = (
            denoiser(z, 300)[:, :, 8, 8] for z in (x, x.roll(1, 0), torch.where(_beyond(16, 2), x.roll(1, 0), x))
        )
    expected = ((swapped - now).square().mean() / (other - now).square().mean()).sqrt().item()
    assert fields.influence(denoiser, x, 300, [2]) == [pytest.approx(expected, rel=1e-4)]


def _beyond(side, distance):
    inside = torch.zeros(side, side, dtype=torch.bool)
    middle = side // 2
    inside[middle - distance : middle + distance + 1, middle - distance : middle + distance + 1] = True
    return ~inside


# The stage ----------------------------------------------------------------------------------------------------------


def _built(store, training):
    path = store.build(ReceptiveField(denoiser=training, timesteps=(200, 800)), RUNNERS)
    return json.loads((path / "receptive_field.json").read_text()), np.load(path / "effective.npy", allow_pickle=False)


def test_the_stage_measures_a_trained_small_net(store):
    found, maps = _built(store, SMALL)
    assert (found["theory"], found["measured"], found["reach"], found["side"]) == (9, [9, 9], 4, 32)
    assert maps.shape == (2, 32, 32)
    assert maps.sum(axis=(1, 2)) == pytest.approx([1, 1], abs=1e-4)
    assert found["effective"] == [fields.side_holding(one) for one in maps]
    assert 1 <= found["effective_mean"] <= 9
    assert found["distances"] == sorted(found["distances"])
    at = found["distances"].index(4)
    assert found["leak"] == [row[at] for row in found["live"]]
    for live, frozen in zip(found["live"], found["frozen"], strict=True):
        assert all(share == 0 for share in frozen[at:])
        assert all(share > 0 for share in live[at:])


def test_the_stage_measures_a_trained_large_net_that_has_nothing_beyond(store):
    found, _ = _built(store, LARGE)
    assert (found["theory"], found["measured"], found["leak"]) == (None, [32, 32], None)
    assert all(share > 0 for row in found["frozen"] for share in row)


def test_the_same_settings_measure_the_same(store, tmp_path):
    settings = ReceptiveField(denoiser=SMALL, timesteps=(200, 800))
    fields.run(settings, {"denoiser": store.find(SMALL)}, tmp_path)
    first, maps = _built(store, SMALL)
    assert json.loads((tmp_path / "receptive_field.json").read_text()) == first
    assert np.array_equal(np.load(tmp_path / "effective.npy"), maps)
