"""What was found on a claim, and the rule by which a finding becomes a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from defectlib.studies.claims.estimate import Estimate
from defectlib.studies.paired import ENOUGH


class Verdict(StrEnum):
    """What can be said of a claim."""

    REPRODUCED = "reproduced"
    DIRECTION = "in direction only"
    NOT = "not reproduced"
    UNDECIDED = "undecided"
    NEEDS = "needs data that is not here"


class About(StrEnum):
    """What a claim is about, which says what can decide it."""

    COUNT = "count"  # what can be counted or computed: no training is part of it
    METHOD = "method"  # how a method behaves, on whatever data
    PAPER = "paper"  # the paper's own data or machine, which alone can decide it
    COUNTERPART = "counterpart"  # the question of a claim of the last kind, asked of other data
    NONE = "none"  # nothing: the paper is silent


#: How a verdict is come by, in sentences for people.
RULE = (
    f"A verdict needs {ENOUGH} seeds or more and a 95 % interval; with less the claim is *{Verdict.UNDECIDED}*.",
    f"*{Verdict.REPRODUCED.capitalize()}*: the interval lies wholly on the side that the paper claims, and holds the "
    "paper's number where it gives one.",
    f"*{Verdict.DIRECTION.capitalize()}*: it lies on that side, but not about that number, or the data are not the "
    "paper's.",
    f"*{Verdict.NOT.capitalize()}*: it lies wholly on the other side.",
    f"*{Verdict.UNDECIDED.capitalize()}*: it holds no effect too, or numbers of record and of this run contradict each "
    "other.",
    f"*{Verdict.NEEDS.capitalize()}*: a claim about the paper's own data needs these, whatever other data show. Those "
    "are asked the same question in a row of their own.",
    "Where a claim has several parts, each must hold, and one that fails is enough.",
    "What is counted or computed, with no training in it, needs neither seeds nor an interval. Times are of no "
    "training either; their rounds stand for seeds.",
)


class Effect(NamedTuple):
    """A number that the claim has greater than zero, with its 95 % interval; ``paper``: the number it claims."""

    value: float
    low: float
    high: float
    paper: float | None = None


def effect(found: Estimate, paper: float | None = None, tries: int = 1) -> Effect:
    """An estimate as an effect; see :meth:`Estimate.interval`."""
    return Effect(found.value, *found.interval(tries), paper)


@dataclass(frozen=True)
class Counted:
    """What was counted or computed.

    Attributes:
        text: In words.
        holds: Whether it is as the paper says.
    """

    text: str
    holds: bool

    def verdict(self, about: About) -> Verdict:
        """Reproduced or not."""
        return Verdict.REPRODUCED if self.holds else Verdict.NOT


@dataclass(frozen=True)
class Measured:
    """What was measured on something that was trained or timed.

    Attributes:
        text: The numbers, in words.
        seeds: Trainings behind each number; rounds where it is a time.
        unit: What of these there are.
        effects: What has to be above zero for the claim to hold, each of it; none where that was not measured.
    """

    text: str
    seeds: int
    effects: tuple[Effect, ...] = ()
    unit: str = "seed"

    def verdict(self, about: About) -> Verdict:
        """By :data:`RULE`."""
        lows = [found.low for found in self.effects]
        if self.seeds < ENOUGH or not lows or any(low != low for low in lows):
            return Verdict.UNDECIDED
        if any(found.high < 0 for found in self.effects):
            return Verdict.NOT
        if min(lows) <= 0:
            return Verdict.UNDECIDED
        numbers = [found for found in self.effects if found.paper is not None]
        exact = all(found.low <= found.paper <= found.high for found in numbers)
        return Verdict.REPRODUCED if exact and about is not About.COUNTERPART else Verdict.DIRECTION


Finding = Counted | Measured


def decide(about: About, findings: Sequence[Finding]) -> Verdict:
    """The verdict on a claim from what was found: numbers of record, of this run, both or none.

    A finding that decides nothing does not weaken one that does; two that contradict each other decide nothing.
    """
    if not findings:
        return Verdict.NEEDS if about is About.PAPER else Verdict.UNDECIDED
    decided = {found.verdict(about) for found in findings} - {Verdict.UNDECIDED}
    if decided == {Verdict.REPRODUCED, Verdict.DIRECTION}:
        return Verdict.DIRECTION
    return decided.pop() if len(decided) == 1 else Verdict.UNDECIDED
