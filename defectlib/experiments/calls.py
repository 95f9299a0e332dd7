"""How many network calls does a pair need? Quality and speed of each sampler against the ancestral one with T calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from defectlib.data.folder import read_dataset
from defectlib.data.loading import load_train
from defectlib.data.sample import Sample
from defectlib.errors import UserError
from defectlib.experiments import equivalence
from defectlib.experiments.study import Study
from defectlib.settings import Data, Fidelity, Sampler, SamplerTiming, Stage, Synthesis, T
from defectlib.store import provenance

NAMES = {"ddpm": "ancestral (DDPM)", "ddim": "DDIM", "dpm++": "DPM-Solver++"}
SPEED = "images_per_second"


class Point(NamedTuple):
    """A sampler and a number of network calls per pair."""

    sampler: Sampler
    calls: int

    @property
    def name(self) -> str:
        """In words."""
        return f"{NAMES[self.sampler]}, {self.calls} calls"


@dataclass(frozen=True)
class NetworkCalls(Study):
    """One product, one pair of nets, the profile's switch step; every sampler with several numbers of calls.

    Args:
        product: A product of the embedded dataset, or DATASET/PRODUCT.
    """

    product: str = "softgel"

    def __post_init__(self) -> None:
        if not self.profile.network_calls.get("ddpm"):
            raise UserError("setting 'network_calls': name ddpm too; all are compared with its most calls")

    @property
    def data(self) -> Data:
        """The product at the profile's size."""
        return self.profile.data(self.product)

    @property
    def points(self) -> tuple[Point, ...]:
        """Every sampler with every number of calls; all of these are timed."""
        return tuple(Point(name, calls) for name, all_ in self.profile.network_calls.items() for calls in sorted(all_))

    @property
    def measured(self) -> tuple[Point, ...]:
        """Those of which a set of pairs is sampled and measured too."""
        return tuple(point for point in self.points if point.calls <= self.profile.measured_calls)

    @property
    def reference(self) -> Point:
        """The ancestral sampler with the most calls: with T, the reverse process as it was trained."""
        return max(point for point in self.points if point.sampler == "ddpm")

    def synthetic(self, point: Point) -> Synthesis:
        """The set of pairs of one point; those of the profile's own sampler and calls are every study's."""
        changes = {"sampler": point.sampler, "num_inference_steps": point.calls}
        return self.profile.synthesis(self.data).model_copy(update=changes)

    def fidelity(self, point: Point) -> Fidelity:
        """What measures that set."""
        return self.profile.fidelity(self.synthetic(point))

    @property
    def timing(self) -> SamplerTiming:
        """The speed of every point on this machine."""
        return self.profile.sampler_timing(self.data, tuple(tuple(point) for point in self.points))

    def stages(self) -> tuple[Stage, ...]:
        """The measures of every set, and the timing."""
        return (*(self.fidelity(point) for point in self.measured), self.timing)

    # What was found -------------------------------------------------------------------------------------------------

    def training(self) -> tuple[Sample, ...]:
        """The images the nets were trained on."""
        return load_train(self.data)

    def measures(self, point: Point) -> dict:
        """See :func:`defectlib.defectgen.fidelity.measure`."""
        return json.loads((self.path(self.fidelity(point)) / "fidelity.json").read_text())

    def timed_pairs(self) -> dict[Point, tuple[Sample, ...]]:
        """The pairs that were timed, from the same noise at every point."""
        artifact = self.path(self.timing)
        return {point: read_dataset(artifact / f"{point.sampler}-{point.calls}") for point in self.points}

    @cached_property
    def clock(self) -> dict[str, Any]:
        """See :func:`defectlib.defectgen.timing.run`."""
        return json.loads((self.path(self.timing) / "timing.json").read_text())

    def speeds(self) -> pd.DataFrame:
        """Images per second: index ``sampler``, ``calls``; median of the rounds, ``…_low`` and ``…_high`` their ends.

        ``…_nets``: what it would be if nothing but the calls of the two nets took time.
        """
        call = {net: float(np.median(seconds)) for net, seconds in self.clock["call_seconds"].items()}
        rows = {}
        for found in self.clock["points"]:
            rates = self.clock["pairs"] / np.array(found["seconds"])
            nets = found["large"] * call["large"] + found["small"] * call["small"]
            values = (np.median(rates), rates.min(), rates.max(), self.clock["pairs"] / nets)
            rows[found["sampler"], found["calls"]] = [float(value) for value in values]
        columns = [SPEED, f"{SPEED}_low", f"{SPEED}_high", f"{SPEED}_nets"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).set_axis(_index(rows))

    @cached_property
    def table(self) -> pd.DataFrame:
        """Everything: index ``sampler``, ``calls``; speeds, ``pairs`` measured, and what ``equivalence`` reads.

        The row ``equivalence.REAL`` is the last; what was not measured, or is not said of real images, is NaN.
        """
        training, rows = self.training(), {}
        for point in self.measured:
            found = self.measures(point)
            error = equivalence.errors(self.read_pairs(self.synthetic(point)), training, found["nearest_distance"])
            rows[point] = {"pairs": found["pairs"], **equivalence.row(found, error)}
        rows[equivalence.REAL] = equivalence.real_row(found)
        quality = pd.DataFrame.from_dict(rows, orient="index").set_axis(_index(rows))
        return self.speeds().join(quality, how="outer").reindex(_index([*self.points, equivalence.REAL])).astype(float)

    def visits(self, calls: int, switch_steps: tuple[int, ...]) -> pd.DataFrame:
        """The timesteps at which each net was called, in order, while every sampler drew one pair; loads torch.

        Returns:
            Index ``sampler``, ``u``; columns ``large`` and ``small``, lists of t.
        """
        from defectlib.experiments.process import visited

        rows = {(name, u): visited(self, name, calls, u) for name in self.profile.network_calls for u in switch_steps}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["large", "small"]).set_axis(
            pd.MultiIndex.from_tuples(rows, names=["sampler", "u"])
        )

    def records(self) -> dict[str, tuple[pd.DataFrame, dict]]:
        """The table as the reference results of this product, with where they come from."""
        origin = {"profile": self.profile.name, "product": self.product, "nets": self.nets}
        return {self.record_name: (self.table, provenance(self.timing) | origin)}

    @property
    def record_name(self) -> str:
        """What the reference results of this product at this size are called."""
        return f"network_calls_{self.product.replace('/', '-').lower()}_{self.profile.size}px"

    @property
    def nets(self) -> list[str]:
        """Keys of the two nets on any machine."""
        return [net.key(any_machine=True) for net in self.synthetic(self.reference).inputs().values()]

    def of_these_nets(self, record: pd.DataFrame | None) -> pd.DataFrame | None:
        """Reference results, if they are those of the same two nets, and hold what everything is compared with."""
        if record is None or record.attrs["provenance"].get("nets") != self.nets or self.reference not in record.index:
            return None
        return record

    def judged(self, record: pd.DataFrame | None) -> pd.DataFrame | None:
        """What the conclusion is drawn from: this run's table, if it measured the reference, else the reference."""
        return record if np.isnan(self.table.loc[self.reference, "pairs"]) else self.table


