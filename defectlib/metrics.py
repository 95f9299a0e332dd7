"""Segmentation metrics from integer counts (paper §4.2: mIoU), and intervals for them. numpy only.

Counts are confusion matrices, one per image, rows ground truth and columns prediction; everything else is computed
from them, so that any statistic can be had later without running a network again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from defectlib import runtime

RULE = (
    "mIoU is the mean of the classes' IoU over the confusion counts of the whole evaluation split, over the classes "
    "that occur in its ground truth, background included; intervals are 95 % bootstrap intervals over images "
    "(over groups where images have them), with that set of classes kept."
)

#: A number from counts (N, K + 1, K + 1) and the classes to average over, bool (K + 1,).
Statistic = Callable[[np.ndarray, np.ndarray], float]
Interval = tuple[float, float]

#: Draws rejected per draw kept before a bootstrap is given up.
_PATIENCE = 100


def confusion(target: np.ndarray, pred: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix int64 (classes, classes): entry (i, j) counts pixels of true class i predicted as j.

    Args:
        target: Integers of any shape, in 0..classes-1.
        pred: Integers of the same shape and range.
        classes: K + 1, background included.

    Raises:
        ValueError: The shapes differ, or a value is out of range.
    """
    if target.shape != pred.shape:
        raise ValueError(f"target {target.shape} and prediction {pred.shape} differ in shape")
    for what, values in (("target", target), ("prediction", pred)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(f"{what} has values in {values.min()}..{values.max()}, expected 0..{classes - 1}")
    pairs = target.astype(np.int64).ravel() * classes + pred.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def image_counts(targets: Sequence[np.ndarray], preds: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """Counts int64 (N, classes, classes) of N images; they may differ in size."""
    pairs = zip(targets, preds, strict=True)
    counts = [confusion(target, pred, classes) for target, pred in pairs]
    return np.stack(counts) if counts else np.zeros((0, classes, classes), np.int64)


def present_classes(counts: np.ndarray) -> np.ndarray:
    """Which classes occur in the ground truth of all images together, bool (K + 1,)."""
    return counts.sum(axis=(0, 2)) > 0


def iou_per_class(counts: np.ndarray) -> np.ndarray:
    """IoU = TP / (TP + FP + FN) over all images together, float64 (K + 1,); NaN where the ground truth has none."""
    total = counts.sum(axis=0)
    hits = np.diag(total).astype(np.float64)
    union = total.sum(axis=0) + total.sum(axis=1) - np.diag(total)
    return np.where(total.sum(axis=1) > 0, hits / np.maximum(union, 1), np.nan)


def miou(counts: np.ndarray, present: np.ndarray | None = None) -> float:
    """Mean IoU over the classes in ``present``, by default those that occur in the ground truth of ``counts``."""
    return _mean(iou_per_class(counts), present_classes(counts) if present is None else present)


def miou_foreground(counts: np.ndarray, present: np.ndarray | None = None) -> float:
    """:func:`miou` without the background; NaN where no defect occurs."""
    chosen = (present_classes(counts) if present is None else present).copy()
    chosen[0] = False
    return _mean(iou_per_class(counts), chosen)


def finds_nothing(counts: np.ndarray) -> bool:
    """Whether no pixel of a defect in any image is predicted as what it is."""
    total = counts.sum(axis=0)
    return int(np.trace(total)) == int(total[0, 0])


def background_only(counts: np.ndarray) -> float:
    """:func:`miou` of a model that sees no defect anywhere: what a trained one has to beat."""
    total = counts.sum(axis=0)
    blind = np.zeros_like(total)
    blind[:, 0] = total.sum(axis=1)
    return miou(blind[None])


def flagged_background(counts: np.ndarray, present: np.ndarray | None = None) -> float:
    """Share of the true background's pixels that are taken for a defect: FP / (FP + TN); ``present`` is not asked."""
    background = counts.sum(axis=0)[0]
    return float(1 - background[0] / background.sum()) if background.any() else float("nan")


def bootstrap(
    counts: np.ndarray,
    groups: Sequence[Hashable] | None,
    statistic: Statistic = miou,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of ``statistic``.

    Whole groups are drawn with replacement. The classes averaged over are those of the whole split: a draw that
    misses one of them is drawn again.

    Args:
        counts: int64 (N, K + 1, K + 1).
        groups: Group of each image, length N; None where every image stands for itself.
        statistic: What the interval is for.
        draws: Number of resamples.
        seed: Root seed.
        level: Coverage, a fraction.

    Returns:
        Lower and upper bound; NaN twice where some class is too rare for draws that hold them all.
    """
    present = present_classes(counts)

    def value(totals: Sequence[np.ndarray]) -> float:
        return statistic(totals[0][None], present)

    _, low, high = paired_bootstrap([counts[None]], groups, value, counts.sum(axis=2) > 0, draws, seed, level)
    return float(low), float(high)


def paired_bootstrap(
    arms: Sequence[np.ndarray],
    groups: Sequence[Hashable] | None,
    statistic: Callable[[Sequence[np.ndarray]], float | np.ndarray],
    holds: np.ndarray,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> np.ndarray:
    """A statistic of integers summed over images, mean over seeds, and its interval over groups and seeds.

    A draw b takes whole groups with replacement, the same for all arms and seeds, so that differences are paired; one
    that misses something of ``holds`` is drawn again. With f_bs the statistic of seed s, it gives

        f̄_b + t_b · s_b / √S,

    s_b being the standard deviation of f_bs over the S seeds, and t_b drawn from Student's distribution with S - 1
    degrees of freedom. Were seeds drawn with replacement as groups are, the interval would be too narrow by far: of
    three seeds it would run from the least to the greatest, and miss the mean of all seeds one time in four.

    Args:
        arms: Integers (S, N, ...) of each arm, on the same images and from the same seeds. With one seed the interval
            is over groups alone.
        groups: Group of each image, length N; None where every image stands for itself.
        statistic: A number, or numbers of any shape, from the sums (...) of each arm.
        holds: bool (N, C): what each image holds of C things, of which every draw must hold each that any image does.
        draws: Number of resamples.
        seed: Root seed.
        level: Coverage, a fraction.

    Returns:
        The value, and the interval's ends, float64 (3, *shape of the statistic); the ends are NaN where draws that hold
        everything are too rare.
    """
    sums = [np.stack([_by_group(counts, groups) for counts in arm]) for arm in arms]
    value = np.mean([statistic(totals) for totals in zip(*(arm.sum(axis=1) for arm in sums), strict=True)], axis=0)
    weights = _complete_draws(_by_group(holds[:, holds.any(axis=0)].astype(np.int64), groups) > 0, draws, seed)
    if not len(weights):
        return np.stack([value, *np.full((2, *value.shape), np.nan)])
    drawn = [np.tensordot(weights, arm, axes=(1, 1)) for arm in sums]  # (draws, S, ...) each
    values = np.array(
        [[statistic(totals) for totals in zip(*of_seeds, strict=True)] for of_seeds in zip(*drawn, strict=True)]
    )
    found, seeds = values.mean(axis=1), values.shape[1]
    if seeds > 1:
        student = runtime.numpy_generator(seed, "bootstrap", "seeds").standard_t(seeds - 1, len(found))
        found += (student / math.sqrt(seeds) * values.std(axis=1, ddof=1).T).T
    return np.stack([value, *np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)])


def _by_group(counts: np.ndarray, groups: Sequence[Hashable] | None) -> np.ndarray:
    """Integers (N, ...) summed within groups, (G, ...), groups in order of appearance."""
    if groups is None:
        return counts
    if len(groups) != len(counts):
        raise ValueError(f"{len(groups)} groups for {len(counts)} images")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    summed = np.zeros((len(numbers), *counts.shape[1:]), counts.dtype)
    np.add.at(summed, [numbers[group] for group in groups], counts)
    return summed


def _complete_draws(holds: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """How often each draw takes each of G groups, int64 (draws, G), draws that hold every class of ``holds`` (G, C).

    Empty if such draws are too rare.
    """
    size = len(holds)
    if not size:
        return np.zeros((0, 0), np.int64)
    rng = runtime.numpy_generator(seed, "bootstrap")
    kept = np.zeros((0, size), np.int64)
    for _ in range(_PATIENCE):
        drawn = rng.multinomial(size, np.full(size, 1 / size), size=draws)
        kept = np.concatenate([kept, drawn[((drawn @ holds) > 0).all(axis=1)]])
        if len(kept) >= draws:
            return kept[:draws]
    return kept[:0]


def _mean(values: np.ndarray, chosen: np.ndarray) -> float:
    return float(values[chosen].mean()) if chosen.any() else float("nan")
