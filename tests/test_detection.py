"""Defects found and false alarms: masks painted by hand, and what must hold of any."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defectlib import detection
from defectlib.detection import ALARMS, FPR, NAMED, RECALL, Rate, differences, rates, tally

TYPES = ("scratch", "stain")
K1 = 3
SIDE = 20


def blank():
    return np.zeros((SIDE, SIDE), np.uint8)


def painted(*boxes):
    """A mask of (type, rows, columns)."""
    mask = blank()
    for k, rows, columns in boxes:
        mask[rows, columns] = k
    return mask


def lines(found: list[Rate]) -> dict[tuple[str, str], Rate]:
    return {(rate.measure, rate.of): rate for rate in found}


def values(target, preds):
    tallies = np.stack([tally(t, p, K1) for t, p in zip(target, preds, strict=True)])
    return {key: rate.value for key, rate in lines(rates(tallies, TYPES, None)).items()}


SCRATCH = (1, slice(3, 13), slice(5, 6))  # 10 pixels, one wide


# One defect ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "found", "named", "alarms"),
    [
        ([SCRATCH], 1, 1, 0),
        ([], 0, 0, 0),
        ([(2, slice(3, 13), slice(5, 6))], 1, 0, 0),  # seen, but as a stain
        ([(1, slice(3, 13), slice(6, 7))], 1, 1, 0),  # one pixel beside it
        ([(1, slice(3, 13), slice(7, 8))], 0, 0, 1),  # two pixels beside it
        ([(1, slice(3, 5), slice(5, 6))], 1, 1, 0),  # 2 of 10 pixels and the one next to them: 30 %
        ([(1, slice(3, 4), slice(5, 6))], 0, 0, 0),  # 1 of 10 and the one next to it: 20 %, but no false alarm
        ([(1, slice(3, 4), slice(5, 6)), (2, slice(11, 13), slice(5, 6))], 1, 0, 0),  # found by both, named by neither
        ([(1, slice(4, 12, 3), slice(5, 6))], 1, 1, 0),  # a broken line
        ([SCRATCH, (1, slice(3, 13), slice(15, 17))], 1, 1, 1),
        ([(2, slice(0, 2), slice(15, 17)), (1, slice(18, 20), slice(0, 2))], 0, 0, 2),
        ([(2, slice(0, 2), slice(15, 17)), (1, slice(2, 4), slice(17, 19))], 0, 0, 1),  # they touch at a corner
        ([(1, slice(3, 13), slice(5, 10))], 1, 1, 0),  # it spreads, and two columns of five lie there
        ([(1, slice(3, 13), slice(5, 20))], 1, 1, 1),  # two of fifteen: less a defect than an alarm
        ([(1, slice(0, 20), slice(0, 20))], 1, 1, 1),
    ],
)
def test_one_scratch(seen, found, named, alarms):
    result = tally(painted(SCRATCH), painted(*seen), K1)
    assert result.dtype == np.int64
    assert result.tolist() == [[1, alarms > 0, alarms], [1, found, named], [0, 0, 0]]


def test_defects_are_regions_of_one_type():
    target = painted((1, slice(0, 3), slice(0, 3)), (1, slice(3, 5), slice(3, 5)))  # touch at a corner: one
    target |= painted((1, slice(10, 12), slice(0, 2)), (1, slice(10, 12), slice(4, 6)))  # apart: two
    target |= painted((2, slice(10, 12), slice(6, 8)))  # beside another type: one more
    assert tally(target, blank(), K1)[1:].tolist() == [[3, 0, 0], [1, 0, 0]]
    assert tally(target, target, K1)[1:].tolist() == [[3, 3, 3], [1, 1, 1]]


def test_a_diagonal_scratch_is_one_defect():
    target = np.eye(SIDE, dtype=np.uint8)
    assert tally(target, blank(), K1)[1].tolist() == [1, 0, 0]
    # Predicted on the diagonal beside it, 19 pixels: each pixel of the scratch has one next to it.
    assert tally(target, np.eye(SIDE, k=1, dtype=np.uint8), K1).tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]


def test_one_prediction_can_find_two_defects_and_the_border_is_no_neighbour():
    target = painted((1, slice(0, 2), slice(0, 1)), (2, slice(0, 2), slice(2, 3)))
    pred = painted((1, slice(0, 2), slice(1, 2)))
    assert tally(target, pred, K1).tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 0]]
    far = painted((1, slice(0, 2), slice(19, 20)), (1, slice(19, 20), slice(0, 2)))
    assert tally(target, far, K1).tolist() == [[1, 1, 2], [1, 0, 0], [1, 0, 0]]


# Many images --------------------------------------------------------------------------------------------------------


def test_rates_by_hand():
    stain = (2, slice(15, 18), slice(10, 14))
    target = [painted(SCRATCH, stain), painted(SCRATCH), painted(stain), blank(), blank()]
    alarm = (2, slice(0, 2), slice(15, 17))
    preds = [painted(SCRATCH), painted(alarm), painted((1, *stain[1:])), painted(alarm, (1, 19, 0)), blank()]
    tallies = np.stack([tally(t, p, K1) for t, p in zip(target, preds, strict=True)])
    found = lines(rates(tallies, TYPES, None))
    assert {key: (rate.cases, rate.value) for key, rate in found.items()} == {
        (RECALL, "all defects"): (4, 2 / 4),
        (RECALL, "scratch"): (2, 1 / 2),
        (RECALL, "stain"): (2, 1 / 2),
        (NAMED, "all defects"): (4, 1 / 4),
        (NAMED, "scratch"): (2, 1 / 2),
        (NAMED, "stain"): (2, 0),
        (FPR, "all images"): (5, 2 / 5),
        (FPR, "defect-free images"): (2, 1 / 2),
        (ALARMS, "all images"): (5, 3 / 5),
    }
    assert all(rate.low <= rate.value <= rate.high for rate in found.values())
    assert found[RECALL, "all defects"].low < found[RECALL, "all defects"].high


def test_tallies_of_several_models_add_up():
    target, half = (
        [painted(SCRATCH), blank()],
        np.stack([tally(painted(SCRATCH), blank(), K1), tally(blank(), blank(), K1)]),
    )
    whole = np.stack([tally(t, t, K1) for t in target])
    found = lines(rates(half + whole, TYPES, None))
    assert found[RECALL, "all defects"][2:4] == (2, 1 / 2)
    assert found[FPR, "defect-free images"][2:4] == (2, 0)


def test_nothing_there_and_nothing_seen():
    found = values([blank()] * 3, [blank()] * 3)
    assert found[FPR, "all images"] == found[FPR, "defect-free images"] == found[ALARMS, "all images"] == 0
    assert all(math.isnan(found[RECALL, of]) for of in ("all defects", *TYPES))


def test_no_images_give_no_numbers():
    found = rates(np.zeros((0, K1, 3), np.int64), TYPES, None)
    assert len(found) == 9
    assert all(rate.cases == 0 and math.isnan(rate.value) and math.isnan(rate.low) for rate in found)


def test_everything_predicted_finds_all_and_raises_an_alarm_everywhere():
    found = values([painted(SCRATCH), blank()], [blank() + 1] * 2)
    assert found[RECALL, "all defects"] == 1
    assert found[FPR, "defect-free images"] == 1
    assert found[FPR, "all images"] == 1  # that the alarm holds a scratch in one of them does not excuse it


def test_the_rule_says_what_is_done():
    assert "at least 30% of its pixels" in detection.RULE
    assert detection.SHARE == 0.3


@st.composite
def random_masks(draw):
    """Up to four masks of scattered boxes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = []
    for _ in range(draw(st.integers(1, 4))):
        mask = blank()
        for _ in range(rng.integers(0, 6)):
            top, left, height, width = (*rng.integers(0, SIDE, 2), *rng.integers(1, 7, 2))
            mask[top : top + height, left : left + width] = rng.integers(1, K1)
        masks.append(mask)
    return masks