# What it means ------------------------------------------------------------------------------------------------------


def fewest(table: pd.DataFrame, reference: Point) -> dict[str, int | None]:
    """For each sampler, the fewest calls from which on no measure is lost against the reference; None: it always is.

    Args:
        table: As :attr:`NetworkCalls.table`.
        reference: What all are compared with; it must have been measured.
    """
    lost = equivalence.costs(table, reference)["lost"].groupby(level=["sampler", "calls"], sort=False).any()
    found = {}
    for sampler, of_sampler in lost.groupby(level="sampler", sort=False):
        # From the most calls down: a sampler that loses something at 25 calls is not vindicated by chance at 10.
        calls = of_sampler.droplevel("sampler").sort_index(ascending=False)
        kept = calls.index[~calls.cummax()]
        found[sampler] = int(kept[-1]) if len(kept) else None
    return found


def choice(table: pd.DataFrame, reference: Point) -> Point:
    """The point with the fewest calls that has lost nothing; the reference, where every other has."""
    found = [Point(sampler, calls) for sampler, calls in fewest(table, reference).items() if calls]
    return min([*found, reference], key=lambda point: (point.calls, list(NAMES).index(point.sampler)))


def conclusion(table: pd.DataFrame, reference: Point) -> pd.DataFrame:
    """By sampler: the fewest calls that lose nothing, their speed over the reference's, and what fewer calls lose.

    ``chosen`` is :func:`choice`, of all samplers. ``loses`` are the measures lost at ``fewer``, the most calls below
    the fewest that lose any. What there is none of is None.
    """
    costs, best, rows = equivalence.costs(table, reference), choice(table, reference), {}
    for sampler, number in fewest(table, reference).items():
        of = costs.loc[sampler]
        fewer = of[of["lost"] & (of.index.get_level_values("calls") < (number or np.inf))]
        most = fewer.index.get_level_values("calls").max() if len(fewer) else None
        rows[NAMES[sampler]] = {
            "fewest calls": number,
            "times the reference": table[SPEED].get((sampler, number), np.nan) / table.loc[reference, SPEED],
            "chosen": (sampler, number) == best,
            "fewer": None if most is None else int(most),
            "loses": "" if most is None else ", ".join(map(measure_name, fewer.loc[most].index)),
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("sampler")
    whole = frame.astype({"fewest calls": "Int64", "fewer": "Int64"}).astype(object)
    return whole.where(whole.notna(), None)


def losses(table: pd.DataFrame, reference: Point) -> pd.DataFrame:
    """The measure of each point that comes nearest to being lost, or is lost by most.

    Index ``sampler``, ``calls``; columns ``measure``, ``cost``, ``counts from`` (the least cost that would count) and
    ``lost``.
    """
    costs = equivalence.costs(table, reference).reset_index("measure")
    excess = (costs["cost"] / costs["visible"]).fillna(-np.inf)  # 0 of 0: all pairs show it, in both sets
    order = excess.argsort(kind="stable")[::-1]
    first = costs.iloc[order][lambda worst: ~worst.index.duplicated()].reindex(costs.index.unique())
    first["measure"] = first["measure"].map(measure_name)
    named = first[["measure", "cost", "visible", "lost"]].rename(columns={"visible": "counts from"})
    return named.rename(index=NAMES, level="sampler")


def as_text(visits: pd.DataFrame) -> pd.DataFrame:
    """:meth:`NetworkCalls.visits` to print: samplers by their names, every t in its place."""
    shown = visits.map(lambda timesteps: " ".join(map(str, timesteps)) or "none").rename(index=NAMES, level="sampler")
    return shown.rename(columns=lambda net: f"{net} net")


def all_visits(switch_steps: tuple[int, ...]) -> pd.DataFrame:
    """The timesteps at which each net is called of T: index ``u``, a column of text for each net; loads torch."""
    from defectlib.defectgen.timesteps import two_stage_timesteps

    rows = {u: [_range(timesteps) for timesteps in two_stage_timesteps(u, T)] for u in switch_steps}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["large net", "small net"]).rename_axis("u")


