"""Estimates against scipy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from defectlib.studies.claims.estimate import Estimate, combined, mean_of, of_interval, of_spread, of_values
from defectlib.studies.paired import t_interval

A, B = [0.61, 0.64, 0.66], [0.52, 0.60, 0.49]


def test_a_mean_of_seeds_has_student_s_interval():
    expected = stats.t.interval(0.95, 2, np.mean(A), stats.sem(A))
    assert of_values(A).interval() == pytest.approx(expected)
    assert of_values(A).interval() == pytest.approx(t_interval(np.array(A)))
    assert of_spread(np.mean(A), np.std(A, ddof=1), 3).interval() == pytest.approx(expected)


def test_a_difference_has_welch_s_interval():
    difference = of_values(A) - of_values(B)
    expected = stats.ttest_ind(A, B, equal_var=False)
    assert difference.freedom == pytest.approx(expected.df)
    assert difference.interval() == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_an_interval_gives_back_the_estimate_that_it_was_made_from():
    found = of_values(A)
    again = of_interval(found.value, *found.interval(), 2)
    assert (again.value, again.error, again.freedom) == pytest.approx((found.value, found.error, 2))
    assert of_interval(1.0, 1 - 1.959964, 1 + 1.959964, math.inf).error == pytest.approx(1)


def test_the_best_of_many_has_bonferroni_s_interval():
    low, high = Estimate(0.0, 1.0, math.inf).interval(tries=7)
    assert high == pytest.approx(stats.norm.ppf(1 - 0.025 / 7))
    assert low == pytest.approx(-high)


def test_the_mean_of_equal_estimates_is_known_better_by_the_root_of_their_number():
    found = mean_of([Estimate(float(k), 0.2, math.inf) for k in range(4)])
    assert (found.value, found.error, found.freedom) == pytest.approx((1.5, 0.1, math.inf))
    assert combined([-2], [Estimate(1.0, 0.5, 3)]) == Estimate(-2.0, 1.0, 3.0)


def test_one_value_has_no_interval_and_nothing_made_of_it_has():
    assert all(math.isnan(end) for end in of_values([0.5]).interval())
    assert all(math.isnan(end) for end in (of_values([0.5]) - of_values(A)).interval())
    assert mean_of([of_values([0.5]), of_values(A)]).value == pytest.approx((0.5 + np.mean(A)) / 2)


def test_what_is_known_exactly_keeps_the_other_s_interval():
    exact = Estimate(1.0, 0.0, math.inf)
    assert (of_values(A) - exact).interval() == pytest.approx([end - 1 for end in of_values(A).interval()])
    assert (exact - exact).interval() == (0.0, 0.0)
