"""The path of the released code: which timesteps, what is handed over, where it is the paper's, and what it loses."""

import json

import numpy as np
import pytest
import torch

from defectlib.data.folder import read_dataset
from defectlib.data.verify import check
from defectlib.defectgen import released, synthesis
from defectlib.defectgen.denoiser import build_denoiser
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.pipeline import DefectGenPipeline
from defectlib.defectgen.released import ReleasedPipeline, released_timesteps, remaining_variety
from defectlib.engine import RUNNERS
from defectlib.errors import UserError
from defectlib.settings import Fidelity, LargeNet, SmallNet, Synthesis, parse
from defectlib.store import UNFINISHED, settings_of
from tests.defectgen.conftest import SYNTHETIC

CHANNELS = 6
RELEASED = SYNTHETIC.model_copy(update={"path": "release"})


@pytest.fixture(scope="module")
def nets():
    large = build_denoiser(LargeNet(channels=(8, 16), attention=(1,)), CHANNELS, seed=0)
    small = build_denoiser(SmallNet(receptive_field=17, channels=8), CHANNELS, seed=1)
    return large.eval(), small.eval()


def assembled(kind, nets):
    pipeline = kind(*nets, schedule())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def noise(*numbers):
    return [torch.Generator().manual_seed(number) for number in numbers]


@pytest.mark.parametrize("u", [0, 1, 400, 500, 999, 1000])
def test_with_all_calls_each_net_counts_down_to_zero(u):
    large, small = released_timesteps(u, 1000)
    assert large == list(range(999 - u, -1, -1))
    assert small == list(range(u - 1, -1, -1))


def test_with_fewer_calls_they_are_as_many_and_as_far_apart_as_on_the_papers_path():
    large, small = released_timesteps(400, 10)
    assert large == [599, 499, 399, 299, 199, 99]
    assert small == [399, 299, 199, 99]
    with pytest.raises(UserError, match=r"switch step 1001 is outside \[0, 1000\]"):
        released_timesteps(1001, 10)


@pytest.mark.parametrize("calls", [2, 10, 1000])
def test_the_small_net_is_given_the_finished_image(nets, calls):
    """All that is claimed about the path, seen from the nets' side."""
    pipeline, given, made = assembled(ReleasedPipeline, nets), {"large": [], "small": []}, {"large": [], "small": []}

    def stub(name, gain):
        def forward(x_t, t):
            given[name].append((int(t), x_t.clone()))
            made[name].append(3 + gain * x_t)  # beyond ±1: nothing may be clamped
            return made[name][-1]

        return forward

    forwards = [net.forward for net in nets]
    pipeline.large.forward, pipeline.small.forward = stub("large", 0.1), stub("small", -0.2)
    out = pipeline(8, noise(5), 400, calls)
    pipeline.large.forward, pipeline.small.forward = forwards
    for name, timesteps in (("large", out.large_timesteps), ("small", out.small_timesteps)):
        assert [t for t, _ in given[name]] == timesteps
    assert [given[name][0][0] for name in given] == [599, 399]
    assert len(given["large"]) + len(given["small"]) == calls
    start = torch.randn((1, CHANNELS, 8, 8), generator=noise(5)[0])
    torch.testing.assert_close(given["large"][0][1], start)
    torch.testing.assert_close(given["small"][0][1], made["large"][-1])
    torch.testing.assert_close(out.x, made["small"][-1])


def test_each_loop_follows_the_closed_form_of_ddim(nets):
    """x_s = √ᾱ_s x_0 + √(1-ᾱ_s) ε with ε = (x_t - √ᾱ_t x_0)/√(1-ᾱ_t), x_0 at the end (Song et al. 2021, σ = 0)."""
    seen = []
    pipeline = assembled(ReleasedPipeline, nets)
    out = pipeline(32, noise(3), 400, 10, callback=lambda t, x_t, x_0: seen.append((t, x_t.double(), x_0.double())))
    alpha_bar = schedule().alphas_cumprod.double()
    states = [x_t for _, x_t, _ in seen[1:]] + [out.x.double()]
    for (t, x_t, x_0), s, x_s in zip(seen, [t for t, *_ in seen[1:]] + [999], states, strict=True):
        a_t = alpha_bar[t]
        a_s = alpha_bar[s] if s < t else torch.ones((), dtype=torch.double)  # t rises: a loop has ended
        epsilon = (x_t - a_t.sqrt() * x_0) / (1 - a_t).sqrt()
        torch.testing.assert_close(x_s, a_s.sqrt() * x_0 + (1 - a_s).sqrt() * epsilon, atol=2e-4, rtol=1e-3)


