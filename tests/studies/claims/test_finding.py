"""The rule of the verdicts, case by case."""

from __future__ import annotations

import math

import pytest

from defectlib.studies.claims.finding import About, Counted, Effect, Measured, Verdict, decide

GAIN, LOSS, NONE = Effect(2, 1, 3), Effect(-2, -3, -1), Effect(0.5, -1, 2)
UNKNOWN = Effect(2, math.nan, math.nan)


def measured(*effects: Effect, seeds: int = 3) -> Measured:
    return Measured("", seeds, effects)


@pytest.mark.parametrize(
    ("finding", "about", "verdict"),
    [
        (measured(GAIN), About.METHOD, Verdict.REPRODUCED),
        (measured(GAIN), About.COUNTERPART, Verdict.DIRECTION),
        (measured(GAIN), About.PAPER, Verdict.REPRODUCED),
        (measured(LOSS), About.METHOD, Verdict.NOT),
        (measured(LOSS), About.COUNTERPART, Verdict.NOT),
        (measured(NONE), About.METHOD, Verdict.UNDECIDED),
        (measured(Effect(1, 0, 2)), About.METHOD, Verdict.UNDECIDED),
        # The paper's number within the interval, at its end, beyond it.
        (measured(GAIN._replace(paper=2.5)), About.PAPER, Verdict.REPRODUCED),
        (measured(GAIN._replace(paper=3)), About.PAPER, Verdict.REPRODUCED),
        (measured(GAIN._replace(paper=3.01)), About.PAPER, Verdict.DIRECTION),
        (measured(GAIN._replace(paper=0.99)), About.PAPER, Verdict.DIRECTION),
        (measured(LOSS._replace(paper=2)), About.PAPER, Verdict.NOT),
        # Every part must hold, and one that fails is enough.
        (measured(GAIN, GAIN), About.METHOD, Verdict.REPRODUCED),
        (measured(GAIN, NONE), About.METHOD, Verdict.UNDECIDED),
        (measured(GAIN, LOSS), About.METHOD, Verdict.NOT),
        (measured(NONE, LOSS), About.METHOD, Verdict.NOT),
        (measured(GAIN, GAIN._replace(paper=9)), About.PAPER, Verdict.DIRECTION),
        # Fewer than three seeds, or no interval.
        (measured(GAIN, seeds=2), About.METHOD, Verdict.UNDECIDED),
        (measured(LOSS, seeds=1), About.METHOD, Verdict.UNDECIDED),
        (measured(UNKNOWN), About.METHOD, Verdict.UNDECIDED),
        (measured(UNKNOWN, LOSS), About.METHOD, Verdict.UNDECIDED),
        (measured(), About.METHOD, Verdict.UNDECIDED),
        # What is counted needs neither.
        (Counted("", holds=True), About.COUNT, Verdict.REPRODUCED),
        (Counted("", holds=False), About.COUNT, Verdict.NOT),
        (Counted("", holds=True), About.PAPER, Verdict.REPRODUCED),
    ],
)
def test_one_finding(finding, about, verdict):
    assert finding.verdict(about) == verdict
    assert decide(about, [finding]) == verdict


def test_without_a_finding_the_paper_s_data_are_needed_and_all_else_is_undecided():
    assert decide(About.PAPER, []) == Verdict.NEEDS
    assert {decide(about, []) for about in About if about is not About.PAPER} == {Verdict.UNDECIDED}


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([measured(GAIN), measured(GAIN, seeds=1)], Verdict.REPRODUCED),
        ([measured(LOSS, seeds=1), measured(GAIN)], Verdict.REPRODUCED),
        ([measured(GAIN), measured(NONE)], Verdict.REPRODUCED),
        ([measured(GAIN), measured(LOSS)], Verdict.UNDECIDED),
        ([measured(NONE), measured(GAIN, seeds=1)], Verdict.UNDECIDED),
        ([measured(GAIN._replace(paper=9)), measured(GAIN._replace(paper=2))], Verdict.DIRECTION),
        ([measured(GAIN._replace(paper=9)), measured(LOSS)], Verdict.UNDECIDED),
    ],
)
def test_record_and_run_together(findings, verdict):
    assert decide(About.PAPER, findings) == verdict
    assert decide(About.PAPER, findings[::-1]) == verdict
