"""Your own defects: from a folder of images and masks to new pairs, and an answer to "did it help?".

The baseline is trained on half of the real images, on all of them, and on all of them with pairs: with those of the
generator, and with as many made by copy and paste.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from defectlib import engine
from defectlib.data.loading import folder_data, load
from defectlib.data.sample import Sample
from defectlib.errors import UserError, shown
from defectlib.experiments import advice
from defectlib.experiments.boost import BOTH, REAL, Comparison, class_iou, compare, effect, origin, points, verdict
from defectlib.experiments.example import example_folder
from defectlib.experiments.export import copy_dataset
from defectlib.experiments.study import Study
from defectlib.profiles import Profile
from defectlib.runtime import path_of
from defectlib.settings import Evaluation, FolderData, Pairs, PastedPairs, Stage, Synthesis
from defectlib.store import Store, provenance, write_atomically

REPORT = "report.json"
SHEET = 12
"""Real crops, and pairs, on the sheet."""
HALF, PASTED = "half of the real images", "real + copy and paste"


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
    def pasted(self) -> PastedPairs:
        """As many pairs by copy and paste."""
        return self.profile.pasted(self.data, self.synthetic.count, self.synthetic.large.crop)

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """Evaluations, one for each seed, by what the baseline is trained on, beside those of what it adds to."""
        seeds = self.profile.own.seeds if self.seeds is None else self.seeds

        def evaluations(synthetic: Pairs | None, every: int = 1) -> tuple[Evaluation, ...]:
            return tuple(self.profile.own_evaluation(self.data, self.model, synthetic, seed, every) for seed in seeds)

        real = evaluations(None)
        return {
            REAL: Comparison(self.data, evaluations(None, every=2), real),
            BOTH: Comparison(self.data, real, evaluations(self.synthetic)),
            PASTED: Comparison(self.data, real, evaluations(self.pasted)),
        }

    @property
    def comparison(self) -> Comparison:
        """The baseline without and with the synthetic set."""
        return self.comparisons[BOTH]

    def stages(self) -> tuple[Stage, ...]:
        """The synthetic set, and four evaluations for each seed."""
        sides = (stage for comparison in self.comparisons.values() for stage in comparison.stages())
        return (self.synthetic, *dict.fromkeys(sides))

    def pairs(self) -> tuple[Sample, ...]:
        """The synthetic pairs."""
        return self.read_pairs(self.synthetic)

    @cached_property
    def result(self) -> dict[str, Any]:
        """See :func:`defectlib.experiments.boost.compare`."""
        return compare(self, self.comparison)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Index ``trained on``; ``miou`` and ``reference`` in [0, 1], their ``difference`` with ``_low`` and ``_high``.

        Real images are compared with half of them, pairs with real images; ``effect``: how the interval lies (see
        :func:`defectlib.experiments.boost.effect`); ``worth``: of the difference that the second half of the real
        images made, NaN where that is no gain.
        """
        rows = {HALF: {"miou": compare(self, self.comparisons[REAL])["real"], "effect": ""}}
        for name, comparison in self.comparisons.items():
            found = compare(self, comparison)
            rows[name] = found | {"miou": found["synthetic"], "reference": found["real"]}
            rows[name]["effect"] = effect(rows[name])
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("trained on")
        ceiling = table.loc[REAL, "difference"] if table.loc[REAL, "effect"] == "gain" else math.nan
        table["worth"] = (table["difference"] / ceiling).where(table.index.isin([BOTH, PASTED]))
        columns = ["miou", "reference", "difference", "difference_low", "difference_high", "effect", "worth"]
        return table[columns]

    def write_sheet(self, path: Path) -> Path:
        """Make the synthetic set, and a picture of some of it below crops drawn as for training; ``path``.

        Masks stand below their images, a gray for each type.
        """
        from defectlib.defectgen.crops import drawn_samples

        engine.build([self.synthetic], self.store)
        trained = self.synthetic.large
        real = drawn_samples(load(self.data).train, trained.crop, trained.crop_by, SHEET)
        rows = [sheet_row(samples, len(real[0].classes)) for samples in (real, self.pairs()[:SHEET])]
        width = max(row.shape[1] for row in rows)
        rows = [np.pad(row, ((0, 8), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
        buffer = BytesIO()
        Image.fromarray(np.concatenate(rows)).save(buffer, format="PNG")
        write_atomically(path, buffer.getvalue())
        return path

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

    @cached_property
    def spectra(self) -> dict[str, float]:
        """Distances of power spectra to training crops in decibels: of the ``pairs``, and of crops ``held_out``."""
        from defectlib.defectgen.crops import drawn_samples
        from defectlib.defectgen.measures.spectra import spectrum_distance

        dataset, trained = load(self.data), self.synthetic.large
        real, held = (
            np.stack([sample.image for sample in drawn_samples(side, trained.crop, trained.crop_by)])
            for side in (dataset.train, dataset.eval)
        )
        pairs = np.stack([pair.image for pair in self.pairs()])
        return {"pairs": spectrum_distance(pairs, real), "held_out": spectrum_distance(held, real)}

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """The table as the reference results of this folder, with where they come from."""
        dataset, large = load(self.data), self.synthetic.large
        stages = tuple(stage for comparison in self.comparisons.values() for stage in comparison.with_synthetic)
        made = origin(self, stages) | {
            "seeds": list(self.profile.own.seeds if self.seeds is None else self.seeds),
            "model": self.model,
            "train_images": len(dataset.train),
            "eval_images": len(dataset.eval),
            "eval_groups": len(set(dataset.eval_groups)),
            "pairs": self.synthetic.count,
            "crop": large.crop,
            "reduce": self.data.reduce,
            "denoiser_steps": [large.steps, self.synthetic.small.steps],
            "spectra": self.spectra,
        }
        return {f"own_{self.data.root.name.lower()}": (self.table, made)}

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
            "trained_on": self.table.to_dict("index"),
            "class_iou": {name: class_iou(self, stages, dataset.classes) for name, stages in sides.items()},
            "types_in_synthetic": _types(self.pairs()),
            "training_crops": self.crops.to_dict("index"),
            "nearness": self.nearness[0],
            "spectra": self.spectra,
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


def in_points(table: pd.DataFrame) -> pd.DataFrame:
    """The table of :class:`OwnDefects` as text in %."""
    columns = {
        "mIoU (%)": table["miou"].map(lambda miou: f"{100 * miou:.1f}"),
        "added (points)": table.apply(points, axis=1),
        "effect": table["effect"],
        "worth (%)": table["worth"].map(lambda worth: "" if math.isnan(worth) else f"{100 * worth:.0f}"),
    }
    return pd.DataFrame(columns)


def own_defects(
    profile: Profile,
    data: str | Path | None = None,
    *,
    count: int | None = None,
    shots: int | None = None,
    model: str = "UNet",
    seeds: tuple[int, ...] | None = None,
    size: int | None = None,
    crop: int | None = None,
    steps: int | None = None,
) -> OwnDefects:
    """The study of the folder ``data``, or of :func:`~defectlib.experiments.example.example_folder` if none.

    Scale and crop are chosen from the data (:func:`defectlib.experiments.advice.fitting`) where neither ``crop`` nor
    the profile names a side; ``steps``, of both nets, are the profile's if None.

    Raises:
        UserError: A number is out of range.
        UserErrors: The folder has faults; all are listed.
    """
    for name, value in (("count", count), ("shots", shots), ("size", size)):
        if value is not None and not 1 <= value <= 1_000_000:
            raise UserError(f"setting '{name}' must be from 1 to 1,000,000, got {shown(value)}")
    root, own = data, profile.own
    if data is None:
        root, steps, seeds = example_folder(profile), steps or own.example_steps, seeds or own.example_seeds
    if steps is not None:
        own = own.model_copy(update={net: getattr(own, net) | {"steps": steps} for net in ("large", "small")})
    if crop is not None:
        own = own.model_copy(update={"crop": crop})
    profile, taken = fitted(profile.model_copy(update={"own": own}), take_up(root, shots))
    return OwnDefects(profile, data=taken, count=count, model=model, seeds=seeds, size=size)


def fitted(profile: Profile, data: FolderData) -> tuple[Profile, FolderData]:
    """Both with scale and crop as the training images ask for (:func:`~advice.fitting`), if the profile has no crop."""
    if profile.own.crop is not None:
        return profile, data
    times, crop = advice.fitting(load(data).train)
    own = profile.own.model_copy(update={"crop": crop})
    return profile.model_copy(update={"own": own}), data.model_copy(update={"reduce": times})


def take_up(root: str | Path, shots: int | None = None) -> FolderData:
    """A dataset folder as settings (:func:`defectlib.data.loading.folder_data`); nothing is written into it.

    Raises:
        UserErrors: The folder has faults; all are listed.
    """
    root = path_of(root)
    name = hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:16]
    return folder_data(root, shots=shots, split_dir=Store().root / "splits" / f"{root.absolute().name}-{name}")


def sheet_row(samples: Sequence[Sample], types: int) -> np.ndarray:
    """Images side by side above their masks, uint8 (2 H, N W, 3)."""
    grays = np.linspace(0, 255, types + 1).astype(np.uint8)
    images = np.concatenate([sample.image for sample in samples], axis=1)
    masks = np.concatenate([grays[sample.mask] for sample in samples], axis=1)
    return np.concatenate([images, np.repeat(masks[..., None], 3, axis=-1)])


def _types(pairs: tuple[Sample, ...]) -> dict[str, int]:
    return {name: sum(name in pair.present for pair in pairs) for name in pairs[0].classes}


def _without_nan(value: Any) -> Any:
    """``value`` with null for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
