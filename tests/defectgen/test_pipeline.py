"""The sampler against closed forms: visited timesteps, the hand-over, DDIM's update, per-pair noise."""

import pytest
import torch

from defectlib.defectgen.denoiser import build_denoiser
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.pipeline import DefectGenPipeline
from defectlib.errors import UserError
from defectlib.settings import LargeNet, SmallNet

CHANNELS = 6


@pytest.fixture(scope="module")
def pipeline():
    large = build_denoiser(LargeNet(channels=(8, 16), attention=(1,)), CHANNELS, seed=0)
    small = build_denoiser(SmallNet(receptive_field=17, channels=8), CHANNELS, seed=1)
    made = DefectGenPipeline(large.eval(), small.eval(), schedule())
    made.set_progress_bar_config(disable=True)
    return made


def noise(*numbers):
    return [torch.Generator().manual_seed(number) for number in numbers]


@pytest.mark.parametrize("u", [0, 400, 1000])
def test_each_net_is_called_at_its_own_timesteps(pipeline, u):
    calls = {"large": [], "small": []}
    hooks = [
        net.register_forward_pre_hook(lambda _, args, name=name: calls[name].append(int(args[1])))
        for name, net in (("large", pipeline.large), ("small", pipeline.small))
    ]
    out = pipeline(32, noise(0), switch_step=u, num_inference_steps=10)
    for hook in hooks:
        hook.remove()
    assert calls == {"large": out.large_timesteps, "small": out.small_timesteps}
    assert all(t >= u for t in calls["large"])
    assert all(t < u for t in calls["small"])
    assert len(calls["large"]) + len(calls["small"]) == 10


def test_ddim_follows_its_closed_form_across_the_switch(pipeline):
    """x_s = √ᾱ_s x_0 + √(1-ᾱ_s) ε with ε = (x_t - √ᾱ_t x_0)/√(1-ᾱ_t) (Song et al. 2021, eq. 12 with σ = 0)."""
    seen = []
    out = pipeline(32, noise(3), 400, 10, "ddim", callback=lambda t, x_t, x_0: seen.append((t, x_t, x_0)))
    alpha_bar = schedule().alphas_cumprod.double()
    states = [x_t for _, x_t, _ in seen[1:]] + [out.x]
    for (t, x_t, x_0), (s, *_), x_s in zip(seen, [*seen[1:], (-1,)], states, strict=True):
        a_t, a_s = alpha_bar[t], alpha_bar[s] if s >= 0 else torch.tensor(1.0).double()
        epsilon = (x_t.double() - a_t.sqrt() * x_0) / (1 - a_t).sqrt()
        expected = a_s.sqrt() * x_0 + (1 - a_s).sqrt() * epsilon
        torch.testing.assert_close(x_s.double(), expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_a_net_that_knows_the_image_returns_it(sampler):
    """With D(x_t, t) = c for all x_t the reverse process must end in c, whatever the noise."""
    target = torch.linspace(-1, 1, CHANNELS * 64).reshape(1, CHANNELS, 8, 8)

    class Oracle(torch.nn.Module):
        def forward(self, x_t, t):
            return target.expand_as(x_t)

    large = build_denoiser(SmallNet(receptive_field=9, channels=8), CHANNELS, seed=0)
    made = DefectGenPipeline(large, large, schedule())
    made.set_progress_bar_config(disable=True)
    made.large.forward = made.small.forward = Oracle().forward
    out = made(8, noise(0, 1), 300, 20, sampler)
    torch.testing.assert_close(out.x, target.expand(2, -1, -1, -1), atol=1e-3, rtol=0)


def test_ancestral_sampling_of_a_gaussian_has_its_variance():
    """For x_0 ~ N(0, s²) the best denoiser is linear; with it, samples must have standard deviation s."""
    s = 0.5
    alpha_bar = schedule().alphas_cumprod
    net = build_denoiser(SmallNet(receptive_field=9, channels=8), 1, seed=0)
    made = DefectGenPipeline(net, net, schedule())
    made.set_progress_bar_config(disable=True)

    def posterior_mean(x_t, t):
        a = alpha_bar[t]
        return a.sqrt() * s**2 / (a * s**2 + 1 - a) * x_t

    made.large.forward = made.small.forward = posterior_mean
    out = made(64, noise(*range(8)), 400, 1000, "ddpm")
    assert abs(float(out.x.std()) - s) < 0.02
    assert abs(float(out.x.mean())) < 0.02


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_a_pair_is_the_same_in_any_batch(pipeline, sampler):
    together = pipeline(32, noise(0, 1, 2), 400, 6, sampler).x
    alone = pipeline(32, noise(2), 400, 6, sampler).x
    torch.testing.assert_close(together[2:], alone, atol=1e-4, rtol=0)


def test_calls_leave_no_state_behind(pipeline):
    first = pipeline(32, noise(0), 400, 6, "dpm++").x
    pipeline(32, noise(1), 0, 4, "ddpm")
    assert torch.equal(first, pipeline(32, noise(0), 400, 6, "dpm++").x)


def test_saved_and_loaded_it_samples_the_same(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    assert not list(tmp_path.rglob("*.bin"))
    loaded = DefectGenPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(pipeline(32, noise(0), 400, 4).x, loaded(32, noise(0), 400, 4).x)


def test_what_cannot_be_served_is_refused(pipeline):
    with pytest.raises(UserError, match="sides must be multiples of 4 px"):
        pipeline(30, noise(0))
    with pytest.raises(UserError, match="unknown sampler 'dmp': did you mean"):
        pipeline(32, noise(0), 400, 4, "dmp")
    with pytest.raises(UserError, match="must be trained on the same classes"):
        DefectGenPipeline(
            pipeline.large, build_denoiser(SmallNet(receptive_field=9, channels=8), 7, seed=0), schedule()
        )


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_gray_nets_sample_images_without_colour(sampler):
    nets = [build_denoiser(SmallNet(receptive_field=9, channels=8), CHANNELS, seed, gray=True) for seed in (0, 1)]
    gray = DefectGenPipeline(*nets, schedule())
    gray.set_progress_bar_config(disable=True)
    seen = []
    x = gray(16, noise(0, 1), 400, 6, sampler, callback=lambda t, x_t, x_0: seen.append(x_t)).x
    for image in (*seen, x):
        assert torch.equal(image[:, 0], image[:, 1])
        assert torch.equal(image[:, 0], image[:, 2])
    assert seen[0][:, 0].std() == pytest.approx(1, abs=0.1)
