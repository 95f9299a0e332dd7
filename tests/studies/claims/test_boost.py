"""Claims about synthetic pairs, from tables as `Ratios` and `Controls` make them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from defectlib import detection
from defectlib.report import paper
from defectlib.studies.claims import boost
from defectlib.studies.claims.estimate import mean_of, of_values
from defectlib.studies.claims.finding import About, Verdict
from defectlib.studies.claims.given import Given, embedded, spectrum
from defectlib.studies.controls import BARE, REAL
from defectlib.studies.paired import prefixed, t_interval

DOWN = {"value": math.nan, "low": math.nan, "high": math.nan}


def told(values) -> dict:
    """A contrast over seeds."""
    low, high = t_interval(np.array(values))
    return {"value": float(np.mean(values)), "low": low, "high": high}


def table(gains: dict, extra: dict | None = None, seeds: int = 3) -> pd.DataFrame:
    """Rows by (product, model, ratio) from the seeds' gains; the best ratio is that with the greatest mean gain."""
    rows = {}
    for cell, values in gains.items():
        rows[(*cell, 0)] = {"miou": 0.5, "reference": 0.5, **prefixed("difference", DOWN), **prefixed("extra", DOWN)}
        best = max({0: [0.0] * seeds} | values, key=lambda ratio: np.mean(values.get(ratio, [0.0])))
        rows[(*cell, 0)] |= missed([0.0] * seeds, values.get(best, [0.0] * seeds), best == 0)
        for ratio, found in values.items():
            rows[(*cell, ratio)] = {
                "miou": 0.5 + np.mean(found),
                "reference": 0.5,
                **prefixed("difference", told(found)),
                **prefixed("extra", told((extra or {}).get((*cell, ratio), found))),
                **missed(found, values.get(best, [0.0] * seeds), ratio == best),
            }
    index = pd.MultiIndex.from_tuples(rows, names=["product", "model", "ratio"])
    return pd.DataFrame(list(rows.values()), index=index).assign(seeds=seeds, background_only=0.2)


def missed(values, best, is_best) -> dict:
    return prefixed("to_best", DOWN | {"value": 0.0} if is_best else told(np.subtract(values, best)))


def given(frame: pd.DataFrame, choose=embedded, claimed: float = math.nan) -> Given:
    tables = {f"paper:{name}": paper.frame(name) for name in ("table3", "table4")}
    return choose(frame, "64")._replace(tables=tables, claimed=claimed)


UP, MORE, FALL = [0.020, 0.025, 0.024], [0.031, 0.036, 0.034], [-0.02, -0.026, -0.022]


def test_a_gain_over_products_is_the_mean_of_theirs_with_the_interval_that_follows():
    frame = table({("softgel", "DL"): {100: UP}, ("twill", "DL"): {100: MORE}})
    finding = boost.gain_at(None, given(frame))
    expected = mean_of([of_values(UP), of_values(MORE)])
    assert finding.effects[0][:3] == pytest.approx((expected.value, *expected.interval()))
    assert finding.text.startswith("100 %: +2.8 [")
    assert "of 2 intervals 2 lie above zero and 0 below" in finding.text
    assert finding.verdict(About.COUNTERPART) == Verdict.DIRECTION


def test_a_ratio_that_was_not_run_finds_nothing():
    frame = table({("softgel", "DL"): {100: UP}})
    assert boost.gain_at(20, given(frame)) is None
    assert boost.gain_at(20, given(table({("softgel", "DL"): {20: UP, 100: MORE}}))).text.startswith("20 %: +2.3")


def test_table_4_asks_the_best_baseline_alone():
    frame = table({("softgel", "DL"): {100: UP}, ("softgel", "M-B0"): {100: FALL}})
    frame.loc[("softgel", "M-B0"), "miou"] -= 0.1
    assert boost.best_gains(given(frame)).effects[0].value == pytest.approx(np.mean(UP))


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        ([0.035, 0.040, 0.043], Verdict.REPRODUCED),  # the paper: 3.97 points
        ([0.010, 0.011, 0.012], Verdict.DIRECTION),
        (FALL, Verdict.NOT),
        ([-0.03, 0.02, 0.04], Verdict.UNDECIDED),
    ],
)
def test_table_4_on_the_paper_s_own_products(gain, verdict):
    frame = table({("defect_spectrum/mvtec_cable", "DL"): {100: gain}, ("softgel", "DL"): {100: UP}})
    finding = boost.table_4("MVTec", given(frame, spectrum))
    assert finding.effects[0].paper == pytest.approx(0.0397)
    assert finding.verdict(About.PAPER) == verdict
    assert boost.table_4("VISION", given(frame, spectrum)) is None
    assert spectrum(table({("softgel", "DL"): {100: UP}}), "64") is None


