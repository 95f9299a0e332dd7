"""The judged switch step: tables, the curve and the pictures follow from what the judgements hold; silence is shown."""

from __future__ import annotations

import json

import numpy as np
import pytest

from defectlib.experiments.judgement import JudgedSwitchStep
from defectlib.plots import figures
from defectlib.segmentation import oracle
from defectlib.settings import Fidelity, Judgement
from defectlib.store import Store


def built(smoke, store, least, monkeypatch):
    monkeypatch.setattr(oracle, "LEAST_MIOU", least)
    study = JudgedSwitchStep(smoke, switch_steps=(0, 400), store=store)
    study.build()
    return study


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    root = tmp_path_factory.mktemp("judged")
    return {name: Store(root / name, shipped=None) for name in ("heard", "silent")}


@pytest.fixture
def heard(smoke, stores, monkeypatch):
    """The smoke profile's oracle, taken for good enough."""
    return built(smoke, stores["heard"], 0.0, monkeypatch)


@pytest.fixture
def silent(smoke, stores, monkeypatch):
    return built(smoke, stores["silent"], 0.9, monkeypatch)


def test_measures_and_judgements_of_the_same_sets(heard):
    kinds = [type(stage) for stage in heard.stages()]
    assert kinds == [Fidelity, Fidelity, Judgement, Judgement]
    assert [stage.synthetic for stage in heard.stages()[:2]] == [stage.synthetic for stage in heard.stages()[2:]]


def test_the_curve_stands_between_held_out_images_and_the_oracle_itself(heard):
    curve, found = heard.agreement(), heard.judged(400)
    assert curve["u"].tolist() == [0, 400]
    assert curve["agreement"].tolist() == [heard.judged(u)["agreement"]["miou"] for u in (0, 400)]
    assert set(curve["held_out"]) == {found["held_out"]["agreement"]["miou"]}
    assert set(curve["oracle"]) == {found["oracle"]["miou"]}


def test_the_table_has_every_number_and_the_oracles_own_beside_it(heard):
    table, found = heard.verdicts(), heard.judged(400)
    assert list(table.columns) == ["u = 0", "u = 400", "held out", "±", "the oracle's own"]
    assert table.loc["agreement of masks and images (mIoU)"].drop("±").tolist() == [
        heard.judged(0)["agreement"]["miou"],
        found["agreement"]["miou"],
        found["held_out"]["agreement"]["miou"],
        found["oracle"]["miou"],
    ]
    for name, value in found["oracle"]["iou"].items():
        own = table.loc[f"agreement, {name} (IoU)", "the oracle's own"]
        assert own == value or (value is None and np.isnan(own))
    assert table.loc["KID on the oracle's features", "held out"] == found["held_out"]["oracle_features"]["kid"]
    assert np.isnan(table.loc["FID on the oracle's features", "the oracle's own"])
    own, yardstick, *missing = heard.remarks()
    assert yardstick == "Held out: 1 set of as many real images as there are pairs, or all there are."
    assert own == f"The oracle's own mIoU is {found['oracle']['miou']:.3f} on 6 scenes that it has not seen."
    assert missing == found["missing"]


def test_the_worst_and_the_best_pairs(heard):
    shares = heard.judged(400)["agreement_of_pairs"]
    rows, names = heard.extremes(count=1)
    pairs = heard.pairs(400)
    with np.load(heard.path(heard.judgement(400)) / "seen.npz") as arrays:
        seen = arrays["seen"]
    shown = [i for i in range(len(pairs)) if pairs[i].mask.any() or seen[i].any()]
    ordered = sorted(shares[i] for i in shown)
    assert names == [f"{share:.0%} agree".replace("%", " %") for share in (ordered[0], ordered[-1])[: len(shown)]]
    assert list(rows) == ["image", "its mask", "the oracle sees"]
    for bare, own, other in zip(*rows.values(), strict=True):
        number = int(own.key.removeprefix("synthetic_"))
        assert not bare.mask.any()
        assert np.array_equal(own.mask, pairs[number].mask)
        assert np.array_equal(other.mask, seen[number])
        assert bare.image is own.image is other.image
    many, columns = heard.extremes(count=50)
    assert len(columns) == len(shown)
    assert len({sample.key for sample in many["image"]}) == len(shown)
    figures.matrix(rows, names)


def test_an_oracle_that_judges_nothing_is_shown_to_judge_nothing(silent):
    assert silent.agreement()[["agreement", "held_out"]].isna().all(axis=None)
    table = silent.verdicts()
    assert table.drop(columns="the oracle's own").drop(index="LPIPS of two images").isna().all(axis=None)
    assert table.loc["agreement of masks and images (mIoU)", "the oracle's own"] == silent.judged(0)["oracle"]["miou"]
    assert silent.remarks()[0].endswith("below 0.90 it judges nothing.")
    rows, names = silent.extremes(count=1)
    assert list(rows) == ["image", "its mask"]
    assert names == ["not judged", "not judged"]
    figures.matrix(rows, names)


def test_another_switch_step_is_shown_where_the_profiles_is_not(heard, smoke):
    study = JudgedSwitchStep(smoke, switch_steps=(0,), store=heard.store)
    assert len(study.extremes(count=1)[1]) == 2
    assert json.loads((study.path(study.judgement(0)) / "judgement.json").read_text()) == study.judged(0)
