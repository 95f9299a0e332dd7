"""The study of receptive fields, run for real on tiny nets: pairs shared with the playground, tables as measured."""

from __future__ import annotations

import json

import numpy as np
import pytest

from defectlib.defectgen.fidelity import measure
from defectlib.experiments.generation import Playground
from defectlib.experiments.receptive_field import Fields
from defectlib.settings import Fidelity, LargeNet, ReceptiveField


@pytest.fixture(scope="module")
def study(smoke, store) -> Fields:
    made = Fields(smoke, switch_steps=(0, 400), store=store)
    made.build()
    return made


def test_every_net_is_measured_once_and_every_point_has_its_pairs(study, smoke):
    assert list(study.nets()) == ["small, 9 px", "small, 17 px", "large"]
    assert isinstance(study.nets()["large"].net, LargeNet)
    kinds = [type(stage) for stage in study.stages()]
    assert kinds == [ReceptiveField] * 3 + [Fidelity] * 4
    playground = Playground(smoke, switch_steps=(0, 400), store=study.store)
    assert [stage.synthetic for stage in study.stages()[3:]] == list(playground.grid().values())


def test_a_built_study_has_nothing_left_to_do(study, nothing_runs):
    study.build()
    assert len(study.summary()) == 3
    assert len(study.table()) == 4


def test_the_summary_says_what_was_measured(study):
    summary = study.summary()
    assert summary["theory"].to_dict() == {"small, 9 px": "9", "small, 17 px": "17", "large": "whole image"}
    assert summary["measured"].to_dict() == {"small, 9 px": "9", "small, 17 px": "17", "large": "32"}
    for name, field in (("small, 9 px", 9), ("small, 17 px", 17)):
        assert 1 <= int(summary.loc[name, "95 %"]) <= field
        assert summary.loc[name, "leak"] == pytest.approx(100 * np.mean(study.measures()[name]["leak"]))
        assert summary.loc[name, "leak"] > 0
        assert summary.loc[name, "leak, frozen"] == 0
    assert summary.loc["large", ["leak", "leak, frozen"]].isna().all()


def test_an_effective_field_is_a_map_of_sum_one(study):
    for field in study.effective().values():
        assert field.shape == (32, 32)
        assert field.sum() == pytest.approx(1, abs=1e-4)


def test_the_curves_follow_from_the_measures(study):
    influence = study.influence()
    for name, found in study.measures().items():
        rows = influence[influence["net"] == name]
        assert rows["distance"].tolist() == found["distances"]
        assert rows["live"].to_numpy() == pytest.approx(np.mean(found["live"], axis=0))
        assert study.by_timestep()[name].to_dict() == dict(zip(found["timesteps"], found["effective"], strict=True))
    assert study.by_timestep().index.name == "t"


def test_the_ablation_is_what_the_pairs_give(study):
    table = study.table().set_index(["u", "field"])
    assert list(table.index) == [(u, field) for field in (9, 17) for u in (0, 400)]
    # At u = 0 no small net acts.
    assert table.loc[(0, 9)].tolist() == table.loc[(0, 17)].tolist()
    pairs = study.pairs()[400, 9]
    training = json.loads((study.path(study.fidelity()[400, 9]) / "fidelity.json").read_text())
    again = measure(pairs, _training(study))
    assert table.loc[(400, 9), "nearest"] == pytest.approx(again["nearest_mean"])
    assert table.loc[(400, 9), "spread"] == pytest.approx(again["spread"])
    assert table.loc[(400, 9), "training_nearest"] == training["training_nearest_mean"]


def _training(study):
    from defectlib.data.loading import load_train

    return load_train(study.profile.data(study.product))
