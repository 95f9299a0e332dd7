"""Does synthetic data help? Baselines with and without it, on images held out (paper §4.4, Table 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from defectlib import detection, metrics
from defectlib.data.loading import load
from defectlib.experiments.study import Study
from defectlib.settings import Data, Evaluation

RULE = (
    f"{metrics.RULE.partition('; intervals')[0]}; of several seeds, the mean. Intervals are 95 % paired bootstrap "
    "intervals over images (over groups where images have them), with that set of classes kept, and over seeds where "
    "there are several, by Student's distribution."
)

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
    """What a table needs to say whether synthetic data helped; mIoU as a fraction in [0, 1], see :data:`RULE`.

    Returns:
        ``real``, ``synthetic`` (mIoU without and with) and ``difference``, each followed by its 95 % interval,
        ``…_low`` and ``…_high``; ``background_only``, the mIoU of seeing no defect; ``nothing_found``, how many
        trainings of both sides find nothing; ``images``, ``groups``, ``seeds``.
    """
    groups = load(comparison.data).eval_groups
    without, both = (
        np.stack([counts(study, (stage,)) for stage in side])
        for side in (comparison.without, comparison.with_synthetic)
    )
    return {
        **_compared(without, both, groups, metrics.miou),
        "background_only": metrics.background_only(without[0]),
        "nothing_found": sum(metrics.finds_nothing(found) for found in (*without, *both)),
        "images": len(groups),
        "groups": len(set(groups)),
        "seeds": len(without),
    }


def _compared(
    without: np.ndarray, both: np.ndarray, groups: Sequence[str], statistic: metrics.Statistic
) -> dict[str, float]:
    """``real``, ``synthetic`` and ``difference`` of a statistic of counts (S, N, K + 1, K + 1), with intervals."""
    present = metrics.present_classes(without[0])

    def of_sums(totals: Sequence[np.ndarray]) -> np.ndarray:
        real, synthetic = (statistic(total[None], present) for total in totals)
        return np.array([real, synthetic, synthetic - real])

    found = metrics.paired_bootstrap([without, both], groups, of_sums, without[0].sum(axis=2) > 0)
    names = ("real", "synthetic", "difference")
    return {key: value for name, ends in zip(names, found.T, strict=True) for key, value in _named(name, *ends).items()}


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
            for key, number in _named(name, rate.value, rate.low, rate.high).items()
        }
        for rates in zip(*columns.values(), strict=True)
    ]
    without, both = (counts(study, side)[None] for side in sides)
    flagged = {
        "measure": detection.FPR,
        "of": "background pixels",
        "cases": int(without[0, :, 0].sum()) // len(sides[0]),
        **_compared(without, both, groups, metrics.flagged_background),
    }
    return pd.DataFrame([*rows, flagged])


def verdict(row: Mapping[str, float]) -> str:
    """A plain sentence on the difference in ``row`` of :func:`compare`."""
    points = 100 * row["difference"]
    low, high = 100 * row["difference_low"], 100 * row["difference_high"]
    if row["groups"] < 2 or math.isnan(low):  # drawing one group again and again gives an interval of no width
        return f"Too few held-out groups ({row['groups']:.0f}) for an interval: mIoU {points:+.1f} points."
    interval = f"95 % interval {low:+.1f} to {high:+.1f} points over {row['groups']:.0f} held-out groups"
    if row["seeds"] < 2:
        return f"One training: no verdict; train from more seeds. mIoU {points:+.1f} points ({interval} alone)."
    interval += f" and {row['seeds']:.0f} seeds"
    if blind := row["nothing_found"]:
        found = f"{blind:.0f} of {2 * row['seeds']:.0f} trainings find{'s' * (blind == 1)} nothing but background"
        return f"No verdict: {found}; train the baseline longer. mIoU {points:+.1f} points ({interval})."
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
    """IoU in [0, 1] by class name, mean over seeds, background first; NaN where the held-out images have none."""
    each = np.mean([metrics.iou_per_class(counts(study, (stage,))) for stage in stages], axis=0)
    return dict(zip(("background", *classes), each.tolist(), strict=True))


def _named(name: str, value: float, low: float, high: float) -> dict[str, float]:
    return {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}
