"""Your own defects: from a folder of images and masks to new pairs, and an answer to "did it help?"."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from defectlib import runtime
from defectlib.config import Evaluation, FolderData, Stage, Synthesis
from defectlib.data import procedural
from defectlib.data.folder import write_dataset
from defectlib.data.loading import folder_data, load
from defectlib.data.sample import Sample
from defectlib.errors import UserError
from defectlib.profiles import Profile
from defectlib.store import Store, provenance, write_atomically
from defectlib.studies.boost import BOTH, REAL, Comparison, class_iou, compare, verdict
from defectlib.studies.study import Study

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
        seeds = self.profile.seeds if self.seeds is None else self.seeds

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
        """See :func:`defectlib.studies.boost.compare`."""
        return compare(self, self.comparison)

    def report(self) -> dict[str, Any]:
        """The answer in numbers and in a sentence, and what it rests on."""
        dataset = load(self.data)
        sides = {REAL: self.comparison.without, BOTH: self.comparison.with_synthetic}
        return {
            "verdict": verdict(self.result),
            "model": self.model,
            "train_images": len(dataset.train),
            **self.result,
            "class_iou": {name: class_iou(self, stages, dataset.classes) for name, stages in sides.items()},
            "types_in_synthetic": _types(self.pairs()),
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


def copy_dataset(pairs: Path, out: Path, beside: Mapping[str, str] | None = None) -> None:
    """Copy the dataset folder ``pairs`` to ``out``, with the files ``beside``; whole or not at all."""
    check_target(out)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(pairs, partial)
        for name, content in (beside or {}).items():
            write_atomically(partial / name, content)
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except shutil.Error as error:  # holds a line for every file; the first says what is the matter
        raise OSError(error.args[0][0][2]) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_target(out: Path) -> None:
    """Refuse a target that holds something, before hours are spent on what would go there.

    Raises:
        UserError: ``out`` is there and not an empty folder, or its parent is not there.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is there already and not empty; name another folder or remove it")
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out.absolute().parent}: no such folder; make it first")


def example_folder(profile: Profile, product: str = "washer") -> Path:
    """A folder of embedded images in the one layout, for those who have no defects at hand; made once per profile."""
    side, count = 2 * profile.own.crop, 15 * profile.shots
    version = procedural.VERSION
    root = Store().root / "examples" / f"{product}-v{version}-{side}px-{count}"
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        # The pool of images is one that no other study trains or evaluates on.
        samples = (procedural.sample(product, "oracle", i, size=side) for i in range(count))
        write_dataset(root, samples, provenance={"source": f"procedural v{version}", "made": runtime.now()})
    return root


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
    """The study of the folder ``data``, or of :func:`example_folder` where none is given.

    Raises:
        UserErrors: The folder has faults; all are listed.
    """
    root = example_folder(profile) if data is None else Path(data).expanduser()
    taken_up = folder_data(root, shots=shots, split_dir=_split_dir(root, shots))
    return OwnDefects(profile, data=taken_up, count=count, model=model, seeds=seeds, size=size)


def _split_dir(root: Path, shots: int | None) -> Path | None:
    """None (the folder's own ``splits/``) if the manifest is there, else a place in the store: data are only read."""
    if (root / "splits" / ("default.json" if shots is None else f"shots-{shots}.json")).exists():
        return None
    name = hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:16]
    return Store().root / "splits" / f"{root.absolute().name}-{name}"


def _types(pairs: tuple[Sample, ...]) -> dict[str, int]:
    return {name: sum(name in pair.present for pair in pairs) for name in pairs[0].classes}


def _without_nan(value: Any) -> Any:
    """``value`` with null for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
