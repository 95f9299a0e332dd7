"""The receptive field is computed, and checked by the support of gradients with normalisation frozen."""

from types import SimpleNamespace

import pytest
import torch

from defectlib.defectgen.denoiser import LADDER, as_gray, build_denoiser, start_from
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.receptive_field import theoretical_field
from defectlib.errors import UserError
from defectlib.settings import LargeNet, SmallNet

CHANNELS = 6


def _gradient_support(denoiser, side):
    """Sides of the box of input pixels on which the central output pixel depends."""
    x = torch.randn(1, CHANNELS, side, side, requires_grad=True)
    denoiser(x, 10)[0, :, side // 2, side // 2].sum().backward()
    rows, columns = torch.nonzero(x.grad[0].abs().sum(0), as_tuple=True)
    return int(rows.max() - rows.min() + 1), int(columns.max() - columns.min() + 1)


def _without_normalisation(denoiser):
    for module in denoiser.modules():
        for name, child in module.named_children():
            if isinstance(child, torch.nn.GroupNorm):
                setattr(module, name, torch.nn.Identity())
    return denoiser


@pytest.mark.parametrize("field", [f for f in LADDER if f <= 69])
def test_theory_agrees_with_the_support_of_gradients(field):
    denoiser = build_denoiser(SmallNet(receptive_field=field, channels=8), CHANNELS, seed=0)
    assert theoretical_field(denoiser) == field
    assert _gradient_support(_without_normalisation(denoiser), side=96) == (field, field)


def test_the_release_s_small_net_sees_157_pixels():
    assert theoretical_field(build_denoiser(SmallNet(receptive_field=157, channels=8), CHANNELS, seed=0)) == 157


def test_the_large_net_sees_everything():
    denoiser = build_denoiser(LargeNet(channels=(8, 16), attention=(1,)), CHANNELS, seed=0)
    assert theoretical_field(denoiser) == float("inf")
    assert _gradient_support(_without_normalisation(denoiser), side=64) == (64, 64)


@pytest.mark.parametrize("net", [LargeNet(channels=(8, 16), attention=(1,)), SmallNet(receptive_field=17, channels=8)])
def test_same_seed_same_weights_and_the_global_generator_is_left_alone(net):
    state = torch.random.get_rng_state()
    first, second, other = (build_denoiser(net, CHANNELS, seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    weights = [torch.cat([p.flatten() for p in d.parameters()]) for d in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_output_has_the_input_s_shape_with_and_without_folding():
    for fold in (1, 2):
        denoiser = build_denoiser(LargeNet(channels=(8, 16), attention=(1,), fold=fold), CHANNELS, seed=0)
        x = torch.randn(2, CHANNELS, 32, 48)
        assert denoiser(x, torch.tensor([3, 900])).shape == x.shape
        assert denoiser.multiple == 2 * fold


def test_an_unknown_receptive_field_offers_the_nearest():
    with pytest.raises(UserError, match="receptive field of 40 px: the nearest is 45"):
        build_denoiser(SmallNet(receptive_field=40), CHANNELS, seed=0)


@pytest.mark.parametrize("t", [0, 500, 999])
def test_a_net_that_knows_v_of_the_image_and_the_mask_returns_x_0(t, monkeypatch):
    denoiser = build_denoiser(SmallNet(receptive_field=9, channels=8, prediction="v"), CHANNELS, seed=0)
    x_0, epsilon = torch.randn(2, 2, CHANNELS, 8, 8, generator=torch.Generator().manual_seed(0))
    signal = schedule().alphas_cumprod[t]
    x_t, v = signal.sqrt() * x_0 + (1 - signal).sqrt() * epsilon, signal.sqrt() * epsilon - (1 - signal).sqrt() * x_0
    known = torch.cat([v[:, :3], x_0[:, 3:]], dim=1)
    monkeypatch.setattr(denoiser.unet, "forward", lambda *_: SimpleNamespace(sample=known))
    torch.testing.assert_close(denoiser(x_t, torch.tensor([t, t])), x_0, atol=1e-5, rtol=1e-5)


def test_gray_nets_give_one_channel_three_times():
    denoiser = build_denoiser(SmallNet(receptive_field=9, channels=8, prediction="v"), CHANNELS, seed=0, gray=True)
    x_0 = denoiser(as_gray(torch.randn(1, CHANNELS, 8, 8)), 100)
    assert torch.equal(x_0[:, 0], x_0[:, 1])
    assert torch.equal(x_0[:, 0], x_0[:, 2])
    assert not torch.equal(x_0[:, 0], x_0[:, 3])


@pytest.mark.parametrize("net", [LargeNet(channels=(8, 16), attention=(1,), fold=2), SmallNet(receptive_field=17)])
def test_three_types_that_move_as_one_are_the_base_s_one_type(net):
    base, few_shot = build_denoiser(net, 5, seed=0), build_denoiser(net, 7, seed=1)
    start_from(base, few_shot)
    x_t = torch.randn(1, 5, 16, 16)
    of_base, of_three = base(x_t, 300), few_shot(torch.cat([x_t, x_t[:, 4:], x_t[:, 4:]], dim=1), 300)
    torch.testing.assert_close(of_three[:, :5], of_base, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(of_three[:, 5:], of_base[:, 4:].expand(-1, 2, -1, -1), atol=1e-5, rtol=1e-5)
