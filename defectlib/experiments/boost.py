"""Does synthetic data help? Baselines without it, with more and more of it, and with others (§4.4, Table 4, Fig. 8)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from defectlib import detection, metrics
from defectlib.data import procedural
from defectlib.data.loading import load, load_train
from defectlib.data.sources.manifest import read_manifest
from defectlib.errors import UserError, unknown
from defectlib.experiments.rivals import DDPM, OURS, Rivals
from defectlib.experiments.study import Study
from defectlib.profiles import Profile
from defectlib.settings import Data, EmbeddedData, Evaluation, Pairs, PublishedData, Synthesis
from defectlib.store import read_provenance

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


# How far trainings are apart ------------------------------------------------------------------------------------------

#: Seeds from which on the interval is over them.
ENOUGH = 3
LEVEL = 0.95
PAIRED_RULE = (
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
        half = stats.t.ppf((1 + LEVEL) / 2, len(by_seed) - 1) * stats.sem(by_seed)
        low, high = by_seed.mean() + half * np.array([-1, 1])
        over = f"{len(by_seed)} seeds"
    else:
        low, high, over = _over_images(study, sides, signs)
    return {"value": float(by_seed.mean()), "low": low, "high": high, "over": over}


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


def effect(row: Mapping[str, Any], name: str = "difference") -> str:
    """How a paired interval lies: ``gain``, ``loss`` or ``n.s.``; empty where there is nothing to compare.

    ``needs seeds``: from fewer than :data:`ENOUGH` trainings. ``not learned``: a training finds nothing but background,
    or neither side beats seeing no defect at all.
    """
    if math.isnan(row[name]):
        return ""
    if row["seeds"] < ENOUGH:
        return "needs seeds"
    # Reference results recorded earlier may lack ``nothing_found``.
    if row.get("nothing_found", 0) or max(row["miou"], row["reference"]) <= row["background_only"]:
        return "not learned"
    return "gain" if row[f"{name}_low"] > 0 else "loss" if row[f"{name}_high"] < 0 else "n.s."


def origin(study: Study, stages: Side) -> dict[str, Any]:
    """Where reference results come from: of ``stages``, the artifact that was finished last, and how all were made."""
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


# More and more pairs --------------------------------------------------------------------------------------------------

#: Synthetic pairs in % of the real images, in the paper's Table 4 as far as it says.
WHOLE = 100


def real_images(data: Data) -> int:
    """How many real images train, which is known without having them unless the publishers divide the dataset.

    Of a published product as many as the protocol asks for, ``shots`` of each defect type: where one image shows
    several types, a few less do train. What publishers divide, and folders, have to be there to be counted.

    Raises:
        UserError: There is no such embedded product, or data that have to be counted are not here or have faults.
    """
    if isinstance(data, EmbeddedData):
        if data.product not in procedural.PRODUCTS:
            raise unknown("product", data.product, procedural.PRODUCTS)
        return data.shots * len(procedural.PRODUCTS[data.product].classes)
    if isinstance(data, PublishedData) and not read_manifest(data.dataset).divided:
        return data.shots * len(data.classes)
    return len(load_train(data))


def pair_count(data: Data, ratio: int) -> int:
    """How many pairs ``ratio`` % of the real images are, one at least where it is not 0."""
    return max(1, round(ratio * real_images(data) / 100)) if ratio else 0


def pool(profile: Profile, data: Data) -> Synthesis:
    """The one synthetic set of a product, large enough for the greatest ratio; the first pairs serve smaller ones."""
    return profile.synthesis(data, count=pair_count(data, max(WHOLE, *profile.ratios)))


def nearest_to_whole(ratios: tuple[int, ...]) -> int:
    """Of some ratios in %, that nearest to 100 %, never 0 %."""
    return min((ratio for ratio in ratios if ratio), key=lambda ratio: abs(ratio - WHOLE))


@dataclass(frozen=True)
class Ratios(Study):
    """The profile's products, ``boosted`` models, ``ratios`` and seeds; every training has equally many steps."""

    def __post_init__(self) -> None:
        if not any(self.profile.ratios):
            raise UserError("setting 'ratios': name one above 0 % too; all are compared with real images alone")

    @property
    def ratios(self) -> tuple[int, ...]:
        """In %, real images alone first."""
        return (0, *sorted({ratio for ratio in self.profile.ratios if ratio}))

    @property
    def shown_ratio(self) -> int:
        """The ratio of Table 4: 100 %, or the one that comes nearest to it."""
        return nearest_to_whole(self.ratios)

    def evaluations(self, product: str, model: str, ratio: int) -> Side:
        """One evaluation for each seed."""
        profile, data = self.profile, self.profile.data(product)
        count = pair_count(data, ratio)
        synthetic = pool(profile, data) if count else None
        return tuple(profile.evaluation(data, model, synthetic, seed, pairs=count or None) for seed in profile.seeds)

    def cells(self) -> Iterator[tuple[str, str]]:
        """Every product with every model."""
        return ((product, model) for product in self.profile.products for model in self.profile.boosted)

    def stages(self) -> tuple[Evaluation, ...]:
        """All evaluations."""
        return tuple(stage for cell in self.cells() for r in self.ratios for stage in self.evaluations(*cell, r))

    # What was found -------------------------------------------------------------------------------------------------

    @cached_property
    def table(self) -> pd.DataFrame:
        """Index ``product``, ``model``, ``ratio`` (%); mIoU as fractions (:data:`PAIRED_RULE`).

        ``pairs``; ``miou``, mean over seeds, and ``reference``, that of real images alone; ``difference`` of the two
        and ``relative``, its share of the reference; ``to_best``, the difference from the ratio with the greatest
        mIoU; ``extra``, the difference beyond that of the first model; the last three but ``relative`` with ``_low``
        and ``_high``. ``over``: what intervals are over; ``background_only``: mIoU of seeing no defect; ``seeds``,
        ``images``. NaN where there is nothing to compare.
        """
        rows = {}
        for product, model in self.cells():
            mean = {ratio: mious(self, self.evaluations(product, model, ratio)).mean() for ratio in self.ratios}
            best = max(mean, key=mean.__getitem__)
            for ratio in self.ratios:
                rows[product, model, ratio] = self._row(product, model, ratio, mean[ratio], mean[0], best)
        index = pd.MultiIndex.from_tuples(rows, names=["product", "model", "ratio"])
        return pd.DataFrame(list(rows.values()), index=index)

    def _row(self, product: str, model: str, ratio: int, miou: float, reference: float, best: int) -> dict[str, Any]:
        side, alone = self.evaluations(product, model, ratio), self.evaluations(product, model, 0)
        first, none = self.profile.boosted[0], {"value": math.nan, "low": math.nan, "high": math.nan}
        gain = contrast(self, [side], [alone])
        beyond = none
        if ratio and model != first:
            theirs = [self.evaluations(product, first, ratio), self.evaluations(product, first, 0)]
            beyond = contrast(self, [side, theirs[1]], [alone, theirs[0]])
        to_best = contrast(self, [side], [self.evaluations(product, model, best)])
        data, seen = self.profile.data(product), counts(self, alone)
        return {
            "pairs": pair_count(data, ratio),
            "miou": float(miou),
            "reference": float(reference),
            **prefixed("difference", gain if ratio else none),
            "relative": float(miou / reference - 1) if ratio and reference else math.nan,
            **prefixed("to_best", to_best if ratio != best else none | {"value": 0.0}),
            **prefixed("extra", beyond),
            "over": gain["over"],
            "background_only": metrics.background_only(seen),
            "nothing_found": nothing_found(self, side, alone),
            "seeds": len(side),
            "images": len(seen),
        }

    @cached_property
    def classes(self) -> pd.DataFrame:
        """IoU of every defect type behind the table: index ``product``, ``model``, ``ratio``, ``class``.

        ``iou``, mean over seeds; ``difference`` from real images alone; ``relative``, its share of the IoU there: NaN
        for ratio 0, where no held-out image shows the type, and where nothing of it is found without pairs.
        """
        rows = {}
        for cell in self.cells():
            names = load(self.profile.data(cell[0])).classes
            ious = {ratio: class_iou(self, self.evaluations(*cell, ratio), names) for ratio in self.ratios}
            for ratio in self.ratios:
                for name in names:
                    iou, alone = ious[ratio][name], ious[0][name]
                    change = iou - alone if ratio else math.nan
                    relative = change / alone if alone else math.nan
                    rows[*cell, ratio, name] = {"iou": iou, "difference": change, "relative": relative}
        index = pd.MultiIndex.from_tuples(rows, names=["product", "model", "ratio", "class"])
        return pd.DataFrame(list(rows.values()), index=index).astype(float)

    def defects(self) -> pd.DataFrame:
        """Recall and false alarms without and with pairs, at :attr:`shown_ratio`; over all types.

        Index ``product``, ``model``, ``measure``; columns of :func:`compare_defects`.
        """
        found = {}
        for cell in self.cells():
            sides = (self.evaluations(*cell, ratio) for ratio in (0, self.shown_ratio))
            rates = compare_defects(self, Comparison(self.profile.data(cell[0]), *sides))
            found[cell] = rates[rates["of"].isin(["all defects", "all images"])].drop(columns="of").set_index("measure")
        return pd.concat(found, names=["product", "model"])

    # Reference results ------------------------------------------------------------------------------------------------

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """The table, the IoU of every type, recall and false alarms as reference results, with where they come from."""
        sets = {product: pool(self.profile, self.profile.data(product)) for product in self.profile.products}
        made = origin(self, self.stages()) | {
            "products": list(sets),
            "models": list(self.profile.boosted),
            "ratios": list(self.ratios),
            "switch_step": self.profile.switch_step,
            "synthetic": {product: synthetic.key(any_machine=True) for product, synthetic in sets.items()},
        }
        tables = {"": self.table, "_classes": self.classes, "_defects": self.defects()}
        return {f"{self.record_name}{end}": (table, made) for end, table in tables.items()}

    @property
    def record_name(self) -> str:
        """What the reference results of these datasets at this size are called."""
        datasets = {product.partition("/")[0] if "/" in product else "embedded" for product in self.profile.products}
        return f"ratios_{'-'.join(sorted(datasets)).lower()}_{self.profile.size}px"


