"""Defect-Click measured (paper §3.3): how many clicks a mask takes, on products that no network was trained on."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from defectclick import sam_weights
from defectclick.evaluation import OBJECTS, REPLAYS, TARGETS, clicks_to, fails, rule
from defectlib import metrics
from defectlib.data import procedural
from defectlib.data.sample import Sample
from defectlib.experiments import annotation_time
from defectlib.experiments.annotation_time import Costs
from defectlib.experiments.numbers import with_minus
from defectlib.experiments.own import take_up
from defectlib.experiments.study import Study
from defectlib.runtime import data_home
from defectlib.settings import Clicking, Data, EmbeddedData, FolderData, Stage
from defectlib.store import read_provenance

OURS, SAM = "Defect-Click", "SAM"
CLASSICAL = ("flood fill", "GrabCut", "random walker")
#: Defect-Click without one of the paper's three adaptations (§3.3), and the switch that takes it away.
WITHOUT = {
    "all three": {},
    "one domain": {"many_domains": False},
    "whole images, no crops": {"multi_level": False},
    "a loss without edges": {"edge_sensitive": False},
}
WHOLE = "all three"
FEW = 10
"""Held-out images of a notebook that is not asked for all."""
AT = (1, 3, 5)
"""Clicks after which masks are compared."""
NOC = {target: f"NoC@{100 * target:.0f}" for target in TARGETS}
MAIN = NOC[0.85]
FAILURES = "failures at 85 %, %"
#: Shares of the image, in %, that divide defects by size.
SIZES = {"below 1 %": (0, 1), "1 to 3 %": (1, 3), "3 % or more": (3, 100)}
TILES = "magnetic_tile"
RECORD = "clicking"
"""The record of the table of methods; the names of the others begin with it."""

Bounds = tuple[float, float, float]
"""A mean and the ends of its 95 % interval, NaN where there is none."""


@dataclass(frozen=True)
class Clicks(Study):
    """Every method on products that Defect-Click was not trained on, and its adaptations taken away one by one.

    Args:
        product: The embedded product that the three adaptations are tried on, and the only one in a short run.
        other: A dataset folder beyond the embedded dataset, if there is one.
        whole: Every embedded product and as many images as the profile says.
    """

    product: str = "softgel"
    other: FolderData | None = None
    whole: bool = False

    @property
    def data(self) -> dict[str, Data]:
        """What is clicked on, by name: embedded products, and the folder."""
        sized = self.profile.model_copy(update={"size": self.profile.annotator.size})
        products = self.profile.clicker["products"] if self.whole else (self.product,)
        folder = {} if self.other is None else {self.other.root.name: self.other}
        return {product: sized.data(product) for product in products} | folder

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that can be run here: SAM needs its weights."""
        return (OURS, *CLASSICAL, *([SAM] if sam_weights.find() else []))

    def stage(self, name: str, method: str, without: str = WHOLE) -> Clicking:
        """One method on one of :attr:`data`, which its network, if it has one, has not seen."""
        data = self.data[name]
        left_out = name if isinstance(data, EmbeddedData) else None
        trained = self.profile.clicker_training(left_out, **WITHOUT[without]) if method == OURS else None
        made = self.profile.clicking(data, method, trained)
        most = made.images if self.whole or made.images is None else min(FEW, made.images)
        found = sam_weights.find() if method == SAM else None
        return made.model_copy(update={"images": most, "weights": found[0] if found else ""})

    @property
    def cells(self) -> dict[tuple[str, str], Clicking]:
        """The stages behind the table of methods, by name of the data and method."""
        return {(name, method): self.stage(name, method) for name in self.data for method in self.methods}

    @property
    def ablation(self) -> dict[str, Clicking]:
        """Those behind the table of adaptations, all on :attr:`product`."""
        return {without: self.stage(self.product, OURS, without) for without in WITHOUT}

    def stages(self) -> tuple[Stage, ...]:
        """Both."""
        return tuple(dict.fromkeys((*self.cells.values(), *self.ablation.values())))

    @property
    def rule(self) -> str:
        """How the measures are defined."""
        return rule(self.profile.annotator.clicks)

    # Defects --------------------------------------------------------------------------------------------------------

    def objects(self, stage: Clicking) -> pd.DataFrame:
        """A row for each defect: the fields of :func:`defectclick.evaluation.outcome`, and numbers made of them.

        ``share`` of the image in %; ``NoC@…``; ``failed``, at 85 %; ``IoU …`` and ``F …`` after :data:`AT` clicks.
        """
        found = json.loads((self.path(stage) / OBJECTS).read_text())["objects"]
        return pd.DataFrame([one | _numbers(one, stage.clicks) for one in found])

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """The defects of all cells; columns ``data`` and ``method`` before those of :meth:`objects`."""
        return pd.concat([self.objects(s).assign(data=name, method=m) for (name, m), s in self.cells.items()])

    # Tables ---------------------------------------------------------------------------------------------------------

    @cached_property
    def table(self) -> pd.DataFrame:
        """Index ``data``, ``method``; means over defects, with the ends of an interval after the name.

        Columns: ``defects``; ``NoC@80`` … ``NoC@90``; ``failed``; ``IoU 1`` … and ``F 1`` …, fractions; ``seconds``, of
        a click on this machine.
        """
        rows = {
            (name, method): _means(rows) | {"seconds": self._seconds(self.cells[name, method])}
            for (name, method), rows in self.outcomes.groupby(["data", "method"], sort=False)
        }
        return _indexed(rows, ["data", "method"])

    @cached_property
    def by_size(self) -> pd.DataFrame:
        """The same by ``size`` and ``method``, over all embedded products."""
        seen = self.outcomes[self.outcomes["data"].isin(self._embedded)]
        rows = {}
        for size, (least, below) in SIZES.items():
            some = seen[(seen["share"] >= least) & (seen["share"] < below)]
            rows |= {(size, method): _means(each) for method, each in some.groupby("method", sort=False)}
        return _indexed(rows, ["size", "method"])

    @cached_property
    def adaptations(self) -> pd.DataFrame:
        """The same by ``network``; ``more``: clicks to 85 % beyond those of the whole Defect-Click, paired."""
        all_three = self.objects(self.ablation[WHOLE])
        rows = {}
        for without, stage in self.ablation.items():
            found = self.objects(stage)
            rows[without] = _means(found) | _with_ends("more", paired(found, all_three, MAIN))
        return _indexed(rows, ["network"])

    @cached_property
    def leads(self) -> pd.DataFrame:
        """By ``method``: clicks to 85 % beyond those of Defect-Click, ``more``, mean over embedded products, paired."""
        rows = {}
        for method in self.methods[1:]:
            both = [(self._of(name, method), self._of(name, OURS)) for name in self._embedded]
            found = mean_of([paired(other, ours, MAIN) for other, ours in both])
            rows[method] = {"products": len(both)} | _with_ends("more", found)
        return _indexed(rows, ["method"])

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Index ``data``, ``method``, ``clicks``; ``IoU`` and ``F``, means over defects."""
        most = self.profile.annotator.clicks
        rows = {
            (name, method, k): {"IoU": _after(rows["ious"], k), "F": _after(rows["boundary"], k)}
            for (name, method), rows in self.outcomes.groupby(["data", "method"], sort=False)
            for k in range(1, most + 1)
        }
        return _indexed(rows, ["data", "method", "clicks"])

    @cached_property
    def best_other(self) -> str:
        """The method other than Defect-Click that needs fewest clicks to 85 %, mean over embedded products."""
        means = self.table.loc[list(self._embedded), MAIN].groupby(level="method").mean()
        return str(means.drop(index=OURS).idxmin())

    @cached_property
    def saved(self) -> pd.DataFrame:
        """Time saved, a simulation on embedded products: :func:`defectlib.experiments.annotation_time.sensitivity`."""
        ours = self.outcomes[(self.outcomes["method"] == OURS) & self.outcomes["data"].isin(self._embedded)]
        return annotation_time.sensitivity(ours, Costs())

    # Clicks to be watched -------------------------------------------------------------------------------------------

    @cached_property
    def replays(self) -> pd.DataFrame:
        """Recorded clicks: index ``data``, ``number``, ``defect``, ``method``.

        Columns: ``size`` of the image; ``clicks`` as JSON; ``png``, the masks in base64, the true one first.
        """
        shown = self.outcomes[(self.outcomes["replay"] != "") & self.outcomes["data"].isin(self._embedded)]
        shown = shown[shown["method"].isin([OURS, self.best_other])]
        rows = {
            (one.data, one.number, one.defect, one.method): {
                "size": self.data[one.data].size,
                "clicks": json.dumps(one.clicks),
                "png": self._masks(self.cells[one.data, one.method], one.replay),
            }
            for one in shown.itertuples()
        }
        return _indexed(rows, ["data", "number", "defect", "method"])

    def image(self, name: str, number: int, size: int) -> Sample:
        """A held-out image of an embedded product, at the size at which it was clicked on."""
        return procedural.sample(name, "eval", number, size=size)

    # Reference results ----------------------------------------------------------------------------------------------

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """All tables, and the recorded clicks."""
        parts = {
            "": self.table,
            "_sizes": self.by_size,
            "_adaptations": self.adaptations,
            "_leads": self.leads,
            "_curves": self.curves,
            "_time": self.saved,
            "_replays": self.replays,
        }
        about = self._provenance()
        return {f"{RECORD}{end}": (frame, about) for end, frame in parts.items()}

    def _provenance(self) -> dict[str, Any]:
        made = [read_provenance(self.path(stage)) for stage in self.stages()]
        last = max(made, key=lambda record: record["finished"])
        trained = {stage.clicker for stage in self.stages() if stage.clicker}
        return {key: last[key] for key in ("machine", "finished", "commit")} | {
            "device": self.profile.machine["device"],
            "products": list(self._embedded),
            "images": {name: len({*rows["key"]}) for name, rows in self.outcomes.groupby("data", sort=False)},
            "product": self.product,
            "best other": self.best_other,
            "size": self.profile.annotator.size,
            "clicks": self.profile.annotator.clicks,
            "steps": self.ablation[WHOLE].clicker.steps,
            "training_seconds": round(sum(read_provenance(self.path(net))["wall_seconds"] for net in trained)),
        }

    # Parts ----------------------------------------------------------------------------------------------------------

    @property
    def _embedded(self) -> tuple[str, ...]:
        return tuple(name for name, data in self.data.items() if isinstance(data, EmbeddedData))

    def _of(self, name: str, method: str) -> pd.DataFrame:
        seen = self.outcomes
        return seen[(seen["data"] == name) & (seen["method"] == method)]

    def _seconds(self, stage: Clicking) -> float:
        return json.loads((self.path(stage) / OBJECTS).read_text())["seconds"]

    def _masks(self, stage: Clicking, replay: str) -> str:
        return base64.b64encode((self.path(stage) / REPLAYS / replay).read_bytes()).decode()


def tiles_folder(given: str | None) -> FolderData | None:
    """The dataset folder ``given``, else magnetic_tile of the data folder, where it is there; else None.

    Raises:
        UserErrors: The folder has faults.
    """
    root = given or data_home() / TILES
    return take_up(root) if given or root.is_dir() else None


def bounds(rows: pd.DataFrame, column: str) -> Bounds:
    """The mean of a column over defects, and a 95 % bootstrap interval over images (groups, where they have them)."""
    each = rows.groupby("group", sort=False)[column].agg(["sum", "count"]).to_numpy(float)
    if len(each) < 2:
        return float(each[:, 0].sum() / each[:, 1].sum()), math.nan, math.nan
    found = metrics.paired_bootstrap([each[None]], None, lambda sums: sums[0][0] / sums[0][1], each[:, 1:] > 0)
    value, low, high = found.tolist()
    return value, low, high


def paired(rows: pd.DataFrame, base: pd.DataFrame, column: str) -> Bounds:
    """The mean difference of a column from ``base``, defect by defect."""
    both = rows.merge(base, on=["key", "group", "defect"], suffixes=("", "_base"), validate="one_to_one")
    return bounds(both.assign(apart=both[column] - both[f"{column}_base"]), "apart")


def mean_of(parts: Sequence[Bounds]) -> Bounds:
    """The plain mean of independent means; their errors add up as squares, each about half as wide as its interval."""
    values, low, high = np.transpose(parts)
    half = float(np.sqrt(((high - low) ** 2).sum()) / 2 / len(parts))
    return float(values.mean()), float(values.mean()) - half, float(values.mean()) + half


# Tables as they are printed -----------------------------------------------------------------------------------------


def in_clicks(table: pd.DataFrame | None, more: str | None = None) -> pd.DataFrame | None:
    """Numbers of clicks with 95 % intervals, and failures in %; ``more`` names the column of paired differences."""
    if table is None:
        return None
    shown = {name: [_cell(row, name) for _, row in table.iterrows()] for name in NOC.values()}
    shown |= {FAILURES: [f"{100 * value:.0f}" for value in table["failed"]]}
    if more:
        shown[more] = [_cell(row, "more", "+") if name != WHOLE else "" for name, row in table.iterrows()]
    return _like(table, shown | {"defects": table["defects"].astype(int).astype(str)})


def notes(study: Clicks, record: pd.DataFrame | None) -> list[str]:
    """What has to be known to read the table of clicks: the measures, and on how many images of what size they are."""
    size, images = study.profile.annotator.size, study.outcomes.groupby("data", sort=False)["key"].nunique()
    said = [study.rule, f"This run: {_counted(images.to_dict())} of {size} px."]
    if record is not None:
        made = record.attrs["provenance"]
        said.append(f"Reference: {_counted(made['images'])} of {made['size']} px.")
    return said


def _counted(images: Mapping[str, int]) -> str:
    return ", ".join(f"{count} images of {name}" for name, count in images.items())


def in_leads(leads: pd.DataFrame | None) -> pd.DataFrame | None:
    """How many more clicks other methods take, with 95 % intervals."""
    if leads is None:
        return None
    return _like(leads, {"more clicks": [_cell(row, "more", "+") for _, row in leads.iterrows()]})


def in_shares(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """IoU and boundary F after :data:`AT` clicks in %, and milliseconds of a click."""
    if table is None:
        return None
    shown = {f"{measure} {k}": 100 * table[f"{measure} {k}"] for measure in ("IoU", "F") for k in AT}
    named = {f"{name.replace('F', 'boundary F')}": values for name, values in shown.items()}
    return _like(table, named | ({"ms a click": 1000 * table["seconds"]} if "seconds" in table else {}))


def in_percent(saved: pd.DataFrame | None) -> pd.DataFrame | None:
    """The simulation of :attr:`Clicks.saved`: what is varied, between which ends, and the saving at either in %."""
    if saved is None:
        return None
    shares = {end: [with_minus(f"{100 * value:.0f}") for value in saved[f"saved at {end}"]] for end in ("low", "high")}
    ends = {end: [f"{value:g}" if value == value else "" for value in saved[end]] for end in ("low", "high")}
    central = saved.loc["as it stands"]
    interval = with_minus(f"[{100 * central['low']:.0f}, {100 * central['high']:.0f}]")
    ends["low"][0], ends["high"][0], shares["high"][0] = "", "", interval
    columns = {
        "lower end": ends["low"],
        "simulated saving there, %": shares["low"],
        "upper end": ends["high"],
        "simulated saving at that, %": shares["high"],
    }
    return _like(saved, columns)


# Parts --------------------------------------------------------------------------------------------------------------


def _numbers(one: Mapping[str, Any], most: int) -> dict[str, Any]:
    ious, boundary = one["ious"], one["boundary"]
    counts = {name: clicks_to(ious, target, most) for target, name in NOC.items()}
    after = {f"IoU {k}": _held(ious, k) for k in AT} | {f"F {k}": _held(boundary, k) for k in AT}
    return counts | after | {"share": 100 * one["area"] / one["pixels"], "failed": float(fails(ious, 0.85, most))}


def _held(values: Sequence[float], k: int) -> float:
    """The value after ``k`` clicks: an annotator who stopped keeps the mask."""
    return values[min(k, len(values)) - 1]


def _after(sequences: pd.Series, k: int) -> float:
    return float(np.mean([_held(values, k) for values in sequences]))


def _means(rows: pd.DataFrame) -> dict[str, float]:
    names = (*NOC.values(), "failed", *(f"{measure} {k}" for measure in ("IoU", "F") for k in AT))
    found: dict[str, float] = {"defects": len(rows)}
    for name in names:
        found |= _with_ends(name, bounds(rows, name))
    return found


def _with_ends(name: str, found: Bounds) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def _indexed(rows: Mapping[Any, Mapping[str, Any]], names: list[str]) -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples(rows, names=names) if len(names) > 1 else pd.Index(list(rows), name=names[0])
    return pd.DataFrame(list(rows.values()), index=index)


def _cell(row: pd.Series, name: str, sign: str = "") -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    span = "no interval" if math.isnan(low) else f"{low:{sign}.1f}, {high:{sign}.1f}"
    return with_minus(f"{value:{sign}.1f} [{span}]".replace(" ", "\N{NO-BREAK SPACE}"))


def _like(table: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    shown = pd.DataFrame(dict(columns), index=table.index)
    shown.attrs = dict(table.attrs)
    return shown
