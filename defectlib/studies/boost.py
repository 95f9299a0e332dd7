"""Does synthetic data help? Baselines with and without it, on images held out (paper §4.4, Table 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from defectlib import detection, metrics
from defectlib.config import Data, Evaluation
from defectlib.data.loading import load
from defectlib.studies.study import Study

#: What a baseline was trained on.
REAL, BOTH = "real", "real + synthetic"


@dataclass(frozen=True)
class Comparison:
    """Evaluations of one model, one per seed, without and with synthetic data, on the same held-out images."""

    data: Data
    without: tuple[Evaluation, ...]
    with_synthetic: tuple[Evaluation, ...]

    def stages(self) -> tuple[Evaluation, ...]:
        """All of them."""
        return (*self.without, *self.with_synthetic)


def compare(study: Study, comparison: Comparison) -> dict[str, float | int]:
    """What a table needs to say whether synthetic data helped; mIoU as a fraction in [0, 1].

    Confusion counts are summed over seeds before anything else is computed, so an interval says how far the result
    hangs on the held-out images (groups), not on the seed.

    Returns:
        ``real``, ``synthetic`` (mIoU without and with) and ``difference``, each followed by its 95 % bootstrap
        interval, ``…_low`` and ``…_high``; ``background_only``, the mIoU of seeing no defect; ``images``, ``groups``,
        ``seeds``.
    """
    dataset = load(comparison.data)
    groups = dataset.eval_groups
    without, with_synthetic = (counts(study, side) for side in (comparison.without, comparison.with_synthetic))
    real, both = metrics.miou(without), metrics.miou(with_synthetic)
    return {
        **_with_interval("real", real, metrics.bootstrap(without, groups)),
        **_with_interval("synthetic", both, metrics.bootstrap(with_synthetic, groups)),
        **_with_interval("difference", both - real, metrics.paired_bootstrap(with_synthetic, without, groups)),
        "background_only": metrics.background_only(without),
        "images": len(groups),
        "groups": len(set(groups)),
        "seeds": len(comparison.without),
    }


def compare_defects(study: Study, comparison: Comparison) -> pd.DataFrame:
    """Recall and false alarms without and with synthetic data, by :data:`defectlib.detection.RULE`.

    Each seed's model judges every image, and all of these judgements count alike.

    Returns:
        One row for each rate: ``measure`` and ``of``, see :class:`defectlib.detection.Rate`; ``cases`` per seed;
        ``real``, ``synthetic`` and ``difference`` as fractions, each with ``_low`` and ``_high``, as in
        :func:`compare`. The last row is the share of the true background's pixels that are flagged.
    """
    dataset = load(comparison.data)
    groups = dataset.eval_groups
    sides = (comparison.without, comparison.with_synthetic)
    without, both = (defects(study, side) for side in sides)
    columns = {
        "real": detection.rates(without, dataset.classes, groups),
        "synthetic": detection.rates(both, dataset.classes, groups),
        "difference": detection.differences(both, without, dataset.classes, groups),
    }
    rows = [
        {"measure": rates[0].measure, "of": rates[0].of, "cases": rates[0].cases // len(comparison.without)}
        | {
            key: number
            for name, rate in zip(columns, rates, strict=True)
            for key, number in _with_interval(name, rate.value, (rate.low, rate.high)).items()
        }
        for rates in zip(*columns.values(), strict=True)
    ]
    return pd.DataFrame([*rows, _flagged_background(*(counts(study, side) for side in sides), groups, len(sides[0]))])


def _flagged_background(
    without: np.ndarray, both: np.ndarray, groups: list[str], seeds: int
) -> dict[str, str | int | float]:
    flagged = metrics.flagged_background
    real, synthetic = flagged(without), flagged(both)
    return {
        "measure": detection.FPR,
        "of": "background pixels",
        "cases": int(without[:, 0].sum()) // seeds,
        **_with_interval("real", real, metrics.bootstrap(without, groups, flagged)),
        **_with_interval("synthetic", synthetic, metrics.bootstrap(both, groups, flagged)),
        **_with_interval("difference", synthetic - real, metrics.paired_bootstrap(both, without, groups, flagged)),
    }


def verdict(row: Mapping[str, float]) -> str:
    """A plain sentence on the difference in ``row`` of :func:`compare`."""
    points = 100 * row["difference"]
    low, high = 100 * row["difference_low"], 100 * row["difference_high"]
    if row["groups"] < 2 or math.isnan(low):  # drawing one group again and again gives an interval of no width
        return f"Too few held-out groups ({row['groups']:.0f}) for an interval: mIoU {points:+.1f} points."
    interval = f"95 % interval {low:+.1f} to {high:+.1f} points over {row['groups']:.0f} held-out groups"
    if max(row["real"], row["synthetic"]) <= row["background_only"]:
        floor = f"{100 * row['background_only']:.1f} %"
        return (
            f"Undecided: neither baseline beats seeing no defect at all (mIoU {floor}); train it longer ({interval})."
        )
    if low > 0:
        return f"Synthetic data helped: mIoU {points:+.1f} points ({interval})."
    if high < 0:
        return f"Synthetic data hurt: mIoU {points:+.1f} points ({interval})."
    return f"No effect can be told from none: mIoU {points:+.1f} points ({interval})."


def counts(study: Study, stages: tuple[Evaluation, ...]) -> np.ndarray:
    """Per-image confusion counts summed over seeds, int64 (N, K + 1, K + 1)."""
    return sum(np.load(study.path(stage) / "counts.npy", allow_pickle=False) for stage in stages)


def defects(study: Study, stages: tuple[Evaluation, ...]) -> np.ndarray:
    """Per-image tallies of defects summed over seeds, int64 (N, K + 1, 3); see :func:`defectlib.detection.tally`."""
    return sum(np.load(study.path(stage) / "defects.npy", allow_pickle=False) for stage in stages)


def class_iou(study: Study, stages: tuple[Evaluation, ...], classes: tuple[str, ...]) -> dict[str, float]:
    """IoU in [0, 1] by class name, background first; NaN where the held-out images have none."""
    return dict(zip(("background", *classes), metrics.iou_per_class(counts(study, stages)).tolist(), strict=True))


def _with_interval(name: str, value: float, interval: tuple[float, float]) -> dict[str, float]:
    return {name: value, f"{name}_low": interval[0], f"{name}_high": interval[1]}
