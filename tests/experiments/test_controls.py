"""Other pairs in equal number, and no augmentation: what each arm is trained on, and what is said of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from defectlib.data.loading import load_train
from defectlib.errors import UserError
from defectlib.experiments import boost, plans
from defectlib.experiments.boost import BARE, MORE_REAL, PASTED, REAL_IMAGES, Controls, Ratios, pool
from defectlib.experiments.rivals import Rivals
from defectlib.plots import tables
from defectlib.profiles import Controls as ControlBudget
from defectlib.profiles import load_profile
from defectlib.settings import RivalSynthesis


@pytest.fixture(scope="module")
def run(smoke, store) -> Controls:
    """A real run: no augmentation, two switch steps and a rival."""
    budget = ControlBudget(switch_steps=(400, 0), rivals=("SinGAN",))
    made = Controls(smoke.model_copy(update={"controls": budget}), store=store)
    made.build()
    return made


def whole(profile) -> Controls:
    return Controls(profile.model_copy(update={"controls": ControlBudget()}))


def test_every_arm_has_as_many_pairs_as_there_are_real_images(smoke):
    study = whole(smoke)
    steps = [boost.arm_of(u) for u in smoke.switch_steps]
    assert steps == ["DDPM (u = 0)", "Defect-Gen, u = 400", "Defect-Gen, u = 1000"]
    assert list(study.arms) == [REAL_IMAGES, BARE, MORE_REAL, *steps, "CycleGAN", "SinGAN", "SinDiffusion", PASTED]
    count = len(load_train(study.data))
    for name, (stage,) in study.arms.items():
        trained = stage.segmenter
        assert len(load_train(trained.data)) == count * (2 if name == MORE_REAL else 1)
        if name in (REAL_IMAGES, BARE, MORE_REAL):
            assert (trained.synthetic, trained.pairs) == (None, None)
        else:
            assert (trained.pairs or trained.synthetic.count) == count
        assert trained.augmented is (name != BARE)
    varied = {"data", "synthetic", "pairs", "augmented"}
    same = {stage.segmenter.model_dump_json(exclude=varied) for stage in study.stages()}
    assert len(same) == 1


def test_the_arms_are_the_nets_that_other_notebooks_show(smoke):
    made, rivals = whole(smoke).synthetic, Rivals(smoke).synthetic
    for name in ("CycleGAN", "SinGAN"):
        assert isinstance(made[name], RivalSynthesis)
        assert made[name].rival == rivals[name].rival
    assert made["SinDiffusion"].large == rivals["SinDiffusion"].large
    assert made["DDPM (u = 0)"].large == rivals["DDPM"].large
    assert {made[boost.arm_of(u)].switch_step for u in smoke.switch_steps} == set(smoke.switch_steps)


def test_ddpm_is_u_0_and_no_arm_of_its_own():
    assert ControlBudget().rivals == ("CycleGAN", "SinGAN", "SinDiffusion")
    with pytest.raises(UserError, match=r"setting 'controls.rivals.0' of Profile: .* got 'DDPM'"):
        load_profile("smoke", controls={"rivals": ["DDPM"]})


def test_pairs_of_the_usual_u_are_not_sampled_again(smoke):
    profile = smoke.model_copy(update={"ratios": (0, 300), "boosted": ("UNet",)})
    (arm,) = Controls(profile).arms["Defect-Gen, u = 400"]
    (more,) = Ratios(profile).evaluations("softgel", "UNet", 300)
    assert arm.segmenter.synthetic == more.segmenter.synthetic == pool(profile, profile.data("softgel"))
    assert (arm.segmenter.pairs, more.segmenter.pairs) == (5, None)


def test_what_both_halves_of_the_notebook_ask_for_is_one():
    study = plans.boost(models=["UNet"], products=["softgel"])
    mine, theirs = study.ratios.stages(), study.controls.stages()
    assert set(mine) < set(theirs)  # real images, and pairs of the usual u at 100 %
    assert study.stages() == (*mine, *(stage for stage in theirs if stage not in mine))


def test_a_real_run_agrees_with_its_artifacts(run, nothing_runs, tmp_path):
    run.build()
    table = run.table
    assert list(table.index) == [REAL_IMAGES, BARE, MORE_REAL, "DDPM (u = 0)", "Defect-Gen, u = 400", "SinGAN", PASTED]
    assert table["pairs"].tolist() == [0, 0, 0, 5, 5, 5, 5]
    for name, (stage,) in run.arms.items():
        found = json.loads((run.path(stage) / "summary.json").read_text())["miou"]
        assert table.loc[name, "miou"] == pytest.approx(found, abs=1e-6)
        card = json.loads((run.path(stage.segmenter) / "model.json").read_text())
        assert (card["real"], card["synthetic"]) == (10 if name == MORE_REAL else 5, table.loc[name, "pairs"])
        if name != REAL_IMAGES:
            assert table.loc[name, "difference"] == pytest.approx(
                table.loc[name, "miou"] - table.loc[REAL_IMAGES, "miou"]
            )
            assert table.loc[name, "difference_low"] <= table.loc[name, "difference_high"]
    assert math.isnan(table.loc[REAL_IMAGES, "difference"])
    losses = [run.path(run.arms[name][0].segmenter) / "losses.json" for name in (REAL_IMAGES, BARE)]
    assert losses[0].read_text() != losses[1].read_text()  # other pixels were seen
    (name, (frame, made)), *others = run.records().items()
    assert (name, others) == ("controls_softgel_32px", [])
    tables.write_record(name, frame, made, tmp_path)
    kept = tables.record(name, tmp_path)
    pd.testing.assert_frame_equal(kept, table, check_dtype=False)
    about = kept.attrs["provenance"]
    assert (about["product"], about["model"], about["pairs"], about["seeds"]) == ("softgel", "UNet", 5, [0])
    assert set(about["synthetic"]) == set(table.index[3:])
    pd.testing.assert_frame_equal(boost.in_columns(kept), boost.in_columns(table))
    assert boost.in_columns(None) is None


def test_every_arm_but_the_first_has_an_effect():
    difference = pd.Series({REAL_IMAGES: np.nan, BARE: -0.05, "Defect-Gen, u = 400": 0.03, "CycleGAN": 0.001})
    table = pd.DataFrame({"difference": difference, "miou": 0.5, "reference": 0.5, "background_only": 0.2, "pairs": 5})
    table = table.assign(difference_low=difference - 0.01, difference_high=difference + 0.01, over="3 seeds", seeds=3)
    assert boost.in_columns(table)["effect"].tolist() == ["", "loss", "gain", "n.s."]
