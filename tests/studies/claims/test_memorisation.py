"""Claims about memorising, from tables as `Memorisation` makes them."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from defectlib.report import tables
from defectlib.studies.claims import memorisation
from defectlib.studies.claims.estimate import of_interval
from defectlib.studies.claims.finding import About, Verdict
from defectlib.studies.claims.given import Given
from defectlib.studies.memorisation import NET, OPTIMUM, WHOLE


def table(**distances: tuple[int, str, float]) -> pd.DataFrame:
    rows = {}
    for images, field, distance in distances.values():
        ends = {f"distance{end}": distance + by for end, by in (("", 0), ("_low", -0.1), ("_high", 0.1))}
        copies = {f"copies{end}": 0.5 + by for end, by in (("", 0), ("_low", -0.1), ("_high", 0.1))}
        rows[images, field] = ends | copies | {"held_out_copies": 0.02}
    return pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(rows, names=["images", "field"]))


def given(frame: pd.DataFrame, seeds: int = 3) -> Given:
    return Given(frame, "", seeds)


FRAME = table(a=(5, WHOLE, 0.2), b=(25, "9 px", 1.5), c=(25, WHOLE, 0.4), d=(400, WHOLE, 1.1))


def test_a_net_memorises_if_it_is_nearer_than_new_images_and_copies():
    finding = memorisation.memorises(given(FRAME))
    assert finding.effects[0][:3] == pytest.approx((0.6, 0.5, 0.7))
    assert finding.effects[1][:3] == pytest.approx((0.48, 0.38, 0.58))
    assert finding.verdict(About.METHOD) == Verdict.REPRODUCED
    assert finding.text == (
        "50 % of its pairs are copies; distance to the nearest training image 0.40 [0.30, 0.50] "
        "(held-out images: 1), from 25 images"
    )
    far = memorisation.memorises(given(table(a=(25, WHOLE, 1.4))))
    assert far.verdict(About.METHOD) == Verdict.NOT
    assert memorisation.memorises(given(FRAME, seeds=1)).verdict(About.METHOD) == Verdict.UNDECIDED


def test_only_nets_on_about_as_many_images_as_the_paper_s_are_asked():
    assert memorisation.memorises(given(table(a=(5, WHOLE, 0.2), b=(400, WHOLE, 1.1)))) is None
    assert "from 20 images" in memorisation.memorises(given(table(a=(20, WHOLE, 0.2), b=(45, WHOLE, 1.1)))).text
    assert memorisation.memorises(given(table(a=(25, "9 px", 0.2)))) is None


def test_patches_and_more_images_are_differences_of_distances():
    patches, more = (judge(given(FRAME)) for judge in (memorisation.patches_vary, memorisation.more_images))
    error = math.hypot(*[of_interval(0, -0.1, 0.1, math.inf).error] * 2)
    assert patches.effects[0][:3] == pytest.approx((1.1, 1.1 - 1.959964 * error, 1.1 + 1.959964 * error))
    assert more.effects[0].value == pytest.approx(0.9)
    assert more.text.endswith("from 5 to 400 images")
    assert memorisation.more_images(given(table(a=(25, WHOLE, 0.4)))) is None
    assert memorisation.patches_vary(given(table(a=(25, WHOLE, 0.4)))) is None


def test_the_density_of_one_net_decides_nothing():
    numbers = {OPTIMUM: {"near": 0.99}, NET: {"near": 0.68, "true_near": 0.41}}
    finding = memorisation.density_peaks(Given(numbers, "", 1))
    assert finding.text.endswith("trained net 68 %, best denoiser there is 99 %, truly 41 %")
    assert finding.verdict(About.METHOD) == Verdict.UNDECIDED


def test_the_record_says_what_it_is_of(tmp_path):
    made = {"machine": "m", "device": "cpu", "finished": "f", "commit": "c", "product": "twill", "budget": {"size": 32}}
    tables.write_record("memorisation", FRAME, made, tmp_path)
    found = memorisation.recorded_memorisation({"memorisation": tables.record("memorisation", tmp_path)})
    assert (found.data, found.seeds) == ("procedural twill, 32 px", 1)
    tables.write_record("memorisation", FRAME, made | {"seeds": [0, 1, 2]}, tmp_path)
    found = memorisation.recorded_memorisation({"memorisation": tables.record("memorisation", tmp_path)})
    assert found.seeds == 3
    assert memorisation.recorded_memorisation({}) is None
