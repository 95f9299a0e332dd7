"""The eight segmentation baselines on every product, on real images alone (paper §4.1, §4.2, Table 3)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from defectlib import detection, metrics
from defectlib.data.loading import load, load_eval
from defectlib.data.sample import Sample
from defectlib.experiments.boost import class_iou, counts, defects, mious
from defectlib.experiments.study import Study
from defectlib.settings import Data, Evaluation
from defectlib.store import provenance

Cell = tuple[str, str]
"""A product and a model."""


@dataclass(frozen=True)
class Baselines(Study):
    """Every model on every product, with every seed of the profile.

    Args:
        products: Of the embedded dataset, or DATASET/PRODUCT; None takes the profile's.
        models: Baselines by the paper's abbreviations; None takes the profile's.
    """

    products: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None

    def cells(self) -> dict[Cell, tuple[Evaluation, ...]]:
        """One evaluation for each seed, by product and model."""
        products = self.profile.products if self.products is None else self.products
        models = self.profile.models if self.models is None else self.models
        evaluate, seeds = self.profile.evaluation, self.profile.seeds
        return {(p, m): tuple(evaluate(self.data(p), m, seed=seed) for seed in seeds) for p in products for m in models}

    def stages(self) -> tuple[Evaluation, ...]:
        """All of them."""
        return tuple(stage for cell in self.cells().values() for stage in cell)

    def shown(self) -> dict[Cell, tuple[Evaluation, ...]]:
        """:meth:`cells`, of which every seed is there where nothing is to be built."""
        return {cell: stages for cell, stages in self.cells().items() if self.shows(stages)}

    def data(self, product: str) -> Data:
        """A product at the profile's size."""
        return self.profile.data(product)

    # What was found -------------------------------------------------------------------------------------------------

    @cached_property
    def table(self) -> pd.DataFrame:
        """Index ``product``, ``model``; fractions in [0, 1].

        All are NaN in a cell that is not :meth:`shown`. ``miou``: mean over seeds; ``spread``: their standard
        deviation, NaN with one seed; ``low``, ``high``: 95 % bootstrap interval over images (groups), of the seeds'
        summed counts; ``background_only``: mIoU of seeing no defect; ``recall`` and ``fpr``: see
        :data:`defectlib.detection.RULE`; ``pretrained``; ``seeds``, ``images``.
        """
        rows = {cell: self._row(self.data(cell[0]), stages) for cell, stages in self.shown().items()}
        table = pd.DataFrame.from_dict(rows, orient="index").set_axis(_index(rows, "model"))
        return table.reindex(_index(self.cells(), "model"))

    def _row(self, data: Data, stages: tuple[Evaluation, ...]) -> dict[str, float | int | bool]:
        groups = load(data).eval_groups
        each = mious(self, stages)
        summed = counts(self, stages)
        low, high = metrics.bootstrap(summed, groups)
        rates = self._rates(data, stages)
        return {
            "miou": float(each.mean()),
            "spread": float(each.std(ddof=1)) if len(each) > 1 else float("nan"),
            "low": low,
            "high": high,
            "background_only": metrics.background_only(summed),
            "recall": rates[detection.RECALL, "all defects"],
            "fpr": rates[detection.FPR, "all images"],
            "pretrained": stages[0].segmenter.pretrained,
            "seeds": len(stages),
            "images": len(groups),
        }

    def _rates(self, data: Data, stages: tuple[Evaluation, ...]) -> dict[tuple[str, str], float]:
        dataset = load(data)
        found = detection.rates(defects(self, stages), dataset.classes, dataset.eval_groups)
        return {(rate.measure, rate.of): rate.value for rate in found}

    def classes(self) -> pd.DataFrame:
        """IoU of every class behind each cell: index ``product``, ``model``, ``class``; column ``iou`` in [0, 1]."""
        rows = {
            (*cell, name): {"iou": iou}
            for cell, stages in self.shown().items()
            for name, iou in class_iou(self, stages, load(self.data(cell[0])).classes).items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").set_axis(_index(rows, "model", "class"))

    def detections(self, product: str) -> pd.DataFrame:
        """Recall and false alarms of every model on a product: index ``measure``, ``of``; a column each."""
        of_product = {model: stages for (name, model), stages in self.shown().items() if name == product}
        found = {model: self._rates(self.data(product), stages) for model, stages in of_product.items()}
        return pd.DataFrame(found).rename_axis(index=["measure", "of"])

    def beside_paper(self) -> pd.DataFrame | None:
        """Mean mIoU in % on Defect Spectrum itself, as Table 3 has it: index ``dataset``, ``product``; models.

        None where none of its products was run: other data do not stand in a row with the paper's numbers.
        """
        found = {cell: table_3_row(cell[0]) for cell in self.cells()}
        rows = {cell: row for cell, row in found.items() if row is not None}
        if not rows:
            return None
        values = 100 * self.table["miou"].loc[list(rows)]
        names = [(*row, cell[1]) for cell, row in rows.items()]
        index = pd.MultiIndex.from_tuples(names, names=["dataset", "product", "model"])
        wide = values.set_axis(index).unstack("model")
        wide.attrs["provenance"] = provenance(self.stages()[-1])
        return wide

    def not_better(self) -> list[Cell]:
        """Where the mean over seeds is no better than seeing no defect at all."""
        table = self.table
        return list(table.index[table["miou"] <= table["background_only"]])

    def losses(self) -> dict[Cell, pd.DataFrame]:
        """The loss of each cell's first seed while it trained: columns ``step`` and ``loss``."""
        found = {cell: self.path(stages[0].segmenter) / "losses.json" for cell, stages in self.shown().items()}
        return {
            cell: pd.DataFrame(json.loads(file.read_text()), columns=["step", "loss"]) for cell, file in found.items()
        }

    def predictions(self, product: str, count: int) -> dict[str, list[Sample]]:
        """Held-out images with their true masks (``truth``), and with what each model's first seed sees in them.

        The first ones that show, taken in order, as many types of defect as possible.
        """
        held = load_eval(self.data(product))
        cells = {model: stages[0] for (name, model), stages in self.shown().items() if name == product}
        chosen = _varied(held[:_KEPT], count)
        found = {"truth": [held[i] for i in chosen]}
        for model, stage in cells.items():
            with np.load(self.path(stage) / "predictions.npz", allow_pickle=False) as masks:
                found[model] = [replace(held[i], mask=masks[f"{i:02d}"]) for i in chosen]
        return found

    def inspected(self, count: int) -> dict[str, dict[str, Sample]]:
        """``count`` images of every product by name, each as :meth:`predictions` has it, by ``truth`` and model."""
        return {
            f"{product.replace('_', ' ')}: {seen[0].key}": dict(zip(shown, seen, strict=True))
            for product in dict.fromkeys(product for product, _ in self.shown())
            for shown in [self.predictions(product, count)]
            for seen in zip(*shown.values(), strict=True)
        }

    # Reference results ------------------------------------------------------------------------------------------------

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """The table and the IoU by class as reference results of this dataset and size, with where they come from."""
        last = self.stages()[-1]
        settings = last.segmenter
        origin = {"profile": self.profile.name, "seeds": list(self.profile.seeds), "steps": settings.steps}
        known = provenance(last) | origin
        return {f"{self.record_name}": (self.table, known), f"{self.record_name}_classes": (self.classes(), known)}

    @property
    def record_name(self) -> str:
        """What the reference results at this size are called."""
        return f"baselines_{self.profile.size}px"


_KEPT = 24
"""Predictions that an evaluation keeps; see :data:`defectlib.segmentation.evaluation.SHOWN`, which loads torch."""


def table_3_row(product: str) -> tuple[str, str] | None:
    """Dataset and product by which the paper's Table 3 calls a product of Defect Spectrum; None for other data."""
    dataset, _, name = product.rpartition("/")
    if dataset != "defect_spectrum":
        return None
    kind, _, rest = name.partition("_")
    rows = {"mvtec": ("MVTec", rest), "vision": ("VISION", rest.capitalize()), "dagm": ("DAGM2007", "all")}
    return rows.get(kind, ("Cotton-Fabric", "all"))


def _index(rows: Any, *names: str) -> pd.MultiIndex:
    return pd.MultiIndex.from_tuples(rows, names=["product", *names])


def _varied(samples: tuple[Sample, ...], count: int) -> list[int]:
    """Places of ``count`` samples: those first that show a type none before them shows, then the others, in order."""
    seen: set[str] = set()
    fresh = []
    for i, sample in enumerate(samples):
        if set(sample.present) - seen:
            seen |= set(sample.present)
            fresh.append(i)
    rest = [i for i in range(len(samples)) if i not in fresh]
    return sorted((fresh + rest)[:count])
