"""Estimates with a standard error: from seeds, from pairs, from a printed interval; sums and differences of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean, how uncertain it is, and how well that is known.

    Attributes:
        value: The mean.
        error: Its standard error; NaN where it is not known.
        freedom: Degrees of freedom of the error; infinite where it counts as known.
    """

    value: float
    error: float
    freedom: float

    def interval(self, tries: int = 1) -> tuple[float, float]:
        """Student's 95 % interval; of the best of ``tries`` estimates, that after Bonferroni."""
        half = float(stdtrit(self.freedom, 1 - (1 - LEVEL) / (2 * tries))) * self.error
        return self.value - half, self.value + half

    def __sub__(self, other: Estimate) -> Estimate:
        return combined([1, -1], [self, other])


def of_values(values: Sequence[float]) -> Estimate:
    """The mean of equally good values: of seeds, or of pairs that were sampled independently."""
    count = len(values)
    spread = float(np.std(values, ddof=1)) if count > 1 else math.nan
    return of_spread(float(np.mean(values)), spread, count)


def of_spread(mean: float, spread: float, count: int) -> Estimate:
    """The mean of ``count`` values whose standard deviation is ``spread``; NaN with one."""
    known = count > 1
    return Estimate(mean, spread / math.sqrt(count) if known else math.nan, count - 1 if known else math.inf)


def of_interval(value: float, low: float, high: float, freedom: float) -> Estimate:
    """An estimate of which a 95 % interval is known: Student's, or with infinite ``freedom`` any about as wide."""
    return Estimate(value, (high - low) / 2 / float(stdtrit(freedom, (1 + LEVEL) / 2)), freedom)


def combined(weights: Iterable[float], parts: Iterable[Estimate]) -> Estimate:
    """The weighted sum of independent estimates; degrees of freedom after Welch and Satterthwaite."""
    pairs = list(zip(weights, parts, strict=True))
    variances = [(weight * part.error) ** 2 for weight, part in pairs]
    total = sum(variances)
    known = sum(v**2 / part.freedom for v, (_, part) in zip(variances, pairs, strict=True))
    value = float(sum(weight * part.value for weight, part in pairs))
    return Estimate(value, math.sqrt(total), total**2 / known if known else math.inf)


def mean_of(parts: Sequence[Estimate]) -> Estimate:
    """The plain mean of independent estimates."""
    return combined([1 / len(parts)] * len(parts), parts)
