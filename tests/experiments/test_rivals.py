"""Defect-Gen beside the other generators, on tiny nets: tables and verdicts follow from the pairs."""

from __future__ import annotations

import numpy as np
import pytest

from defectlib.data.loading import load_train
from defectlib.errors import UserError
from defectlib.experiments import plans
from defectlib.experiments.rivals import CYCLEGAN, DDPM, OURS, RIVALS, SINDIFFUSION, SINGAN, Rivals
from defectlib.profiles import load_profile
from defectlib.settings import DenoiserTraining, RivalSynthesis, RivalTraining, Synthesis

METHODS = [CYCLEGAN, SINGAN, SINDIFFUSION, DDPM, OURS]


@pytest.fixture(scope="module")
def study(smoke, store) -> Rivals:
    made = Rivals(smoke, store=store)
    made.build()
    return made


def test_nothing_is_missing_once_it_is_built(study, nothing_runs):
    study.build()
    assert list(study.synthetic) == METHODS
    assert [len(study.pairs(method)) for method in METHODS] == [study.profile.gallery] * 5
    assert study.learned().keys() == set(RIVALS)


def test_each_method_learns_from_what_it_should(study):
    made = study.synthetic
    assert made[CYCLEGAN].rival.image is None
    assert made[SINGAN].rival.image == made[SINDIFFUSION].large.image == 1
    assert made[DDPM].large == made[OURS].large
    assert (made[DDPM].switch_step, made[OURS].switch_step) == (0, study.profile.switch_step)
    assert study.of_one_image[CYCLEGAN].rival.image == study.of_one_image[DDPM].large.image == 1
    assert study.of_one_image[DDPM].large.net == made[DDPM].large.net


def test_adversaries_are_trained_in_full_precision_wherever_the_others_are_not():
    study = Rivals(load_profile("cpu", precision="bf16"))
    assert study.synthetic[SINDIFFUSION].large.dtype == "bf16"
    assert {study.synthetic[method].rival.dtype for method in (CYCLEGAN, SINGAN)} == {"fp32"}


def test_the_picture_of_one_image(study):
    rows = study.learned()
    for method in RIVALS:
        target, back, *pairs = rows[method]
        assert target.key == study.target.key == load_train(study.data)[1].key
        assert back.classes == target.classes
        assert len(pairs) == 4
    assert rows[DDPM][1] is not rows[DDPM][0]
    assert np.array_equal(rows[DDPM][1].image, rows[DDPM][2].image)  # its first pair


def test_learning_is_measured_on_that_picture(study):
    found, rows = study.learning(), study.learned()
    assert list(found.index) == list(RIVALS)
    for method, (target, back, *pairs) in rows.items():
        rms = [np.sqrt(np.mean((x.image / 255 - target.image / 255) ** 2)) for x in (back, *pairs)]
        assert found.loc[method, "image"] == pytest.approx(rms[0])
        assert found.loc[method, "pairs"] == pytest.approx(np.mean(rms[1:]))
        same = (back.mask == target.mask) & (target.mask > 0)
        assert found.loc[method, "mask"] == pytest.approx(same.sum() / ((back.mask > 0) | (target.mask > 0)).sum())


def test_the_rows_of_figure_6(study):
    rows = study.figure()
    assert list(rows) == [
        "real defects",
        CYCLEGAN,
        "nearest real\nto CycleGAN’s",
        SINGAN,
        SINDIFFUSION,
        DDPM,
        "nearest real\nto DDPM’s",
        OURS,
    ]
    assert {len(samples) for samples in rows.values()} == {4}
    nearest = study.measures(DDPM)["nearest_training"]
    assert [s.key for s in rows["nearest real\nto DDPM’s"]] == [load_train(study.data)[i].key for i in nearest]


def test_the_table_holds_each_methods_measures(study):
    table = study.table()
    assert list(table.columns) == [*METHODS, "held out", "training"]
    for method in METHODS:
        assert table.loc["diversity", method] == pytest.approx(study.measures(method)["diversity"])
    assert table.loc["agreement of masks and images (mIoU)"].isna().all()  # an oracle of four steps judges nothing


def test_what_was_reduced_is_told_of_every_rival(study):
    for method, frame in study.reductions().items():
        told = frame.index.to_frame()
        assert method in RIVALS
        assert told["what"].is_unique
        assert {"input", "training"} <= set(told["what"])
        lacking = told[(told["the paper"] != told["here"]) & (told["here"] != "same") & (told["why"] == "")]
        assert set(lacking["what"]) <= {"from, to", "scales", "width"}


def test_what_comes_with_the_package_of_each_rival(smoke):
    study = Rivals(smoke)
    kinds = {method: [type(stage) for stage in study.to_ship(method)] for method in RIVALS}
    assert kinds == {
        CYCLEGAN: [RivalTraining, RivalSynthesis],
        SINGAN: [RivalTraining],
        SINDIFFUSION: [DenoiserTraining],
        DDPM: [Synthesis],
    }
    with pytest.raises(UserError, match="unknown method 'SinGan': did you mean 'SinGAN'"):
        study.to_ship("SinGan")


def test_parameters_reach_the_plan():
    chosen = plans.plan("11_rivals", {"product": "washer", "image": 2})
    pairs = [stage.synthetic for stage in chosen if stage.stage == "fidelity"]
    nets = [one.large for one in pairs if isinstance(one, Synthesis)]
    assert {net.data.product for net in nets} == {"washer"}
    assert {net.image for net in nets} == {None, 2}