@given(random_masks())
def test_a_perfect_prediction_finds_all_and_flags_nothing_else(target):
    found = values(target, target)
    assert all(value == 1 or math.isnan(value) for (measure, _), value in found.items() if measure in (RECALL, NAMED))
    assert found[FPR, "all images"] == found[ALARMS, "all images"] == 0
    assert math.isnan(found[RECALL, "all defects"]) == (not np.any(target))


@given(random_masks())
def test_a_blind_prediction_finds_nothing_and_flags_nothing(target):
    found = values(target, [blank()] * len(target))
    assert all(value == 0 or math.isnan(value) for (measure, _), value in found.items() if measure in (RECALL, NAMED))
    assert found[FPR, "all images"] == found[ALARMS, "all images"] == 0


@given(random_masks(), random_masks())
def test_named_is_found_found_is_there_and_more_predicted_finds_no_less(target, preds):
    for truth, pred in zip(target, preds, strict=False):
        result = tally(truth, pred, K1)
        defects, found, named = result[1:].T
        assert (named >= 0).all()
        assert (named <= found).all()
        assert (found <= defects).all()
        assert result[0, 1] == (result[0, 2] > 0)
        assert (tally(truth, np.where(pred > 0, pred, truth), K1)[1:, 1] >= found).all()
        mirrored = tally(truth[::-1, ::-1].T, pred[::-1, ::-1].T, K1)
        assert np.array_equal(mirrored, result)


