"""How fast are the baselines? Milliseconds for one image on the machine at hand, three ways, beside the paper's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np
import pandas as pd

from defectlib.experiments.study import Study
from defectlib.settings import Device, SegmenterTiming, Stage
from defectlib.store import provenance

#: Ways to run a model → their names for people.
WAYS = {"eager": "eager", "optimised": "optimised", "onnx": "ONNX Runtime, CPU"}
BEYOND = "\N{DAGGER}"
"""Marks a time whose outputs are farther from eager than the tolerance."""


@dataclass(frozen=True)
class Speed(Study):
    """The profile's models, one image of the profile's size.

    Args:
        product: Whose image it is: of the embedded dataset, or DATASET/PRODUCT.
    """

    product: str = "softgel"

    @property
    def timing(self) -> SegmenterTiming:
        """All models, timed in one run on this machine."""
        return self.profile.segmenter_timing(self.product)

    def stages(self) -> tuple[Stage, ...]:
        """The timing alone."""
        return (self.timing,)

    @cached_property
    def found(self) -> dict[str, Any]:
        """See :func:`defectlib.segmentation.latency.run`."""
        return json.loads((self.path(self.timing) / "latency.json").read_text())

    @cached_property
    def table(self) -> pd.DataFrame:
        """Index ``model``; ``parameters`` and ``multiply_adds``, then for each of :data:`WAYS` milliseconds.

        ``WAY`` is the median of the rounds, ``WAY_low`` and ``WAY_high`` the quartiles; NaN where there is no such way,
        and ``WAY_reason`` says why. ``WAY_probability`` and ``WAY_changed`` are the difference from eager, which is
        ``WAY_within`` the tolerance or not. ``done`` says what was optimised. Where they come from is in the ``attrs``.
        """
        rows = {record["model"]: _row(record) for record in self.found["models"]}
        frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
        frame.attrs["provenance"] = provenance(self.timing) | self.circumstances
        return frame

    @property
    def circumstances(self) -> dict[str, Any]:
        """What a time depends on beside the model and the machine."""
        names = ("accelerator", "sides", "outputs")
        timing = {"threads": self.timing.threads, "rounds": self.timing.rounds, "dtype": self.timing.dtype}
        return {"profile": self.profile.name} | {name: self.found[name] for name in names} | timing

    def records(self) -> dict[str, tuple[pd.DataFrame, dict]]:
        """The table as the reference results of this device and size, with where they come from."""
        return {self.record_name: (self.table, self.table.attrs["provenance"])}

    @property
    def record_name(self) -> str:
        """What the reference results of this device are called; they say themselves how large their image was."""
        return f"speed_{self.timing.device}"

    @property
    def record_names(self) -> tuple[str, ...]:
        """Those of every device."""
        return tuple(f"speed_{device}" for device in get_args(Device))


def _row(record: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {name: record[name] for name in ("parameters", "multiply_adds")}
    for name, way in record["ways"].items():
        times = 1e3 * np.array(way["seconds"] or [np.nan])
        values = zip(("_low", "", "_high"), np.percentile(times, (25, 50, 75)), strict=True)
        row |= {f"{name}{end}": float(value) for end, value in values}
        row |= {f"{name}_{key}": value for key, value in way.get("difference", {}).items()}
        row |= {f"{name}_{key}": way[key] for key in ("within", "reason") if key in way}
    return row | {"done": "; ".join(record["ways"]["optimised"]["done"])}


# For people ---------------------------------------------------------------------------------------------------------


def eager(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """Of :attr:`Speed.table` what stands beside the paper's numbers: the column ``time (ms)``."""
    return None if table is None else _with_attrs(table[["eager"]].rename(columns={"eager": "time (ms)"}), table)


def readable(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """:attr:`Speed.table` as text: the model's cost, and of each way the median and the quartiles in milliseconds."""
    if table is None:
        return None
    millions, billions = table["parameters"] / 1e6, table["multiply_adds"] / 1e9
    columns = {"parameters (M)": millions.map("{:.1f}".format), "GFLOPs": billions.map("{:.2f}".format)}
    columns |= {f"{title} (ms)": table.apply(_time, axis=1, way=way) for way, title in WAYS.items()}
    return _with_attrs(pd.DataFrame(columns), table)


def _time(row: pd.Series, way: str) -> str:
    if np.isnan(row[way]):
        return "none"
    mark = "" if row.get(f"{way}_within", True) else BEYOND
    return f"{row[way]:.1f}{mark} [{row[f'{way}_low']:.1f}, {row[f'{way}_high']:.1f}]".replace(
        " ", "\N{NO-BREAK SPACE}"
    )


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """How far the outputs of each way are from eager, whether that is within the tolerance, and what was optimised."""
    columns: dict[str, pd.Series] = {}
    for way in ("optimised", "onnx"):
        if f"{way}_probability" in table:
            columns[f"{WAYS[way]}: probability"] = table[f"{way}_probability"].map("{:.1e}".format)
            columns[f"{WAYS[way]}: changed pixels (%)"] = (100 * table[f"{way}_changed"]).map("{:.2f}".format)
        kept = (key for key in ("within", "reason") if f"{way}_{key}" in table)
        columns |= {f"{WAYS[way]}: {key}": table[f"{way}_{key}"] for key in kept}
    return pd.DataFrame({**columns, "what was optimised": table["done"]}, index=table.index)


def fastest(table: pd.DataFrame) -> pd.DataFrame:
    """By way: the fastest model, its milliseconds, and how many times as fast as eager all models are."""
    rows = {}
    for way, title in WAYS.items():
        if not (times := table[way].dropna()).empty:
            gains = (table["eager"] / table[way]).dropna()
            values = (times.idxmin(), times.min(), gains.median(), gains.min(), gains.max())
            rows[title] = dict(zip(("fastest", "ms", "gain, median", "least", "most"), values, strict=True))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("way")


def _with_attrs(frame: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    frame.attrs = dict(table.attrs)
    return frame
