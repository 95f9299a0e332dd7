"""The released code's path beside the paper's, on tiny nets: what the table says follows from the pairs."""

from __future__ import annotations

import numpy as np
import pytest

from defectlib.experiments.released import PAPER, RELEASE, ReleasedCode, weighted_spread
from defectlib.settings import Fidelity


@pytest.fixture(scope="module")
def study(smoke, store) -> ReleasedCode:
    made = ReleasedCode(smoke, switch_steps=(0, 400, 1000), store=store)
    made.build()
    return made


def test_both_ends_are_built_once(study, nothing_runs, capsys):
    assert [type(stage) for stage in study.stages()] == [Fidelity, Fidelity, Fidelity, Fidelity]
    assert [stage.synthetic.switch_step for stage in study.stages()] == [0, 400, 1000, 400]
    for path in study.paths.values():
        path.build()
    assert capsys.readouterr().err == ""


def test_the_switch_step_that_is_shown_is_always_among_those_measured(smoke, store):
    assert ReleasedCode(smoke, switch_steps=(700,), store=store).steps == (400, 700)


def test_the_two_sets_differ_in_their_path_alone(smoke, store):
    ancestral = ReleasedCode(smoke.model_copy(update={"sampler": "ddpm"}), store=store)
    paper, release = (path.synthetic(400) for path in ancestral.paths.values())
    assert dict(paper) | {"path": "release"} == dict(release)
    assert paper.sampler == "ddim"
    assert (paper.path, release.path) == ("paper", "release")


def test_visits_are_those_of_the_facts(study):
    """By reading the release: 600 calls at t = 599 … 0 and 400 at 399 … 0 for u = 400; only u = 0 and T are right."""
    visits = study.visits((0, 400, 1000))
    assert list(visits.columns) == [PAPER, RELEASE]
    assert visits.loc[400, "large"].tolist() == ["999 … 400 (600 calls)", "599 … 0 (600 calls)"]
    assert visits.loc[400, "small"].tolist() == ["399 … 0 (400 calls)"] * 2
    assert visits.loc[0, "small"].tolist() == ["none"] * 2
    for u, net in ((0, "large"), (1000, "small")):
        assert visits.loc[u, net].tolist() == ["999 … 0 (1000 calls)"] * 2
    assert study.visits((400,), 10).loc[400, "large"].tolist() == [
        "999 … 499 (6 spaced calls)",
        "599 … 99 (6 spaced calls)",
    ]


def test_what_remains_of_data_of_known_spread(study):
    remaining = study.remaining((0.1, 1.0))
    assert list(remaining.columns) == ["s = 0.1", "s = 1"]
    assert remaining.loc[[0, 1000]].to_numpy().tolist() == [[1, 1], [1, 1]]
    assert remaining.loc[400].tolist() == pytest.approx([0.205, 1], abs=0.001)


def test_the_table_follows_from_the_pairs(study):
    table = study.table().set_index(["path", "u"])
    assert list(table.index) == [(path, u) for path in (PAPER, RELEASE) for u in (0, 400, 1000)]
    for (name, u), row in table.iterrows():
        images = [pair.image / 255.0 for pair in study.paths[name].pairs(u)]
        spread = [np.sqrt(np.mean((a - b) ** 2)) for i, a in enumerate(images) for b in images[:i]]
        assert row["spread"] == pytest.approx(np.mean(spread), rel=1e-4)
        assert row["neighbours"] == len({sample.key for sample in study.paths[name].nearest(u)})
        for measure in ("spread", "nearest"):
            assert row[f"{measure}_low"] <= row[measure] <= row[f"{measure}_high"]
    for u in (0, 1000):
        assert table.loc[(PAPER, u)].equals(table.loc[(RELEASE, u)])
    assert table.loc[(PAPER, 400), "spread"] != table.loc[(RELEASE, 400), "spread"]


def test_differences_are_those_of_the_table_where_the_paths_differ(study):
    table, differences = study.table().set_index(["path", "u"]), study.differences()
    assert differences["u"].tolist() == [400]
    row = differences.iloc[0]
    for measure in ("spread", "nearest"):
        expected = table.loc[(RELEASE, 400), measure] - table.loc[(PAPER, 400), measure]
        assert row[measure] == pytest.approx(expected, abs=1e-5)
        assert row[f"{measure}_low"] <= row[f"{measure}_high"]


def test_spread_of_resamples_is_the_mean_over_pairs_of_different_images():
    distances = np.array([[0, 1, 2], [1, 0, 4], [2, 4, 0]], float)
    weights = np.array([[1, 1, 1], [2, 1, 0], [0, 1, 2], [3, 0, 0]])
    # The second holds images 0, 0, 1: two pairs of different images, both at distance 1.
    np.testing.assert_allclose(weighted_spread(weights, distances), [7 / 3, 1, 4, np.nan])
    assert weighted_spread(weights, distances + np.eye(3))[0] == pytest.approx(7 / 3)
