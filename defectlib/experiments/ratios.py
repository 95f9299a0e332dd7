"""How many synthetic pairs help? Baselines with more and more of them beside real images (§4.4, Table 4, Fig. 8)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from defectlib import metrics
from defectlib.data import procedural
from defectlib.data.loading import load, load_train
from defectlib.data.sources.manifest import read_manifest
from defectlib.errors import UserError, unknown
from defectlib.experiments.boost import Comparison, class_iou, compare_defects, counts
from defectlib.experiments.paired import Side, contrast, mious, nothing_found, origin, prefixed
from defectlib.experiments.study import Study
from defectlib.profiles import Profile
from defectlib.settings import Data, EmbeddedData, Evaluation, PublishedData, Synthesis

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
        """Index ``product``, ``model``, ``ratio`` (%); mIoU as fractions (:data:`~defectlib.experiments.paired.RULE`).

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

        Index ``product``, ``model``, ``measure``; columns of :func:`defectlib.experiments.boost.compare_defects`.
        """
        found = {}
        for cell in self.cells():
            sides = (self.evaluations(*cell, ratio) for ratio in (0, self.shown_ratio))
            rates = compare_defects(self, Comparison(self.profile.data(cell[0]), *sides))
            found[cell] = rates[rates["of"].isin(["all defects", "all images"])].drop(columns="of").set_index("measure")
        return pd.concat(found, names=["product", "model"])

    # Of record ------------------------------------------------------------------------------------------------------

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """The table, the IoU of every type, recall and false alarms as numbers of record, with where they come from."""
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
        """What the numbers of record of these datasets at this size are called."""
        datasets = {product.partition("/")[0] if "/" in product else "embedded" for product in self.profile.products}
        return f"ratios_{'-'.join(sorted(datasets)).lower()}_{self.profile.size}px"
