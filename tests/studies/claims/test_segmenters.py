"""Claims about the baselines: the printed tables' own arithmetic, and tables as `Baselines` and `Speed` make them."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from scipy import stats

from defectlib.report import paper
from defectlib.studies.claims import segmenters
from defectlib.studies.claims.estimate import of_spread
from defectlib.studies.claims.finding import About, Verdict
from defectlib.studies.claims.given import Given, embedded

PRINTED = {f"paper:{name}": paper.frame(name) for name in ("table2", "table3", "table3_means")}


def given(cells: dict[tuple[str, str], float], spread: float = 0.005, seeds: int = 3) -> Given:
    index = pd.MultiIndex.from_tuples(cells, names=["product", "model"])
    return embedded(pd.DataFrame({"miou": list(cells.values()), "spread": spread, "seeds": seeds}, index=index), "64")


def test_what_the_printed_table_says_of_itself():
    vision, mvtec = (segmenters.printed_mean(name)(PRINTED) for name in ("VISION", "MVTec"))
    assert (vision.holds, vision.text) == (True, "8 of 8 printed means are those of their rows")
    assert not mvtec.holds
    assert mvtec.text == "0 of 8 printed means are those of their rows; UNet: printed 49.88, its rows give 47.87"
    assert segmenters.printed_cotton(PRINTED).holds
    assert "50.52" in segmenters.printed_cotton(PRINTED).text
    assert segmenters.printed_winners(PRINTED).text.startswith("8 of 8 baselines are the best in one of its 22 rows")
    robust = segmenters.printed_robust(PRINTED)
    assert robust.holds
    assert robust.text.endswith("in its worst row DL has rank 8 of 8")


def test_a_changed_table_would_be_noticed():
    changed = PRINTED | {"paper:table3": PRINTED["paper:table3"].assign(UNet=99.0)}
    assert not segmenters.printed_winners(changed).holds
    assert not segmenters.printed_robust(changed).holds
    assert not segmenters.printed_cotton(changed).holds
    assert not segmenters.printed_mean("VISION")(changed).holds


def test_no_model_wins_everywhere_if_each_is_beaten_somewhere():
    crossed = given({("softgel", "DL"): 0.7, ("softgel", "HR"): 0.6, ("twill", "DL"): 0.5, ("twill", "HR"): 0.6})
    finding = segmenters.no_winner(crossed)
    assert finding.verdict(About.COUNTERPART) == Verdict.DIRECTION
    lead = of_spread(0.7, 0.005, 3) - of_spread(0.6, 0.005, 3)
    assert finding.effects[0][1:3] == pytest.approx(lead.interval(tries=2))
    assert finding.text.startswith("best: DL on softgel, HR on twill; ")


def test_one_that_wins_everywhere_refutes_it_and_one_that_may_leaves_it_open():
    cells = {("softgel", "DL"): 0.7, ("softgel", "HR"): 0.6, ("twill", "DL"): 0.7, ("twill", "HR"): 0.6}
    assert segmenters.no_winner(given(cells)).verdict(About.COUNTERPART) == Verdict.NOT
    close = cells | {("twill", "HR"): 0.701}
    assert segmenters.no_winner(given(close)).verdict(About.COUNTERPART) == Verdict.UNDECIDED
    single = segmenters.no_winner(given(close, spread=math.nan, seeds=1))
    assert single.verdict(About.COUNTERPART) == Verdict.UNDECIDED
    assert "no interval" in single.text


def test_models_that_were_not_run_everywhere_are_left_out():
    cells = {("softgel", "DL"): 0.7, ("softgel", "HR"): 0.6, ("twill", "DL"): 0.7}
    assert segmenters.no_winner(given(cells)) is None
    assert segmenters.robust(given(cells)) is None


def test_the_robust_model_is_held_against_the_best_other_mean():
    cells = {("softgel", "DL"): 0.7, ("softgel", "HR"): 0.6, ("twill", "DL"): 0.7, ("twill", "HR"): 0.66}
    cells |= {("softgel", "PSP"): 0.1, ("twill", "PSP"): 0.1}
    finding = segmenters.robust(given(cells))
    assert finding.effects[0].value == pytest.approx(0.7 - 0.63)
    assert finding.text.endswith("points from HR, the best other")
    worse = {cell: 1 - miou for cell, miou in cells.items()}
    assert segmenters.robust(given(worse)).verdict(About.COUNTERPART) == Verdict.NOT


def test_transformers_on_the_fabric():
    cells = {("twill", "V-T"): 0.6, ("twill", "M2F"): 0.7, ("twill", "DL"): 0.6, ("softgel", "DL"): 0.9}
    finding = segmenters.transformers_on_fabric(given(cells))
    assert finding.effects[0].value == pytest.approx(0.05)
    assert segmenters.transformers_on_fabric(given({("softgel", "DL"): 0.9, ("softgel", "V-T"): 0.9})) is None
    assert segmenters.transformers_on_fabric(given({("twill", "DL"): 0.9})) is None


def timed(values: dict[str, float], accelerator: str | None = None) -> Given:
    about = {"sides": [256, 256], "accelerator": accelerator, "rounds": 12}
    table = pd.DataFrame({"eager": values})
    table.attrs["provenance"] = about
    return segmenters.recorded_speed({"speed_cpu": table})._replace(tables=PRINTED)


def test_the_order_of_the_paper_s_times_on_another_machine():
    paper_times = PRINTED["paper:table2"]["time (ms)"].to_dict()
    same = segmenters.same_order(timed({model: 3 * ms for model, ms in paper_times.items()}))
    assert same.effects[0].value == pytest.approx(1)
    assert same.verdict(About.COUNTERPART) == Verdict.DIRECTION
    assert same.unit == "round"
    reverse = segmenters.same_order(timed({model: 1 / ms for model, ms in paper_times.items()}))
    assert reverse.verdict(About.COUNTERPART) == Verdict.NOT
    mixed = dict(zip(paper_times, sorted(paper_times.values()), strict=True))
    tau = stats.kendalltau(list(mixed.values()), list(paper_times.values())).statistic
    finding = segmenters.same_order(timed(mixed))
    half = 1.959964 * math.sqrt(0.437 / 4)
    assert finding.effects[0][:3] == pytest.approx(
        (tau, math.tanh(math.atanh(tau) - half), math.tanh(math.atanh(tau) + half))
    )
    assert segmenters.same_order(timed({"UNet": 1.0, "M-B0": 2.0})) is None


def test_the_paper_s_times_are_decided_on_its_own_gpu_alone():
    paper_times = PRINTED["paper:table2"]["time (ms)"].to_dict()
    assert segmenters.on_their_gpu(timed(paper_times, "NVIDIA H100")) is None
    assert segmenters.on_their_gpu(timed(paper_times)) is None
    assert segmenters.on_their_gpu(timed(paper_times, "NVIDIA GeForce RTX 3090")) is not None
    assert segmenters.on_their_gpu(None) is None


def test_numbers_of_the_paper_s_own_products_decide_nothing_without_an_interval():
    wide = PRINTED["paper:table3"].loc[[("MVTec", "cable")], ["DL", "HR"]] + 2
    finding = segmenters.table_3(Given(wide, "", 3, PRINTED))
    assert finding.text == "2 cells, on average +2.0 points from the paper's"
    assert finding.verdict(About.PAPER) == Verdict.UNDECIDED