def _range(timesteps: list[int]) -> str:
    """A descending list without a gap, in a few characters."""
    return f"{timesteps[0]}, {timesteps[1]}, …, {timesteps[-1]} ({len(timesteps)} calls)" if timesteps else "none"


def measure_name(key: str) -> str:
    """A measure by its name, without its unit."""
    return equivalence.MEASURES.get(key, key).split(" (")[0]


def quality(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """Of :attr:`NetworkCalls.table`, the measures, under names that people read."""
    return _readable(table, {key: measure_name(key) for key in equivalence.MEASURES})


def speed(table: pd.DataFrame | None, reference: Point) -> pd.DataFrame | None:
    """Of :attr:`NetworkCalls.table`, the speeds, and how many times that of the reference each is."""
    if table is None:
        return None
    names = {"": "images per second", "_low": "slowest round", "_high": "fastest round", "_nets": "nets alone"}
    times = table.assign(times=table[SPEED] / table.loc[reference, SPEED]).drop(index=[equivalence.REAL])
    named = {f"{SPEED}{end}": name for end, name in names.items()}
    return _readable(times, named | {"times": "times the reference"})


def _readable(table: pd.DataFrame | None, names: Mapping[str, str]) -> pd.DataFrame | None:
    """The columns ``names`` that say something, samplers in words, and what the table says of itself."""
    if table is None:
        return None
    shown = table[list(names)].rename(columns=names).rename(index=NAMES, level="sampler").dropna(how="all")
    shown.attrs = dict(table.attrs)
    return shown


def _index(rows: Mapping | list) -> pd.MultiIndex:
    return pd.MultiIndex.from_tuples([tuple(row) for row in rows], names=["sampler", "calls"])
