"""Claims about Defect-Gen, its release and its rivals: what is computed, and measures as studies make them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from defectlib.studies.claims import generators
from defectlib.studies.claims.finding import About, Verdict
from defectlib.studies.claims.given import Given

NEAR, MIDDLE, FAR = [0.02, 0.03, 0.025, 0.028], [0.05, 0.06, 0.055, 0.052], [0.15, 0.14, 0.16, 0.17]


def measures(nearest, fits=None) -> dict:
    return {
        "nearest_distance": nearest,
        "training_nearest_mean": 0.10,
        "held_out": {"nearest_mean": 0.11},
        "fits": fits,
        "patch_distance": 8.0,
        "diversity": 0.5,
    }


def curve(seeds: int = 3, **changes) -> Given:
    found = {
        0: measures(NEAR, [0.95, 0.96, 0.97, 0.96]),
        400: measures(MIDDLE),
        1000: measures(FAR, [0.5, 0.6, 0.7, 0.6]),
    }
    return Given(found | {int(u[1:]): change for u, change in changes.items()}, "", seeds)


def test_what_is_computed_of_the_setting():
    assert generators.training_images({}).holds
    assert generators.training_images({}).text == "25 images: 5 of each type of softgel"
    assert generators.timesteps({}).text == "T = 1000"
    assert generators.two_stages({}).holds


def test_the_release_does_not_hand_over_as_the_paper_says():
    found = generators.release_hands_over({})
    assert not found.holds
    assert found.text == "at u = 400 its large net is called from t = 599 to 0, not from 999 to 400"


def test_the_field_of_small_nets_is_that_of_their_layers():
    nets = {
        "small, 17 px": {"theory": 17, "measured": [17, 17]},
        "small, 45 px": {"theory": 45, "measured": [45, 43]},
        "large": {"theory": None, "measured": [64, 64]},
    }
    found = generators.fewer_levels(Given(nets, "", 1))
    assert found.holds
    assert found.text.startswith("17 px by layers, 17 px by gradients; 45 px by layers, 45 px by gradients")
    leaking = nets | {"small, 17 px": {"theory": 17, "measured": [18, 17]}}
    assert not generators.fewer_levels(Given(leaking, "", 1)).holds


def test_the_trade_needs_both_diversity_and_fidelity():
    finding = generators.trades(curve())
    gain, loss = finding.effects
    for found, (a, b) in ((gain, (FAR, NEAR)), (loss, ([0.95, 0.96, 0.97, 0.96], [0.5, 0.6, 0.7, 0.6]))):
        expected = stats.ttest_ind(a, b, equal_var=False)
        assert found[1:3] == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert finding.verdict(About.METHOD) == Verdict.REPRODUCED
    unjudged = generators.trades(curve(u1000=measures(FAR)))
    assert unjudged.effects == ()
    assert unjudged.verdict(About.METHOD) == Verdict.UNDECIDED
    assert "agreement" not in unjudged.text


def test_the_three_regimes():
    alone, small, both = (
        judge(curve()) for judge in (generators.large_alone, generators.small_alone, generators.both_nets)
    )
    assert {finding.verdict(About.METHOD) for finding in (alone, small, both)} == {Verdict.REPRODUCED}
    assert alone.effects[0].value == pytest.approx(0.10 - np.mean(NEAR))
    assert small.effects[0].value == pytest.approx(np.mean(FAR) - 0.11)
    assert [found.value for found in both.effects] == pytest.approx(
        [np.mean(MIDDLE) - np.mean(NEAR), np.mean(FAR) - np.mean(MIDDLE)]
    )
    assert generators.large_alone(curve(u0=measures(FAR))).verdict(About.METHOD) == Verdict.NOT
    assert generators.large_alone(curve(seeds=1)).verdict(About.METHOD) == Verdict.UNDECIDED
    single = Given({400: measures(MIDDLE)}, "", 3)
    assert generators.large_alone(single) is generators.small_alone(single) is generators.both_nets(single) is None


def test_the_release_is_asked_at_the_switch_step_that_it_uses():
    columns = ["u", "spread", "spread_low", "spread_high"]
    table = pd.DataFrame([(200, 0.5, 0.4, 0.6), (400, -0.02, -0.03, -0.01)], columns=columns)
    finding = generators.release_varies_less(Given(table, "", 3))
    assert finding.effects[0][:3] == (0.02, 0.01, 0.03)
    assert finding.text.startswith(
        "distance between two pairs \N{MINUS SIGN}0.020 [\N{MINUS SIGN}0.030, \N{MINUS SIGN}0.010]"
    )
    assert generators.release_varies_less(Given(table.iloc[:0], "", 3)) is None


def test_rivals_are_held_against_defect_gen():
    found = {"Defect-Gen": measures(FAR), "DDPM": measures(NEAR), "CycleGAN": measures(MIDDLE), "SinGAN": measures(FAR)}
    given = Given(found | {"judged": {"agreement": None}}, "", 3)
    judges = generators.GROUPS["11_rivals"][0].judges
    finding = judges["ddpm-repeats"](given)
    assert finding.verdict(About.METHOD) == Verdict.REPRODUCED
    expected = stats.ttest_ind(FAR, NEAR, equal_var=False).confidence_interval(0.95)
    assert finding.effects[0][1:3] == pytest.approx(tuple(expected))
    worse = Given(given.numbers | {"DDPM": measures(FAR)}, "", 3)
    assert judges["ddpm-repeats"](worse).verdict(About.METHOD) == Verdict.NOT
    assert judges["singan-unreal"](given).verdict(About.METHOD) == Verdict.UNDECIDED
    assert judges["masks-align"](given) is None
    judged = {"agreement": {"miou": 0.951}, "held_out": {"agreement": {"miou": 0.972}}}
    assert "at 0.95 mIoU, real ones at 0.97" in judges["masks-align"](Given(found | {"judged": judged}, "", 3)).text