def test_only_at_both_ends_is_it_the_papers_path(nets):
    ours, theirs = (assembled(kind, nets) for kind in (DefectGenPipeline, ReleasedPipeline))
    for u in (0, 1000):
        assert torch.equal(ours(32, noise(0, 1), u, 6).x, theirs(32, noise(0, 1), u, 6).x)
    assert (ours(32, noise(0), 400, 6).x - theirs(32, noise(0), 400, 6).x).abs().max() > 0.01


@pytest.mark.parametrize("u", [200, 400, 800])
def test_with_perfect_nets_it_shrinks_the_variety_as_the_closed_form_says(u):
    """For x_0 ~ N(0, s²) the best denoiser is linear; with it the paper's path ends at standard deviation s."""
    s, alpha_bar = 0.5, schedule().alphas_cumprod.double()
    net = build_denoiser(SmallNet(receptive_field=9, channels=8), 1, seed=0)
    net.forward = lambda x_t, t: alpha_bar[t].sqrt() * s**2 / (alpha_bar[t] * s**2 + 1 - alpha_bar[t]) * x_t
    deviation = {
        kind: float(assembled(kind, (net, net))(32, noise(*range(8)), u, 1000).x.std())
        for kind in (DefectGenPipeline, ReleasedPipeline)
    }
    assert deviation[DefectGenPipeline] == pytest.approx(s, rel=0.03)
    assert deviation[ReleasedPipeline] == pytest.approx(s * remaining_variety(u, s), rel=0.03)


def test_the_closed_form_at_its_limits():
    assert remaining_variety(0, 0.1) == remaining_variety(1000, 0.1) == 1
    assert remaining_variety(400, 1) == pytest.approx(1)  # noise and data are alike: nothing to shrink
    assert remaining_variety(400, 0.1) < remaining_variety(400, 0.2) < remaining_variety(100, 0.2) < 1


def test_what_cannot_be_served_is_refused(nets):
    with pytest.raises(UserError, match="sides must be multiples of 4 px"):
        assembled(ReleasedPipeline, nets)(30, noise(0))


# The stage ----------------------------------------------------------------------------------------------------------


def test_its_settings_survive_a_file_and_have_keys_of_their_own():
    for stage in (RELEASED, Fidelity(synthetic=RELEASED)):
        again = settings_of({"stage": stage.stage, "settings": stage.model_dump(mode="json")})
        assert again == stage
        assert type(again) is type(stage)
        assert again.key() == stage.key()
    assert RELEASED.key() != SYNTHETIC.key()
    assert RELEASED.inputs() == SYNTHETIC.inputs()


def test_the_release_knows_one_sampler():
    with pytest.raises(UserError, match="ddim"):
        parse(Synthesis, dict(RELEASED) | {"sampler": "ddpm"})


def test_a_set_is_sound_and_goes_on_where_it_was_cut_off(store, tmp_path, monkeypatch):
    whole = store.build(RELEASED, RUNNERS)
    assert check(whole / RELEASED.dataset).images == RELEASED.count
    record = json.loads((whole / RELEASED.dataset / "provenance.json").read_text())
    assert record["settings"]["path"] == "release"
    calls, sample_pairs = [], synthesis.sample_pairs

    def cut_in_the_second_batch(pipeline, settings, indices, size):
        calls.append(indices)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sample_pairs(pipeline, settings, indices, size)

    monkeypatch.setattr(synthesis, "sample_pairs", cut_in_the_second_batch)
    inputs = {name: store.find(stage) for name, stage in RELEASED.inputs().items()}
    with pytest.raises(KeyboardInterrupt):
        released.run(RELEASED, inputs, tmp_path)
    assert len(list((tmp_path / UNFINISHED).glob("*.npz"))) == 1
    released.run(RELEASED, inputs, tmp_path)
    assert calls == [range(0, 2), range(2, 4), range(2, 4), range(4, 5)]
    pairs, undisturbed = (read_dataset(root / RELEASED.dataset) for root in (tmp_path, whole))
    for ours, theirs in zip(pairs, undisturbed, strict=True):
        assert np.array_equal(ours.image, theirs.image)
        assert np.array_equal(ours.mask, theirs.mask)
    paper = read_dataset(store.find(SYNTHETIC) / SYNTHETIC.dataset)
    assert not np.array_equal(pairs[0].image, paper[0].image)


def test_its_fidelity_is_that_of_its_own_pairs(store):
    found = json.loads((store.build(Fidelity(synthetic=RELEASED), RUNNERS) / "fidelity.json").read_text())
    pairs = [pair.image.astype(float) / 255 for pair in read_dataset(store.find(RELEASED) / RELEASED.dataset)]
    apart = [np.sqrt(np.mean((a - b) ** 2)) for i, a in enumerate(pairs) for b in pairs[:i]]
    assert found["spread"] == pytest.approx(np.mean(apart), rel=1e-4)
