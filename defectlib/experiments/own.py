"""Your own defects: from a folder of images and masks to new pairs, and an answer to "did it help?"."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from defectlib.data.loading import folder_data, load
from defectlib.data.sample import Sample
from defectlib.errors import UserError, shown
from defectlib.experiments import advice
from defectlib.experiments.boost import BOTH, REAL, Comparison, class_iou, compare, verdict
from defectlib.experiments.example import example_folder
from defectlib.experiments.export import copy_dataset
from defectlib.experiments.study import Study
from defectlib.profiles import Profile
from defectlib.runtime import path_of
from defectlib.settings import Evaluation, FolderData, Stage, Synthesis
from defectlib.store import Store, provenance

REPORT = "report.json"


@dataclass(frozen=True)
class OwnDefects(Study):
    """Defect-Gen and one baseline on a dataset folder, at the images' native scale.

    Args:
        data: The folder, taken up by :func:`defectlib.data.loading.folder_data`.
        count: Synthetic pairs; None takes the profile's.
        model: The baseline, by the paper's abbreviation.
        seeds: Of the baseline; None takes the profile's.
        size: Side of the synthetic pairs in pixels; None takes that of the training crops.
    """

    data: FolderData
    count: int | None = None
    model: str = "UNet"
    seeds: tuple[int, ...] | None = None
    size: int | None = None

    @property
    def synthetic(self) -> Synthesis:
        """The synthetic set."""
        return self.profile.own_synthesis(self.data, self.count, self.size)

    @property
    def comparison(self) -> Comparison:
        """The baseline without and with the synthetic set."""
        seeds = self.profile.own.seeds if self.seeds is None else self.seeds

        def evaluations(synthetic: Synthesis | None) -> tuple[Evaluation, ...]:
            return tuple(self.profile.own_evaluation(self.data, self.model, synthetic, seed) for seed in seeds)

        return Comparison(self.data, evaluations(None), evaluations(self.synthetic))

    def stages(self) -> tuple[Stage, ...]:
        """The synthetic set, and two evaluations for each seed."""
        return (self.synthetic, *self.comparison.stages())

    def pairs(self) -> tuple[Sample, ...]:
        """The synthetic pairs."""
        return self.read_pairs(self.synthetic)

    @cached_property
    def result(self) -> dict[str, Any]:
        """See :func:`defectlib.experiments.boost.compare`."""
        return compare(self, self.comparison)

    def doubts(self) -> list[str]:
        """What the data may make go wrong, told before anything is trained; see :mod:`defectlib.experiments.advice`."""
        return advice.before(load(self.data).train, self.synthetic)

    @cached_property
    def crops(self) -> pd.DataFrame:
        """What the crops that the generator learns from show; see :func:`defectlib.defectgen.crops.crop_shares`."""
        from defectlib.defectgen.crops import crop_shares

        trained = self.synthetic.large
        return crop_shares(load(self.data).train, trained.crop, trained.crop_by)

    @cached_property
    def nearness(self) -> tuple[float, float]:
        """See :func:`defectlib.defectgen.measures.crop_copies.crop_nearness`."""
        from defectlib.defectgen.measures.crop_copies import crop_nearness

        dataset = load(self.data)
        return crop_nearness(self.pairs(), dataset.train, dataset.eval)

    def warnings(self) -> list[str]:
        """What the data may have made go wrong, and what did; see :mod:`defectlib.experiments.advice`."""
        return [*self.doubts(), *advice.after(self.pairs(), self.crops, self.nearness, self.synthetic)]

    def report(self) -> dict[str, Any]:
        """The answer in numbers and in a sentence, what it rests on, and what to doubt it for."""
        dataset = load(self.data)
        sides = {REAL: self.comparison.without, BOTH: self.comparison.with_synthetic}
        return {
            "verdict": verdict(self.result),
            "model": self.model,
            "train_images": len(dataset.train),
            **self.result,
            "class_iou": {name: class_iou(self, stages, dataset.classes) for name, stages in sides.items()},
            "types_in_synthetic": _types(self.pairs()),
            "training_crops": self.crops.to_dict("index"),
            "nearness": self.nearness[0],
            "warnings": self.warnings(),
            "provenance": provenance(self.comparison.with_synthetic[0]),
        }

    def export(self, out: Path) -> dict[str, Any]:
        """Write the synthetic folder, and the report beside its images, to ``out``; it appears whole or not at all.

        Returns:
            The report.
        """
        report = self.report()
        pairs = self.path(self.synthetic) / self.synthetic.dataset
        copy_dataset(pairs, out, {REPORT: json.dumps(_without_nan(report), indent=1, allow_nan=False)})
        return report


def per_class(report: Mapping[str, Any]) -> pd.DataFrame:
    """Of a report of :class:`OwnDefects`, by class: IoU in % without and with pairs, how many of these show it.

    The index is called ``class``, the last column ``pairs that show it``.
    """
    table = 100 * pd.DataFrame(report["class_iou"]).rename_axis("class")
    shown = [report["types_in_synthetic"].get(name, "") for name in table.index]  # background is no type
    return table.assign(**{"pairs that show it": shown})


def per_crop(crops: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`defectlib.defectgen.crops.crop_shares`, to be printed: how many crops in % show each type."""
    shares = 100 * crops[["anywhere", "shown", "whole"]]
    shares.columns = ["crops placed anywhere", "training crops", "with a whole one"]
    shares.insert(0, "training images", crops["images"].astype(str))
    return shares


def own_defects(
    profile: Profile,
    data: str | Path | None = None,
    *,
    count: int | None = None,
    shots: int | None = None,
    model: str = "UNet",
    seeds: tuple[int, ...] | None = None,
    size: int | None = None,
) -> OwnDefects:
    """The study of the folder ``data``, or of :func:`~defectlib.experiments.example.example_folder` if none.

    Raises:
        UserError: A number is out of range.
        UserErrors: The folder has faults; all are listed.
    """
    for name, value in (("count", count), ("shots", shots), ("size", size)):
        if value is not None and not 1 <= value <= 1_000_000:
            raise UserError(f"setting '{name}' must be from 1 to 1,000,000, got {shown(value)}")
    root = example_folder(profile) if data is None else data
    return OwnDefects(profile, data=take_up(root, shots), count=count, model=model, seeds=seeds, size=size)


def take_up(root: str | Path, shots: int | None = None) -> FolderData:
    """A dataset folder as settings (:func:`defectlib.data.loading.folder_data`); nothing is written into it.

    Raises:
        UserErrors: The folder has faults; all are listed.
    """
    root = path_of(root)
    name = hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:16]
    return folder_data(root, shots=shots, split_dir=Store().root / "splits" / f"{root.absolute().name}-{name}")


def _types(pairs: tuple[Sample, ...]) -> dict[str, int]:
    return {name: sum(name in pair.present for pair in pairs) for name in pairs[0].classes}


def _without_nan(value: Any) -> Any:
    """``value`` with null for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