def test_the_best_amount_differs_where_none_serves_all_products():
    small, large = (
        {20: [0.10, 0.101, 0.102], 300: [0.0, 0.001, 0.002]},
        {20: [0.0, 0.002, 0.001], 300: [0.1, 0.101, 0.103]},
    )
    frame = table({("softgel", "DL"): small, ("twill", "DL"): large})
    finding = boost.best_amount_differs(given(frame))
    assert finding.effects[0].low > 0
    assert finding.effects[0].value == pytest.approx(0.1, abs=0.002)
    same = boost.best_amount_differs(given(table({("softgel", "DL"): small, ("twill", "DL"): small})))
    assert same.effects[0].low == same.effects[0].value == 0
    assert same.verdict(About.COUNTERPART) == Verdict.UNDECIDED
    assert boost.best_amount_differs(given(table({("softgel", "DL"): small}))) is None


def test_a_model_that_gains_more_is_asked_beyond_the_first():
    extra = {("softgel", "M-B0", 100): UP}
    frame = table({("softgel", "DL"): {100: FALL}, ("softgel", "M-B0"): {100: MORE}}, extra)
    finding = boost.transformer_gains_more(given(frame))
    assert finding.effects[0].value == pytest.approx(np.mean(UP))
    assert boost.transformer_gains_more(given(table({("softgel", "DL"): {100: UP}}))) is None


def test_the_greatest_gain_has_an_interval_for_the_greatest_of_many():
    frame = table({("softgel", "DL"): {20: UP, 100: MORE}, ("twill", "DL"): {100: FALL}})
    finding = boost.greatest_gain(given(frame, claimed=9.85))
    assert finding.effects[0][:3] == pytest.approx((np.mean(MORE), *of_values(MORE).interval(tries=3)))
    assert finding.effects[0].paper == pytest.approx(0.0985)
    assert "DL on softgel, 100 %" in finding.text


def test_two_seeds_decide_nothing_however_clear():
    frame = table({("softgel", "DL"): {100: UP}}).assign(seeds=2)
    assert boost.gain_at(None, given(frame)).verdict(About.COUNTERPART) == Verdict.UNDECIDED


def rates(change: float, measure: str) -> Given:
    rows = {("softgel", model, measure): told([change - 0.01, change, change + 0.01]) for model in ("DL", "M-B0")}
    index = pd.MultiIndex.from_tuples(rows, names=["product", "model", "measure"])
    frame = pd.DataFrame([prefixed("difference", row) for row in rows.values()], index=index)
    return embedded(frame, "64")._replace(seeds=3)


def test_recall_should_rise_and_false_alarms_should_fall():
    recall = boost.rate_changes(detection.RECALL, 1, rates(0.1, detection.RECALL))
    assert recall.verdict(About.COUNTERPART) == Verdict.DIRECTION
    falls = boost.rate_changes(detection.FPR, -1, rates(-0.3, detection.FPR)._replace(claimed=-33.1))
    assert falls.effects[0][0] == pytest.approx(0.3)
    assert falls.effects[0].paper == pytest.approx(0.331)
    assert falls.text.startswith("\N{MINUS SIGN}30.0 [")
    rises = boost.rate_changes(detection.FPR, -1, rates(0.3, detection.FPR))
    assert rises.verdict(About.COUNTERPART) == Verdict.NOT
    assert boost.rate_changes(detection.FPR, -1, rates(0.1, detection.RECALL)) is None


def test_pairs_of_defect_gen_against_the_best_of_the_others_at_the_usual_switch_step():
    arms = {REAL: [0.0] * 3, BARE: FALL, "Defect-Gen, u = 400": UP, "Defect-Gen, u = 800": MORE, "SinGAN": FALL}
    frame = pd.DataFrame([prefixed("difference", told(values)) for values in arms.values()], index=list(arms))
    numbers = Given(frame.assign(seeds=3), "", 3)
    finding = boost.better_than_others(numbers)
    expected = of_values(UP) - of_values(FALL)
    assert finding.effects[0][:3] == pytest.approx((expected.value, *expected.interval()))
    assert "Defect-Gen, u = 400, against SinGAN" in finding.text
    assert boost.better_than_others(numbers._replace(numbers=frame.assign(seeds=3).drop(index="SinGAN"))) is None
