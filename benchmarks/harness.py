"""What every benchmark does: time ways by turns, compare them round by round, and say how far they are from the floor.

No time stands alone: a busy machine slows all ways of a round alike, so that ratios within rounds hold where seconds do
not. The floor is what the machine, at its best, needs for the arithmetic and for the bytes that have to be moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from benchmarks.results import seconds
from defectlib.clock import accelerator, clocked

CPU = torch.device("cpu")
QUARTILES = (25, 50, 75)


def devices() -> tuple[torch.device, ...]:
    """The CPU, and a GPU where there is one."""
    return (CPU, torch.device("cuda")) if torch.cuda.is_available() else (CPU,)


def by_turns(
    ways: Mapping[str, Callable[[], object]], rounds: int, device: torch.device = CPU, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of every way in each round: forth and back by turns, after ``warm_up`` calls of each that do not count.

    Args:
        ways: What is timed, by name.
        rounds: How often each is timed.
        device: What has to be waited for.
        warm_up: Calls that choose algorithms, fill caches, compile.
    """
    for work in ways.values():
        for _ in range(warm_up):
            work()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways) if number % 2 == 0 else reversed(ways):
            seconds[name].append(clocked(ways[name], device))
    return seconds


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = np.percentile(values, QUARTILES)
    return float(low), float(middle), float(high)


def geometric_mean(values: Sequence[Sequence[float]]) -> list[float]:
    """Round by round, the geometric mean over several series of as many rounds."""
    return np.exp(np.log(values).mean(axis=0)).tolist()


# The floor ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Floor:
    """The least time that something can take on this machine.

    Attributes:
        seconds: Of one unit of work.
        of: What it consists of, in words.
    """

    seconds: float
    of: str


def roofline(operations: float, moved: float, device: torch.device = CPU, dtype: str = "fp32") -> Floor:
    """The floor of ``operations`` floating-point operations and ``moved`` bytes: the one that takes longer.

    Both go on at the same time at best. The rates are those that a matrix product and a copy reach here.
    """
    arithmetic, memory = operations / peak(device, dtype), moved / bandwidth(device)
    if arithmetic >= memory:
        return Floor(arithmetic, f"arithmetic in {dtype}, at the rate of a matrix product")
    return Floor(memory, "bytes, at the rate of a copy")


@cache
def peak(device: torch.device, dtype: str) -> float:
    """Floating-point operations in a second of a large matrix product, the best of several."""
    side = 1024 if device.type == "cpu" else 8192
    factor = torch.ones(side, side, device=device, dtype=torch.bfloat16 if dtype == "bf16" else torch.float32)
    with torch.inference_mode():
        return 2 * side**3 / best(lambda: factor @ factor, device)


@cache
def bandwidth(device: torch.device) -> float:
    """Bytes in a second, read and written, of a copy that no cache holds, the best of several."""
    source = torch.ones(2**26 if device.type == "cpu" else 2**28, device=device)  # 256 MiB, 1 GiB
    target = torch.empty_like(source)
    return 2 * source.nbytes / best(lambda: target.copy_(source), device)


def best(work: Callable[[], object], device: torch.device = CPU, times: int = 7) -> float:
    """The least seconds that ``work`` takes: for floors, where what disturbs is not wanted."""
    work()
    return min(clocked(work, device) for _ in range(times))


def hardware() -> dict[str, Any]:
    """The rates that floors rest on, by device, and the name of the GPU."""
    return {
        device.type: {
            "accelerator": accelerator(device),
            "bytes_per_second": bandwidth(device),
            "operations_per_second": {dtype: peak(device, dtype) for dtype in ("fp32", "bf16")},
        }
        for device in devices()
    }


# What was found -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One way of ours, timed, and beside it the plain way and the floor.

    Attributes:
        benchmark: Name of the question.
        case: Which of its cases.
        unit: What the seconds are for, such as ``image``.
        name: Our way, in words.
        ours: Seconds for a unit in each round.
        plain_name: The plain way, in words; empty where there is none.
        plain: Seconds for a unit in the same rounds.
        ratios: Of each round; None takes plain over ours.
        floor: None where none is known.
        goal: The least ratio that is wanted; None where none was set.
        device: ``cpu`` or ``cuda``.
        note: What must be known to read the numbers.
    """

    benchmark: str
    case: str
    unit: str
    name: str
    ours: Sequence[float]
    plain_name: str = ""
    plain: Sequence[float] = ()
    ratios: Sequence[float] | None = None
    floor: Floor | None = None
    goal: float | None = None
    device: str = "cpu"
    note: str = ""

    def row(self) -> dict[str, Any]:
        """As a row of the table: medians and quartiles, None where there is nothing."""
        named = [("ours", self.ours), ("plain", self.plain), ("ratio", self._ratios())]
        numbers: dict[str, float | None] = {}
        for key, values in named:
            found = spread(values) if len(values) else (None,) * 3
            numbers |= dict(zip((f"{key}_low", key, f"{key}_high"), found, strict=True))
        ratio, floor = numbers["ratio"], self.floor
        return {
            "benchmark": self.benchmark,
            "case": self.case,
            "device": self.device,
            "unit": self.unit,
            "name": self.name,
            "plain_name": self.plain_name,
            **numbers,
            "rounds": len(self.ours) or len(self._ratios()),
            "floor": floor.seconds if floor else None,
            "floor_of": floor.of if floor else "",
            "above_floor": numbers["ours"] / floor.seconds if floor and numbers["ours"] else None,
            "goal": self.goal,
            "met": None if self.goal is None or ratio is None else ratio >= self.goal,
            "note": self.note,
        }

    def _ratios(self) -> Sequence[float]:
        if self.ratios is not None:
            return self.ratios
        return [plain / ours for plain, ours in zip(self.plain, self.ours, strict=True)] if self.plain else ()


def in_words(row: Mapping[str, Any]) -> str:
    """A row as a line of the runner's output."""
    parts = [f"{row['benchmark']}, {row['case']} ({row['device']}):"]
    if row["ours"]:
        parts.append(f"{seconds(row['ours'])} per {row['unit']}")
    if row["ratio"]:
        parts.append(f"{row['ratio']:.2f} times as fast [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]")
    if row["above_floor"]:
        parts.append(f"{row['above_floor']:.1f} floors")
    if row["goal"]:
        parts.append(f"goal {row['goal']:g} {'met' if row['met'] else 'missed'}")
    return " ".join([parts[0], ", ".join(parts[1:])])
