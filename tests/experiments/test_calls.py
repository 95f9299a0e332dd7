"""Network calls under the smoke profile: what is built, what the table says; the choice on tables of known answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from defectlib.defectgen.timesteps import two_stage_timesteps
from defectlib.errors import UserError
from defectlib.experiments import calls, equivalence, plans
from defectlib.experiments.calls import NetworkCalls, Point
from defectlib.plots import tables
from defectlib.profiles import load_profile
from defectlib.settings import Fidelity, SamplerTiming

REFERENCE = Point("ddpm", 1000)


@pytest.fixture(scope="module")
def study(smoke, store) -> NetworkCalls:
    made = NetworkCalls(smoke, store=store)
    made.build()
    return made


def test_every_point_is_timed_and_those_that_cost_little_are_measured(study, nothing_runs, capsys):
    assert study.points == (("ddpm", 4), ("ddpm", 20), ("ddim", 4), ("ddim", 8), ("dpm++", 4))
    assert [type(stage) for stage in study.stages()] == [Fidelity] * 5 + [SamplerTiming]
    study.build()
    assert capsys.readouterr().err == ""
    cheap = NetworkCalls(study.profile.model_copy(update={"measured_calls": 8}), store=study.store)
    assert cheap.measured == (("ddpm", 4), ("ddim", 4), ("ddim", 8), ("dpm++", 4))
    assert cheap.timing.points == study.timing.points


def test_the_profile_s_own_sampler_shares_its_set_with_other_notebooks(study):
    shared = plans.switch_step("smoke", switch_steps=[400]).synthetic(400)
    assert study.synthetic(Point("ddim", 4)).key() == shared.key()


def test_the_table_is_of_the_measures_and_the_clock(study):
    table = study.table
    assert list(table.index) == [*study.points, equivalence.REAL]
    for point in study.points:
        row, measured = table.loc[point], study.measures(point)
        assert row["patch_distance"] == measured["patch_distance"]
        assert row["pairs"] == len(study.read_pairs(study.synthetic(point))) == 4
        assert row["images_per_second_low"] <= row["images_per_second"] <= row["images_per_second_high"]
    seconds = next(p["seconds"] for p in study.clock["points"] if (p["sampler"], p["calls"]) == ("ddim", 8))
    assert table.loc[("ddim", 8), "images_per_second"] == pytest.approx(study.clock["pairs"] / np.median(seconds))
    assert table.loc[equivalence.REAL].drop(["pairs"]).filter(like="images_per").isna().all()


def test_deterministic_samplers_draw_one_picture_from_one_noise(study):
    shown = study.timed_pairs()
    assert {len(pairs) for pairs in shown.values()} == {2}
    for point, pairs in shown.items():
        sampled = study.read_pairs(study.synthetic(point))[:2]
        apart = [np.abs(a.image.astype(int) - b.image).max() for a, b in zip(pairs, sampled, strict=True)]
        assert max(apart) <= 1  # another batch, another rounding


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_the_nets_are_called_at_the_timesteps_planned(study, sampler):
    visits = study.visits(10, (0, 400, 1000)).loc[sampler]
    assert visits.loc[0].tolist() == [list(range(999, 0, -100)), []]
    assert visits.loc[400].tolist() == [[999, 899, 799, 699, 599, 499], [399, 299, 199, 99]]
    assert visits.loc[1000].tolist() == [[], list(range(999, 0, -100))]
    for u in (0, 400, 1000):
        assert visits.loc[u].tolist() == list(two_stage_timesteps(u, 10))


def test_visits_in_words(study):
    words = calls.all_visits((0, 400, 1000))
    assert words.loc[400].tolist() == ["999, 998, …, 400 (600 calls)", "399, 398, …, 0 (400 calls)"]
    assert words.loc[0].tolist() == ["999, 998, …, 0 (1000 calls)", "none"]
    shown = calls.as_text(study.visits(10, (400,)))
    assert shown.loc[("DDIM", 400)].tolist() == ["999 899 799 699 599 499", "399 299 199 99"]


# The choice ---------------------------------------------------------------------------------------------------------


def table(**lost: tuple[int, ...]) -> pd.DataFrame:
    """DDIM and DPM-Solver++ at 5, 10, 25 calls; those in ``lost`` are far from real images."""
    samplers = {"ddpm": (50, 1000), "ddim": (5, 10, 25), "dpmpp": (5, 10, 25)}
    rows = {}
    for name, all_calls in samplers.items():
        for number in all_calls:
            bad = number in lost.get(name, ())
            rows[name.replace("pp", "++"), number] = (1000 / number, 100.0, 30.0 if bad else 20.0, 1.0)
    rows[equivalence.REAL] = (np.nan, np.nan, 10.0, np.nan)
    columns = ["images_per_second", "pairs", "patch_distance", "patch_distance_error"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return frame.set_axis(pd.MultiIndex.from_tuples(rows, names=["sampler", "calls"]))


def test_the_fewest_calls_from_which_on_nothing_is_lost():
    found = calls.fewest(table(ddpm=(50,), ddim=(5,)), REFERENCE)
    assert found == {"ddpm": None, "ddim": 10, "dpm++": 5}
    assert calls.choice(table(ddpm=(50,), ddim=(5,)), REFERENCE) == ("dpm++", 5)


def test_a_loss_at_more_calls_is_not_made_good_by_luck_at_fewer():
    assert calls.fewest(table(ddim=(10,)), REFERENCE)["ddim"] == 25


def test_where_two_samplers_need_as_many_calls_the_simpler_one_is_chosen():
    assert calls.choice(table(ddim=(5,), dpmpp=(5,)), REFERENCE) == ("ddim", 10)


def test_where_all_lose_something_the_reference_stays():
    everything = table(ddpm=(50,), ddim=(5, 10, 25), dpmpp=(5, 10, 25))
    assert calls.choice(everything, REFERENCE) == REFERENCE
    found = calls.conclusion(everything, REFERENCE).loc["DDIM"]
    assert (pd.isna(found["fewest calls"]), found["fewer"], found["loses"]) == (True, 25, "patch distance")
    assert not calls.conclusion(everything, REFERENCE)["chosen"].any()


def test_the_conclusion_has_the_fewest_calls_and_what_fewer_lose():
    found = calls.conclusion(table(ddpm=(50,), ddim=(5,), dpmpp=(5, 10)), REFERENCE)
    assert found.loc["DDIM"].tolist() == [10, 100.0, True, 5, "patch distance"]
    assert found.loc["DPM-Solver++"].tolist() == [25, 40.0, False, 10, "patch distance"]
    assert pd.isna(found.at["ancestral (DDPM)", "fewest calls"])


def test_losses_name_the_worst_measure_of_each_point():
    both = table(ddim=(5,)).assign(diversity=0.5, diversity_error=0.01)
    both.loc[("dpm++", 5), "diversity"] = 0.9
    found = calls.losses(both, REFERENCE)
    assert found.loc[("DDIM", 5), ["measure", "lost"]].tolist() == ["patch distance", True]
    assert found.loc[("DPM-Solver++", 5), ["measure", "lost"]].tolist() == ["diversity", True]
    assert not found.loc[("DDIM", 10), "lost"]
    assert found.index.is_unique


def test_a_share_that_all_pairs_of_both_sets_have_or_lack_is_compared_too():
    sure = table().assign(**{"share of dent": 0.0, "share of dent_error": 0.0})
    sure.loc[equivalence.REAL, "share of dent"] = 0.4
    sure.loc[REFERENCE, "share of dent"] = 0.4
    assert calls.losses(sure, REFERENCE).loc[("DDIM", 10), ["measure", "lost"]].tolist() == ["share of dent", True]


# Reference results --------------------------------------------------------------------------------------------------


def test_numbers_of_record_come_back_and_are_judged_where_this_run_measured_less(study, tmp_path):
    ((name, (frame, provenance)),) = study.records().items()
    assert name == study.record_name == "network_calls_softgel_32px"
    tables.write_record(name, frame, provenance, tmp_path)
    record = study.of_these_nets(tables.record(name, tmp_path))
    pd.testing.assert_frame_equal(record.astype(float), study.table, check_index_type=False)
    assert study.judged(record) is study.table
    cheap = NetworkCalls(study.profile.model_copy(update={"measured_calls": 8}), store=study.store)
    assert np.isnan(cheap.table.loc[("ddpm", 20), "patch_distance"])
    assert cheap.judged(record) is record
    assert cheap.judged(None) is None


def test_numbers_of_other_nets_are_no_record_of_these(study):
    frame = study.table.copy()
    frame.attrs["provenance"] = {"nets": ["other", "nets"]}
    assert study.of_these_nets(frame) is None
    assert study.of_these_nets(None) is None
    frame.attrs["provenance"] = {"nets": study.nets}
    assert study.of_these_nets(frame) is frame
    assert study.of_these_nets(frame.drop(index=[study.reference])) is None


def test_what_is_shown_of_the_table(study):
    quality, speed = calls.quality(study.table), calls.speed(study.table, study.reference)
    assert quality.index[-1] == equivalence.REAL
    assert list(quality.columns) == [calls.measure_name(key) for key in equivalence.MEASURES]
    assert speed.loc[("ancestral (DDPM)", 20), "times the reference"] == 1
    assert speed.loc[("DDIM", 4), "times the reference"] > 1.5
    assert calls.quality(None) is calls.speed(None, study.reference) is None


def test_parameters_reach_the_plan():
    chosen = plans.network_calls("cpu", "washer", {"ddpm": [1000], "dpm++": [10]}, 6)
    assert [(s.synthetic.sampler, s.synthetic.num_inference_steps) for s in chosen.stages()[:-1]] == [
        ("ddpm", 1000),
        ("dpm++", 10),
    ]
    assert {stage.synthetic.count for stage in chosen.stages()[:-1]} == {6}
    assert chosen.data.product == "washer"
    assert len(plans.network_calls("cpu").measured) < len(plans.network_calls("cpu").points)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ddim": [5]}, "setting 'network_calls': name ddpm too; all are compared with its most calls"),
        ({"ddpm": [5], "ddmi": [5]}, "setting 'network_calls.ddmi.*' of Profile: .*'ddpm', 'ddim' or 'dpm"),
        ({"ddpm": [2000]}, "setting 'network_calls.ddpm.0' of Profile: .*less than or equal to 1000, got 2000"),
    ],
)
def test_wrong_calls_are_told_in_one_line(given, message):
    with pytest.raises(UserError, match=message) as told:
        plans.plan("10_network_calls", {"network_calls": given})
    assert "\n" not in str(told.value)


def test_every_profile_compares_with_the_ancestral_sampler():
    for name, most in (("smoke", 20), ("cpu", 1000), ("gpu", 1000)):
        assert NetworkCalls(load_profile(name)).reference == ("ddpm", most)
