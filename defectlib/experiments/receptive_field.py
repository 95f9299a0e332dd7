"""The receptive field of each net, computed, measured and used, and what its size does to the pairs (paper §3.4.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from defectlib.experiments.generation import Playground, curve_point
from defectlib.settings import DenoiserTraining, Fidelity, ReceptiveField, Stage


@dataclass(frozen=True)
class Fields(Playground):
    """The playground's nets, their fields measured, and the playground's pairs, measured at each (u, field)."""

    def nets(self) -> dict[str, DenoiserTraining]:
        """The small nets by their name, the smallest field first, then the large one."""
        sets = sorted(self.grid().items())
        small = {f"small, {field} px": stage.small for (_, field), stage in sets}
        return small | {"large": sets[0][1].large}

    def fields(self) -> dict[str, ReceptiveField]:
        """What measures the field of each net."""
        device = self.profile.machine["device"]
        return {name: ReceptiveField(denoiser=net, device=device) for name, net in self.nets().items()}

    def fidelity(self) -> dict[tuple[int, int], Fidelity]:
        """What measures the pairs of each (u, receptive field)."""
        return {point: self.profile.fidelity(pairs) for point, pairs in self.grid().items()}

    def stages(self) -> tuple[Stage, ...]:
        """A measured field per net, measured pairs per point of the grid."""
        return (*self.fields().values(), *self.fidelity().values())

    def measures(self) -> dict[str, dict]:
        """See :func:`defectlib.defectgen.receptive_field.measure`; by net."""
        paths = {name: self.path(stage) / "receptive_field.json" for name, stage in self.fields().items()}
        return {name: json.loads(path.read_text()) for name, path in paths.items()}

    def effective(self) -> dict[str, np.ndarray]:
        """The effective field (H, W) of each net, of sum 1, mean over timesteps."""
        paths = {name: self.path(stage) / "effective.npy" for name, stage in self.fields().items()}
        return {name: np.load(path, allow_pickle=False).mean(axis=0) for name, path in paths.items()}

    def summary(self) -> pd.DataFrame:
        """One row per net (index ``net``): receptive fields in pixels a side, as text, and the leak.

        Columns: ``theory``; ``measured``, the box of all pixels with a gradient; ``95 %``, the square that holds this
        share of the gradient; ``leak`` and ``leak, frozen``, influence from beyond the field in %, missing where the
        image has nothing beyond it.
        """
        rows = {name: _summary(found) for name, found in self.measures().items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("net")

    def by_timestep(self) -> pd.DataFrame:
        """The side in pixels of the square that holds 95 % of the gradient: index ``t``, a column per net."""
        found = self.measures()
        columns = {name: pd.Series(one["effective"], index=one["timesteps"]) for name, one in found.items()}
        return pd.DataFrame(columns).rename_axis("t")

    def influence(self) -> pd.DataFrame:
        """How much changes when everything beyond a distance does; mean over timesteps.

        Columns: ``net``, ``distance`` in pixels, ``live`` and ``frozen`` (fractions), ``reach`` of the field.
        """
        rows = [
            (name, distance, live, frozen, found["reach"])
            for name, found in self.measures().items()
            for distance, live, frozen in zip(
                found["distances"], _over_time(found["live"]), _over_time(found["frozen"]), strict=True
            )
        ]
        return pd.DataFrame(rows, columns=["net", "distance", "live", "frozen", "reach"])

    def table(self) -> pd.DataFrame:
        """The ablation: one row per (u, receptive field), columns as in ``SwitchStep.table`` and ``field``."""
        rows = []
        for (u, field), stage in self.fidelity().items():
            found = json.loads((self.path(stage) / "fidelity.json").read_text())
            rows.append({"u": u, "field": field, **curve_point(found)})
        return pd.DataFrame(rows)


def _over_time(values: list[list[float]]) -> list[float]:
    """Mean over timesteps (T, D) → (D,)."""
    return np.mean(values, axis=0).tolist()


def _summary(found: dict) -> dict:
    beyond = None if found["leak"] is None else found["distances"].index(found["reach"])
    height, width = found["measured"]
    return {
        "theory": "whole image" if found["theory"] is None else str(found["theory"]),
        "measured": str(height) if height == width else f"{height} × {width}",
        "95 %": str(found["effective_mean"]),
        "leak": None if beyond is None else 100 * float(np.mean(found["leak"])),
        "leak, frozen": None if beyond is None else 100 * _over_time(found["frozen"])[beyond],
    }
