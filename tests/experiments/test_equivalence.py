"""The rule by which a set of pairs is as good as another, on tables whose answer is known; errors against theory."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from defectlib.data import procedural
from defectlib.data.sample import Sample
from defectlib.defectgen import fidelity
from defectlib.experiments import equivalence

REFERENCE = ("ddpm", 1000)


def table(**rows):
    """Two measures, ``a`` and ``b``, real images at 10 and 0.5; rows: (a, its error, b, its error)."""
    index = [REFERENCE, *(("ddim", int(name[1:])) for name in rows), equivalence.REAL]
    values = [(12.0, 1.0, 0.5, 0.1), *rows.values(), (10.0, np.nan, 0.5, np.nan)]
    frame = pd.DataFrame(values, columns=["a", "a_error", "b", "b_error"])
    return frame.set_axis(pd.MultiIndex.from_tuples(index, names=["sampler", "calls"]))


def test_a_cost_is_how_much_farther_from_real_images():
    found = equivalence.costs(table(c5=(15.0, 1.0, 0.2, 0.1), c9=(9.0, 1.0, 0.5, 0.1)), REFERENCE)
    assert found["cost"].tolist() == pytest.approx([3, 0.3, -1, 0])
    assert found.index.names == ["sampler", "calls", "measure"]


def test_it_counts_beyond_what_chance_gives_any_of_the_measures():
    z = NormalDist().inv_cdf(1 - 0.05 / 2)
    just = 2 + z * np.hypot(1, 2)
    rows = {"c5": (10 + just + 1e-6, 2.0, 0.5, 0.1), "c6": (10 + just - 1e-6, 2.0, 0.5, 0.1)}
    found = equivalence.costs(table(**rows), REFERENCE).xs("a", level="measure")
    assert found["visible"].tolist() == pytest.approx([z * np.hypot(1, 2)] * 2)
    assert found["lost"].tolist() == [True, False]


def test_what_was_not_measured_is_left_out():
    found = equivalence.costs(table(c5=(np.nan,) * 4, c7=(12.0, 1.0, 0.5, 0.1)), REFERENCE)
    assert found.index.unique("calls").tolist() == [7]


def test_sets_that_are_alike_are_seldom_told_apart_and_others_always():
    """Of sets from one distribution about one in twenty may lose something, of 13 measures; of far ones, all do."""
    draw, lost = np.random.default_rng(0), {0: 0, 8: 0}
    names = [f"m{k}" for k in range(13)]
    for shift in lost:
        for _ in range(300):
            ours, best = draw.normal(1 + shift / 5, 0.2, 13), draw.normal(1, 0.2, 13)
            frame = pd.DataFrame([best, ours, np.zeros(13)], columns=names)
            frame[[f"{name}_error" for name in names]] = 0.2
            index = [REFERENCE, ("ddim", 5), equivalence.REAL]
            frame.index = pd.MultiIndex.from_tuples(index, names=["sampler", "calls"])
            lost[shift] += equivalence.costs(frame, REFERENCE)["lost"].any()
    assert 3 <= lost[0] <= 27
    assert lost[8] == 300


@pytest.fixture(scope="module")
def sets():
    return [
        [procedural.sample("softgel", pool, i, size=32) for i in range(count)]
        for pool, count in (("eval", 12), ("train", 6))
    ]


def test_errors_of_means_are_those_of_theory(sets):
    pairs, training = sets
    nearest = np.arange(12) / 100
    found = equivalence.errors(pairs, training, nearest)
    assert found["nearest_mean"] == pytest.approx(nearest.std() / np.sqrt(12), rel=0.15)
    for name in pairs[0].classes:
        share = np.mean([name in pair.present for pair in pairs])
        assert found[f"share of {name}"] == pytest.approx(np.sqrt(share * (1 - share) / 12), rel=0.15)
    assert found.keys() == {*equivalence.MEASURES, *(f"share of {name}" for name in pairs[0].classes)}


def test_errors_vanish_where_all_pairs_are_one(sets):
    pairs, training = sets
    same = [Sample(f"k{k}", pairs[0].image, pairs[0].mask, pairs[0].classes, "softgel") for k in range(5)]
    found = equivalence.errors(same, training, [0.1] * 5)
    assert found == pytest.approx(dict.fromkeys(found, 0), abs=1e-9)


def test_rows_hold_what_was_measured(sets):
    pairs, training = sets
    measured = fidelity.measure(pairs, training, pairs[:4])
    row, real = equivalence.row(measured, {"diversity": 0.25}), equivalence.real_row(measured)
    assert row["diversity_error"] == 0.25
    assert row["patch_distance"] == measured["patch_distance"]
    assert real["patch_distance"] == measured["held_out"]["patch_distance"]
    assert real["defect_free"] == measured["training_defect_free"] == 0
    for name in pairs[0].classes:
        assert row[f"share of {name}"] == measured["types_share"][name]
        assert real[f"share of {name}"] == measured["training_types_share"][name]