# Intervals ----------------------------------------------------------------------------------------------------------


def hit_or_miss(hits, alarms=None):
    """Tallies of images with one scratch each, that is found where ``hits``."""
    tallies = np.zeros((len(hits), K1, 3), np.int64)
    tallies[:, 0, 0] = tallies[:, 1, 0] = 1
    tallies[:, 1, 1] = tallies[:, 1, 2] = hits
    tallies[:, 0, 1] = tallies[:, 0, 2] = 0 if alarms is None else alarms
    return tallies


def test_the_interval_of_recall_has_the_width_of_the_normal_one():
    hits = np.random.default_rng(0).random(400) < 0.7
    rate = lines(rates(hit_or_miss(hits), TYPES, None))[RECALL, "scratch"]
    p = hits.mean()
    assert rate.value == p
    assert rate.high - rate.low == pytest.approx(2 * 1.96 * math.sqrt(p * (1 - p) / 400), rel=0.1)


def test_groups_are_drawn_whole():
    hits = np.random.default_rng(1).random(60) < 0.5
    tripled, groups = hit_or_miss(np.repeat(hits, 3)), [f"part {i // 3}" for i in range(180)]
    assert rates(tripled, TYPES, groups)[0][3:] == pytest.approx(rates(hit_or_miss(hits), TYPES, None)[0][3:])
    alone = rates(tripled, TYPES, None)[0]
    whole = rates(tripled, TYPES, groups)[0]
    assert alone.high - alone.low < 0.8 * (whole.high - whole.low)


def test_too_rare_a_type_leaves_values_without_intervals():
    tallies = np.zeros((14, 15, 3), np.int64)  # 14 images, each of its own type
    tallies[:, 0, 0] = 1
    tallies[range(14), range(1, 15), :2] = 1
    found = rates(tallies, [f"type {k}" for k in range(14)], None)
    assert found[0].value == 1
    assert all(math.isnan(rate.low) and math.isnan(rate.high) for rate in found)


def test_differences_are_paired():
    rng = np.random.default_rng(2)
    hits, alarms = rng.random(200) < 0.5, rng.random(200) < 0.4
    better = hit_or_miss(hits | (rng.random(200) < 0.2), alarms & (rng.random(200) < 0.5))
    worse = hit_or_miss(hits, alarms)
    gains, one, other = (
        lines(x)
        for x in (differences(better, worse, TYPES, None), rates(better, TYPES, None), rates(worse, TYPES, None))
    )
    for key in ((RECALL, "all defects"), (RECALL, "scratch"), (FPR, "all images"), (ALARMS, "all images")):
        assert gains[key].cases == 200
        assert gains[key].value == pytest.approx(one[key].value - other[key].value)
        assert gains[key].low < gains[key].value < gains[key].high
        assert gains[key].high - gains[key].low < one[key].high - one[key].low + other[key].high - other[key].low
    assert gains[RECALL, "scratch"].low > 0
    assert gains[FPR, "all images"].high < 0
    assert math.isnan(gains[RECALL, "stain"].value)
    back = lines(differences(worse, better, TYPES, None))[RECALL, "scratch"]
    assert back[3:] == pytest.approx([-gains[RECALL, "scratch"][i] for i in (3, 5, 4)])
    same = lines(differences(worse, worse, TYPES, None))[FPR, "all images"]
    assert same[3:] == (0, 0, 0)


def test_differences_need_the_same_images():
    one, other = hit_or_miss([1, 0, 1]), hit_or_miss([1, 0, 1])
    other[0, 1, 0] = 2
    with pytest.raises(ValueError, match="differ in their defects: evaluate both on the same images"):
        differences(one, other, TYPES, None)
