"""How far trainings are apart in mIoU, with a 95 % interval: over seeds where there are enough, else over images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from defectlib import metrics
from defectlib.data.loading import load
from defectlib.experiments.boost import counts
from defectlib.experiments.study import Study
from defectlib.settings import Evaluation
from defectlib.store import read_provenance

#: Seeds from which on the interval is over them.
ENOUGH = 3
LEVEL = 0.95
RULE = (
    f"{metrics.RULE.partition('; intervals')[0]}; of several seeds, the mean. Differences are paired: with equal seed "
    "both trainings begin with the same weights, and both are judged on the same held-out images. "
    f"With {ENOUGH} seeds or more the interval is Student's, over the seeds' differences: it says how far the result "
    "hangs on the training, on these held-out images. With fewer it is a bootstrap interval over images (over groups "
    "where images have them): it says how far the result hangs on the images, for these trainings. All are 95 % "
    "intervals."
)

Side = tuple[Evaluation, ...]
"""Evaluations of one kind of training, one for each seed."""


def mious(study: Study, side: Side) -> np.ndarray:
    """The mIoU of every seed, fractions float64 (S,)."""
    return np.array([metrics.miou(counts(study, (stage,))) for stage in side])


def nothing_found(study: Study, *sides: Side) -> int:
    """How many trainings of some sides find nothing but background: they have not learned, and compare as nothing."""
    return sum(metrics.finds_nothing(counts(study, (stage,))) for side in sides for stage in side)


def contrast(study: Study, plus: Sequence[Side], minus: Sequence[Side]) -> dict[str, Any]:
    """The sum of mIoUs over ``plus`` less that over ``minus``, mean over seeds, all on the same held-out images.

    Args:
        study: Whose artifacts they are.
        plus: One side for a difference, two for a difference of differences.
        minus: The same.

    Returns:
        ``value``, ``low`` and ``high``, fractions; bounds are NaN where there is no interval. ``over``: what the
        interval is over, in words.
    """
    sides = [*plus, *minus]
    signs = np.repeat([1.0, -1.0], [len(plus), len(minus)])
    by_seed = signs @ np.stack([mious(study, side) for side in sides])
    if len(by_seed) >= ENOUGH:
        low, high = t_interval(by_seed)
        over = f"{len(by_seed)} seeds"
    else:
        low, high, over = _over_images(study, sides, signs)
    return {"value": float(by_seed.mean()), "low": low, "high": high, "over": over}


def t_interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Student's interval of the mean of ``values`` (S,), S >= 2."""
    size = len(values)
    half = stdtrit(size - 1, (1 + level) / 2) * values.std(ddof=1) / math.sqrt(size)
    return float(values.mean() - half), float(values.mean() + half)


def _over_images(study: Study, sides: list[Side], signs: np.ndarray) -> tuple[float, float, str]:
    groups = load(sides[0][0].segmenter.data).eval_groups
    seeds = len(sides[0])
    arms = [counts(study, (stage,)) for side in sides for stage in side]
    if any(not np.array_equal(arm.sum(axis=2), arms[0].sum(axis=2)) for arm in arms):
        raise ValueError("evaluations differ in their ground truth: compare those on the same images")
    present = metrics.present_classes(arms[0])
    weights = np.repeat(signs, seeds) / seeds

    def value(totals: Sequence[np.ndarray]) -> float:
        return float(weights @ [metrics.miou(total[None], present) for total in totals])

    _, low, high = metrics.paired_bootstrap([arm[None] for arm in arms], groups, value, arms[0].sum(axis=2) > 0)
    kinds = len(set(groups))
    if kinds < 2:  # drawing one group again and again gives an interval of no width
        low = high = math.nan
    images = f"{kinds} held-out images" if kinds == len(groups) else f"{kinds} groups of held-out images"
    return float(low), float(high), f"{images}, {seeds} seed{'s' * (seeds > 1)}"


def prefixed(name: str, found: Mapping[str, Any]) -> dict[str, float]:
    """A contrast as columns of a table: ``NAME``, ``NAME_low``, ``NAME_high``."""
    return {name: found["value"], f"{name}_low": found["low"], f"{name}_high": found["high"]}


def verdict(row: Mapping[str, Any], helped: str = "synthetic data helped", hurt: str = "synthetic data hurt") -> str:
    """A plain sentence on whether a difference can be told from none.

    Args:
        row: ``difference`` with ``_low`` and ``_high``, ``over``; ``miou``, ``reference`` (both of what is compared)
            and ``background_only``, fractions; ``seeds``; ``nothing_found``, which numbers of record may lack.
        helped: What is said of a gain.
        hurt: What is said of a loss.
    """
    points, low, high = (100 * row[f"difference{end}"] for end in ("", "_low", "_high"))
    said = f"mIoU {points:+.1f} points"
    if math.isnan(low):
        return f"too few held-out images for an interval ({said})."
    interval = f"{said}, 95 % interval {low:+.1f} to {high:+.1f}, over {row['over']}"
    if row["seeds"] < ENOUGH:
        return f"{trainings(row['seeds'])}: no verdict ({interval})."
    if row.get("nothing_found", 0):
        return f"no verdict, as {trainings(row['nothing_found'])} found nothing but background ({interval})."
    if max(row["miou"], row["reference"]) <= row["background_only"]:
        floor = f"{100 * row['background_only']:.1f} %"
        return f"undecided, as neither beats seeing no defect at all (mIoU {floor}); train it longer ({interval})."
    if low > 0 or high < 0:
        return f"{helped if low > 0 else hurt} ({interval})."
    return f"the effect cannot be told from none ({interval})."


def trainings(count: float) -> str:
    """So many trainings, in words."""
    return "one training" if count == 1 else f"{count:.0f} trainings"


def no_verdict(table: pd.DataFrame) -> str | None:
    """That the trainings of a table are too few to tell anything, if they are."""
    seeds = table["seeds"].min()
    return f"{trainings(seeds)} of each kind: no verdict." if seeds < ENOUGH else None


def of_chance(table: pd.DataFrame) -> str:
    """How many intervals of a table lie clear of zero, and how many would by chance alone.

    Args:
        table: Columns ``difference_low`` and ``difference_high``, of rows with intervals, and ``seeds``.
    """
    if few := no_verdict(table):
        return f"{few} Intervals over images lack the chance of training."
    known = table.dropna(subset=["difference_low"])
    above, below = int((known["difference_low"] > 0).sum()), int((known["difference_high"] < 0).sum())
    chance = (1 - LEVEL) * len(known)
    return (
        f"Of {len(known)} intervals {above} lie above zero and {below} below it; were there no effect at all, "
        f"{chance:.1f} of them would be expected clear of zero, on either side."
    )


def origin(study: Study, stages: Side) -> dict[str, Any]:
    """Where numbers of record come from: of ``stages``, the artifact that was finished last, and how all were made."""
    made = [read_provenance(study.path(stage)) for stage in stages]
    trained = [read_provenance(study.path(stage.segmenter)) for stage in stages]
    last = max(made, key=lambda record: record["finished"])
    settings = stages[0].segmenter
    return {key: last[key] for key in ("machine", "finished", "commit")} | {
        "device": settings.device,
        "dtype": settings.dtype,
        "profile": study.profile.name,
        "seeds": list(study.profile.seeds),
        "steps": settings.steps,
        "batch": settings.batch,
        "training_seconds": round(sum(record["wall_seconds"] for record in trained)),
    }
