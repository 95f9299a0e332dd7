"""Studies of Defect-Gen, run for real on tiny nets: what they read is what was built, and the tables follow from it."""

from __future__ import annotations

import numpy as np
import pytest

from defectlib.data.loading import load_train
from defectlib.defectgen.diffusion import schedule
from defectlib.experiments.generation import Playground, Regimes, SwitchStep
from defectlib.experiments.process import forward_process, reverse_process
from defectlib.settings import DenoiserTraining, Fidelity
from defectlib.store import settings_of


@pytest.fixture(scope="module")
def regimes(smoke, store) -> Regimes:
    """Figure 5's three cases, built."""
    study = Regimes(smoke, store=store)
    study.build()
    return study


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square over pixels and colours of two uint8 images taken to [0, 1]."""
    return float(np.sqrt(np.mean((a / 255.0 - b / 255.0) ** 2)))


def test_a_built_study_has_nothing_left_to_do(regimes, nothing_runs, capsys):
    assert all(isinstance(stage, Fidelity) for stage in regimes.stages())
    regimes.build()
    assert capsys.readouterr().err == ""
    assert len(regimes.table()) == 3


def test_build_says_which_of_how_many(smoke, store, regimes, capsys, monkeypatch):
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    study = SwitchStep(smoke, switch_steps=(0, 200, 800), store=store)
    study.build()
    lines = [f"fidelity on softgel ({n} of 4)" for n in (2, 4)]  # each after its pairs; u = 0 is there already
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("fidelity ")] == lines


def test_the_regimes_are_each_net_alone_and_both(regimes):
    assert regimes.steps == (0, regimes.profile.switch_step, 1000)
    assert [stage.synthetic.switch_step for stage in regimes.stages()] == [0, 400, 1000]


def test_the_curve_follows_from_the_pairs(regimes):
    table = regimes.table().set_index("u")
    training = [sample.image for sample in regimes.training()]
    for u in regimes.steps:
        images = [pair.image for pair in regimes.pairs(u)]
        nearest = [min(range(len(training)), key=lambda k: distance(image, training[k])) for image in images]
        expected = np.mean([distance(image, training[k]) for image, k in zip(images, nearest, strict=True)])
        assert table.loc[u, "nearest"] == pytest.approx(expected, rel=1e-4)
        assert [sample.key for sample in regimes.nearest(u)] == [regimes.training()[k].key for k in nearest]
        spread = [distance(a, b) for i, a in enumerate(images) for b in images[:i]]
        assert table.loc[u, "spread"] == pytest.approx(np.mean(spread), rel=1e-4)
        assert table.loc[u, "defect_free"] == np.mean([not pair.mask.any() for pair in regimes.pairs(u)])
    assert table["training_nearest"].nunique() == table["training_spread"].nunique() == 1


def test_pairs_are_as_many_and_as_large_as_the_profile_says(regimes):
    for u in regimes.steps:
        pairs = regimes.pairs(u)
        assert [pair.key for pair in pairs] == [f"synthetic_{k:06}" for k in range(regimes.profile.gallery)]
        assert {pair.image.shape for pair in pairs} == {(32, 32, 3)}
        assert pairs[0].classes == regimes.training()[0].classes


def test_the_nets_were_trained_on_training_images_alone(regimes):
    for name, record in regimes.provenance().items():
        settings = settings_of(record)
        assert isinstance(settings, DenoiserTraining)
        assert settings.net.kind == name
        assert load_train(settings.data) == regimes.training()
    assert all("_train_" in sample.key for sample in regimes.training())


def test_losses_reach_the_last_step(regimes):
    for losses in regimes.losses().values():
        assert list(losses.columns) == ["step", "loss", "seconds"]
        assert losses["step"].iloc[-1] == 4
        assert np.isfinite(losses["loss"]).all()


def test_the_playground_shares_what_the_regimes_built(smoke, store, regimes):
    playground = Playground(smoke, store=store)
    grid = playground.grid()
    assert list(grid) == [(u, field) for field in (9, 17) for u in (0, 400, 1000)]
    assert playground.stages() == (*grid.values(), *playground.live().values())
    assert playground.live()["softgel"].small == tuple(grid[0, field].small for field in (9, 17))
    for u in regimes.steps:
        assert grid[u, 17] == regimes.synthetic(u)
    few = Playground(smoke, switch_steps=(400,), receptive_fields=(9,), store=store)
    few.build()
    assert list(few.pairs()) == [(400, 9)]
    assert len(few.pairs()[400, 9]) == smoke.gallery


def test_parameters_win_over_the_profile(smoke, store):
    assert SwitchStep(smoke, store=store).steps == smoke.switch_steps
    assert SwitchStep(smoke, switch_steps=[5, 6], store=store).steps == (5, 6)
    assert SwitchStep(smoke, product="twill", store=store).data.product == "twill"


# The process as pictures --------------------------------------------------------------------------------------------


def test_the_reverse_process_ends_at_the_pair_that_the_set_holds(regimes, nothing_runs):
    process = reverse_process(regimes, index=1, shown=3)
    pair = regimes.pairs(regimes.profile.switch_step)[1]
    # Sampled alone and in a batch, sums are rounded in another order.
    assert np.abs(process.result.astype(int) - pair.image).max() <= 2
    assert np.mean(process.mask != pair.mask) < 0.01
    assert len(process.frames) == len(process.predictions) == 3
    steps = (*process.large_timesteps, *process.small_timesteps)
    assert len(steps) == regimes.profile.num_inference_steps
    assert list(steps) == sorted(steps, reverse=True)
    assert min(process.large_timesteps) >= 400 > max(process.small_timesteps)
    assert set(process.timesteps) <= set(steps)


def test_the_forward_process_goes_from_the_image_to_noise(regimes):
    sample = regimes.training()[0]
    first, middle, last = forward_process(sample, [0, 500, 999])
    assert np.abs(first.astype(int) - sample.image).max() <= 255 * 0.04  # the noise at t = 0 is about 0.006 of [-1, 1]
    share = float(schedule().alphas_cumprod[500]) ** 0.5
    assert 0 < share < 1

    def likeness(frame):
        return np.corrcoef(frame.ravel(), sample.image.ravel())[0, 1]

    assert likeness(first) > likeness(middle) > likeness(last)
    assert abs(likeness(last)) < 0.15
    again = forward_process(sample, [0, 500, 999])
    assert all(np.array_equal(a, b) for a, b in zip((first, middle, last), again, strict=True))