# Other pairs in equal number, and no augmentation ---------------------------------------------------------------------

REAL_IMAGES, BARE = "real images", "real images, not augmented"
MORE_REAL, PASTED = "as many new real images", "copy and paste"


@dataclass(frozen=True)
class Controls(Study):
    """One baseline and one product, as ``profile.controls`` says; as many pairs as real images everywhere.

    Where truth is without limit, as many new real images are an arm: no synthetic set can be worth more.
    """

    @property
    def data(self) -> Data:
        """The product at the profile's size."""
        return self.profile.data(self.profile.controls.product)

    @property
    def synthetic(self) -> dict[str, Pairs]:
        """The set of every arm that has one. DDPM is the large net alone: u = 0, under both names one set."""
        budget, count = self.profile.controls, real_images(self.data)
        steps = self.profile.switch_steps if budget.switch_steps is None else budget.switch_steps
        sets: dict[str, Pairs] = {arm_of(u): self._of_step(u, count) for u in sorted(set(steps))}
        of_rivals = self.profile.model_copy(update={"gallery": count})
        made = Rivals(of_rivals, product=budget.product, store=self.store).synthetic
        sets |= {name: made[name] for name in budget.rivals}
        return sets | {PASTED: self.profile.pasted(self.data, count, self.data.size)}

    def _of_step(self, u: int, count: int) -> Synthesis:
        if u == self.profile.switch_step:  # of these there are enough already
            return pool(self.profile, self.data)
        return self.profile.synthesis(self.data, switch_step=u, count=count)

    @property
    def arms(self) -> dict[str, Side]:
        """One evaluation for each seed, by what was trained on; real images, with the usual augmentation, first."""
        count, synthetic = real_images(self.data), self.synthetic
        arms = {REAL_IMAGES: self._side(None), BARE: self._side(None, augmented=False)}
        if isinstance(self.data, EmbeddedData):
            arms[MORE_REAL] = self._side(None, self.data.model_copy(update={"shots": 2 * self.data.shots}))
        return arms | {name: self._side(pairs, pairs=count) for name, pairs in synthetic.items()}

    def _side(self, synthetic: Pairs | None, data: Data | None = None, **options: Any) -> Side:
        evaluate, budget = self.profile.evaluation, self.profile.controls
        if budget.steps:
            options["steps"] = budget.steps
        sides = (evaluate(data or self.data, budget.model, synthetic, seed, **options) for seed in self.profile.seeds)
        return tuple(sides)

    def stages(self) -> tuple[Evaluation, ...]:
        """All evaluations."""
        return tuple(stage for side in self.arms.values() for stage in side)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Index ``arm``, in order; ``miou`` mean over seeds, ``difference`` from real images, augmented.

        Columns as in :attr:`Ratios.table`; ``pairs`` is 0 where there are none; ``worth``, the difference as a share of
        that of :data:`MORE_REAL`, NaN where that is no gain.
        """
        arms, synthetic, rows = self.arms, self.synthetic, {}
        reference = mious(self, arms[REAL_IMAGES]).mean()
        background_only = metrics.background_only(counts(self, arms[REAL_IMAGES]))
        for name, side in arms.items():
            found = contrast(self, [side], [arms[REAL_IMAGES]])
            gain = found if name != REAL_IMAGES else dict.fromkeys(("value", "low", "high"), float("nan"))
            rows[name] = {
                "pairs": real_images(self.data) if name in synthetic else 0,
                "miou": float(mious(self, side).mean()),
                "reference": float(reference),
                **prefixed("difference", gain),
                "over": found["over"],
                "background_only": background_only,
                "nothing_found": nothing_found(self, side, arms[REAL_IMAGES]),
                "seeds": len(side),
            }
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")
        has_power = MORE_REAL in rows and effect(rows[MORE_REAL]) == "gain"
        ceiling = table.loc[MORE_REAL, "difference"] if has_power else math.nan
        return table.assign(worth=(table["difference"] / ceiling).where(table["pairs"] > 0))

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """The table as the reference results of this product, with where they come from."""
        budget = self.profile.controls
        made = {name: pairs.key(any_machine=True) for name, pairs in self.synthetic.items()}
        about = {"product": budget.product, "model": budget.model, "pairs": real_images(self.data), "synthetic": made}
        return {self.record_name: (self.table, origin(self, self.stages()) | about)}

    @property
    def record_name(self) -> str:
        """What the reference results of this product at this size are called."""
        return f"controls_{self.profile.controls.product.replace('/', '-').lower()}_{self.profile.size}px"


def arm_of(u: int) -> str:
    """The name of the arm with pairs of the switch step u."""
    return f"{DDPM} (u = 0)" if u == 0 else f"{OURS}, u = {u}"


@dataclass(frozen=True)
class SyntheticBoost(Study):
    """:class:`Ratios` and :class:`Controls` in one."""

    def __post_init__(self) -> None:
        _ = self.ratios  # tells a wrong setting at once

    @cached_property
    def ratios(self) -> Ratios:
        """Synthetic pairs in growing number."""
        return Ratios(self.profile, store=self.store)

    @cached_property
    def controls(self) -> Controls:
        """Other pairs in equal number, and no augmentation."""
        return Controls(self.profile, store=self.store)

    def stages(self) -> tuple[Evaluation, ...]:
        """Those of both; what both ask for is one."""
        return tuple(dict.fromkeys((*self.ratios.stages(), *self.controls.stages())))

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """Those of both."""
        return self.ratios.records() | self.controls.records()


# Tables ---------------------------------------------------------------------------------------------------------------


def best_baselines(table: pd.DataFrame) -> pd.DataFrame:
    """Table 4: of each product the model that is best without pairs, at the ratio nearest to 100 %; index ``product``.

    The columns of :attr:`Ratios.table`, and ``model`` and ``ratio``.
    """
    alone = table.xs(0, level="ratio")["miou"]
    best = alone.groupby(level="product", sort=False).idxmax()
    ratio = nearest_to_whole(tuple(table.index.unique("ratio")))
    rows = pd.DataFrame([{"model": cell[1], "ratio": ratio, **table.loc[(*cell, ratio)]} for cell in best])
    return rows.set_axis(pd.Index(best.index, name="product"))


# To be printed ------------------------------------------------------------------------------------------------------


def in_columns(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """The table of :class:`Ratios` or of its controls as text in %."""
    if table is None:
        return None
    shares = {"relative (%)": table["relative"].map(_share)} if "relative" in table else {}
    columns = {
        "pairs": table["pairs"].map(str),
        "mIoU (%)": table["miou"].map(lambda miou: f"{100 * miou:.1f}"),
        "difference (points)": table.apply(points, axis=1),
        **shares,
        "interval over": table["over"].where(table["difference"].notna(), ""),
        "effect": table.apply(effect, axis=1),
    }
    if "worth" in table and table["worth"].notna().any():
        columns["worth (%)"] = table["worth"].map(_share)
    if "to_best" in table:
        best = table["to_best"] == 0
        columns["from the best"] = table.apply(effect, axis=1, name="to_best").mask(
            best & (table["seeds"] >= ENOUGH), "best"
        )
        columns["beyond the first"] = table.apply(effect, axis=1, name="extra")
    return _like(pd.DataFrame(columns).rename_axis(index={"ratio": "ratio (%)"}), table)


def in_table_4(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """:func:`best_baselines` as text: a row per product, as the paper's Table 4 has columns."""
    if table is None:
        return None
    rows = best_baselines(table)
    columns = {
        "best baseline": rows["model"],
        "w/o synthetic": rows["reference"].map(lambda miou: f"{100 * miou:.2f}"),
        "w. synthetic": rows["miou"].map(lambda miou: f"{100 * miou:.2f}"),
        "gain (points)": rows.apply(points, axis=1),
        "effect": rows.apply(effect, axis=1),
        "pairs": rows["pairs"].map(str) + " (" + rows["ratio"].map(str) + " %)",
    }
    return _like(pd.DataFrame(columns), table)


def in_rates(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """:meth:`Ratios.defects` as text."""
    if table is None:
        return None
    columns = {
        "w/o synthetic": table["real"].map(lambda rate: f"{rate:.3f}"),
        "w. synthetic": table["synthetic"].map(lambda rate: f"{rate:.3f}"),
        "difference": table.apply(_rate_difference, axis=1),
    }
    return _like(pd.DataFrame(columns), table)


def _rate_difference(row: pd.Series) -> str:
    span = "no interval" if math.isnan(row["difference_low"]) else "{difference_low:+.3f}, {difference_high:+.3f}"
    return f"{row['difference']:+.3f} [{span.format(**row)}]".replace(" ", "\N{NO-BREAK SPACE}")


def points(row: pd.Series, name: str = "difference") -> str:
    """A difference in points with its interval; empty where there is none."""
    value, low, high = (100 * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return ""
    span = "no interval" if math.isnan(low) else f"{low:+.1f}, {high:+.1f}"
    return f"{value:+.1f} [{span}]".replace(" ", "\N{NO-BREAK SPACE}")


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:+.1f}"


def _like(frame: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    frame.attrs = dict(table.attrs)
    return frame
