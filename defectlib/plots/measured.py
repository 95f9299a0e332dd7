"""How fast and how hard to break: the benchmarks' table and figure, and the tables of faults, bad input and long runs.

The benchmarks are numbers of record like any other. What breaks things writes files of its own forms into the same
folder (:data:`OTHERS`), which are read here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from defectlib import reading, runtime
from defectlib.errors import UserError
from defectlib.plots import tables
from defectlib.plots.style import FAINT, INK, SERIES_COLOURS, WIDTH, new_figure
from defectlib.plots.tables import REFERENCE, Table
from defectlib.store import changed_since_sealed

RECORD = "benchmarks"
#: Files of the folder of record that are not in the form of records → what is said while there is none.
OTHERS = {
    "faults": "No faults have been tried for the record yet: `make faults RECORD=1`.",
    "bad_inputs": "No bad input has been tried for the record yet: `python -m benchmarks.bad_inputs --record`.",
    "soak": "No long run has been made for the record yet: `python -m benchmarks.soak --record`.",
}
#: Benchmark → what it asks.
QUESTIONS = {
    "sampling": "sampling pairs",
    "training": "training denoisers",
    "baselines": "one image, a baseline",
    "confusion": "confusion matrix",
    "loading": "loading an epoch",
    "listing": "listing, counting",
    "store": "an artifact in the store",
    "start-up": "starting",
    "book": "the book, unchanged",
}
NOTHING = "Nothing has been measured for the record yet: `make bench`."
_MET, _MISSED, _FREE = SERIES_COLOURS[2], SERIES_COLOURS[1], INK
_BAND = "#F2F2F2"


# Benchmarks ---------------------------------------------------------------------------------------------------------


def findings(found: pd.DataFrame | None, name: str, caption: str) -> Table:
    """Every case: seconds of ours, how many times the plain way it is, the goal, and how many floors it takes.

    Args:
        found: The record :data:`RECORD`; None where there is none.
        name: Label of the table.
        caption: What it holds.
    """
    if found is None:
        return _empty(name, caption, NOTHING)
    floors = {text: _raised(i) for i, text in enumerate(dict.fromkeys(filter(None, found["floor_of"])), 1)}
    rows = [_cells(*place, row, floors) for place, row in found.iterrows()]
    about = found.attrs["provenance"]
    notes = [f"Floors: {'; '.join(f'{sign} {text}' for text, sign in floors.items())}."]
    notes += [f"{QUESTIONS.get(key, key)}: left out, {why}." for key, why in about.get("left_out", {}).items()]
    notes += [f"{case}: {row['note']}." for (_, case, _), row in found.iterrows() if row["note"]]
    notes += tables._dates({tables.RECORD: found})
    return Table(pd.DataFrame(rows), name, caption, tuple(notes), labels=2, values=found.reset_index())


def _cells(benchmark: str, case: str, device: str, row: pd.Series, floors: Mapping[str, str]) -> dict[str, str]:
    goal = "" if np.isnan(_number(row["goal"])) else f"{row['goal']:g}, {'met' if row['met'] else '**missed**'}"
    return {
        "question": QUESTIONS.get(benchmark, benchmark),
        "case": case if device == "cpu" else f"{case}, GPU",
        "ours": f"{_time(row['ours'])} per {row['unit']}" if row["ours"] > 0 else "",
        "beside": row["plain_name"],
        "times as fast": _spread(row, "ratio"),
        "goal": goal,
        "floor": f"{_time(row['floor'])}\N{NO-BREAK SPACE}{floors[row['floor_of']]}" if row["floor"] > 0 else "",
        "floors": "" if np.isnan(_number(row["above_floor"])) else _short(row["above_floor"]),
    }


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _spread(row: pd.Series, name: str) -> str:
    low, middle, high = (_number(row[key]) for key in (f"{name}_low", name, f"{name}_high"))
    if np.isnan(middle):
        return ""
    return f"{_short(middle)} [{_short(low)}, {_short(high)}]".replace(" ", "\N{NO-BREAK SPACE}")


def _short(value: float) -> str:
    """Three digits, or as many as it has before the point."""
    return f"{value:,.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def _raised(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _time(seconds: float) -> str:
    unit, factor = next((pair for pair in (("s", 1), ("ms", 1e3), ("µs", 1e6)) if seconds * pair[1] >= 1), ("ns", 1e9))
    return f"{seconds * factor:.3g}\N{NO-BREAK SPACE}{unit}"


def machine(found: pd.DataFrame | None) -> list[str]:
    """The machine and the rates that the floors rest on, a sentence for each."""
    if found is None:
        return [NOTHING]
    about = found.attrs["provenance"]
    said = [f"{about['machine']}; torch on {about['threads']} thread(s); {about['finished'][:10]}."]
    for device, rates in about["hardware"].items():
        products = " and ".join(
            f"{rate / 1e9:,.0f} billion in {dtype}" for dtype, rate in rates["operations_per_second"].items()
        )
        where = rates["accelerator"] or device.upper()
        said.append(f"{where}: {products} operations a second, {rates['bytes_per_second'] / 1e9:,.0f} GB a second.")
    return said


def conclusion(found: pd.DataFrame | None) -> list[str]:
    """Which goals were met and which missed, and what is farthest from its floor."""
    if found is None:
        return [NOTHING]
    asked = found[found["goal"].notna()]
    met = asked["met"].astype(bool)
    said = [f"{met.sum()} of {len(asked)} goals were met."]
    for (benchmark, case, _), row in asked[~met].iterrows():
        said.append(
            f"Missed: {QUESTIONS.get(benchmark, benchmark)}, {case}: {_short(row['ratio'])} times as fast as "
            f"{row['plain_name']}, and {row['goal']:g} was wanted."
        )
    return said


def ratios(found: pd.DataFrame | None) -> Figure:
    """How many times the plain way each case is, on a logarithmic axis; with quartiles, goal and floor.

    A row per case that has a plain way. The black stroke is the goal; the grey diamond is how many times the plain way
    the floor would be. The nearer a mark is to its diamond, the less is left to gain.
    """
    figure = new_figure(WIDTH, 1.2 if found is None else 1.1 + 0.24 * int(found["ratio"].notna().sum()))
    axes = figure.subplots()
    if found is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, NOTHING.replace("`", ""), ha="center", va="center", transform=axes.transAxes)
        return figure
    rows = found[found["ratio"].notna()]
    _draw(axes, rows)
    axes.axvline(1, color=INK, lw=0.8, zorder=0)
    axes.set(xscale="log", ylim=(len(rows) - 0.5, -0.5), xlabel="times as fast as the plain way")
    axes.set_yticks(range(len(rows)), [_named(*place) for place in rows.index])
    axes.tick_params(axis="y", length=0)
    _ticks(axes)
    figure.legend(handles=_handles(), loc="outside upper left", ncols=5)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    groups = list(dict.fromkeys(benchmark for benchmark, _, _ in rows.index))
    for y, ((benchmark, _, _), row) in enumerate(rows.iterrows()):
        if groups.index(benchmark) % 2 == 0:
            axes.axhspan(y - 0.5, y + 0.5, color=_BAND, lw=0, zorder=0)
        sides = [[row["ratio"] - row["ratio_low"]], [row["ratio_high"] - row["ratio"]]]
        colour = _colour(row)
        axes.errorbar([row["ratio"]], [y], xerr=np.clip(sides, 0, None), fmt="o", color=colour, ms=5, elinewidth=1.2)
        if row["floor"] > 0 and row["plain"] > 0:
            axes.plot([row["plain"] / row["floor"]], [y], "D", color=FAINT, mfc="white", ms=4.5, zorder=1)
        if row["goal"] > 0:
            axes.plot([row["goal"]], [y], "|", color=INK, ms=11, mew=2, zorder=1)


def _colour(row: pd.Series) -> str:
    if not row["goal"] > 0:
        return _FREE
    return _MET if row["met"] else _MISSED


def _named(benchmark: str, case: str, device: str) -> str:
    return f"{benchmark}: {case}" + ("" if device == "cpu" else ", GPU")


def _ticks(axes: Axes) -> None:
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(FixedLocator([10.0**power for power in range(-4, 9)]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(low, high)


def _handles() -> list[Line2D]:
    marks = {"goal met": (_MET, "o", None), "goal missed": (_MISSED, "o", None), "no goal": (_FREE, "o", None)}
    marks["floor"] = (FAINT, "D", "white")
    lines = [
        Line2D([], [], color=c, marker=m, mfc=face or c, ls="", label=name) for name, (c, m, face) in marks.items()
    ]
    return [*lines, Line2D([], [], color=INK, marker="|", ms=10, mew=2, ls="", label="goal")]


# What breaks things -------------------------------------------------------------------------------------------------


def broken(file: str, name: str, caption: str, folder: Path = REFERENCE) -> Table:
    """What one of :data:`OTHERS` counted; a table that says so, where the file is not there yet.

    Raises:
        UserError: The file cannot be read as any of the forms that are written.
    """
    path = folder / f"{file}.json"
    if not path.is_file():
        return _empty(name, caption, OTHERS[file])
    try:
        content = reading.parse_json(path.read_text(encoding="utf-8"))
        if changed_since_sealed(content):
            raise ValueError("it has changed since it was written")
        frame, notes = _by_kind(content) if "kinds" in content else _flat(content)
        about = _provenance(content)
        finished, commit = about.get("finished") or about["date"], runtime.short_commit(about["commit"])
        notes.append(f"Of record: {about['machine']}, {finished[:10]}, commit {commit}.")
        shown = frame.map(_said).rename(columns=str)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, StopIteration, RecursionError) as error:
        raise UserError(f"{path}: not in a form that is known ({error!r}); make it again") from error
    return Table(shown, name, caption, tuple(notes), values=frame)


def _by_kind(content: Mapping[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """Rows of several kinds that have the same columns, below each other."""
    kinds = content["kinds"].values()
    frames = [tables.framed(kind["rows"], content["columns"]) for kind in kinds]
    skipped = [f"{where}: not tried, {why}." for kind in kinds for where, why in kind["skipped"].items()]
    return pd.concat(frames, ignore_index=True), skipped


def _flat(content: Mapping[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """A record's rows; or of nested values a row for each."""
    if "rows" in content:
        return tables.framed(content["rows"], content["columns"]), []
    parts = {name: part for name, part in content.items() if name != "provenance"}
    rows = [(name, measure, value) for name, part in parts.items() for measure, value in part.items()]
    return pd.DataFrame(rows, columns=["run", "measure", "value"]), []


def _provenance(content: Mapping[str, Any]) -> Mapping[str, Any]:
    return content["provenance"] if "provenance" in content else next(iter(content["kinds"].values()))["provenance"]


def _said(value: Any) -> str:
    """A value in few words: a list with its parts after each other, an estimate with its interval."""
    if isinstance(value, dict) and {"slope", "low", "high"} <= value.keys():
        return f"{value['slope']:g} [{value['low']:g}, {value['high']:g}]".replace(" ", "\N{NO-BREAK SPACE}")
    if isinstance(value, list):
        return "; ".join(map(_said, value))
    return tables._format(value, 2, "")


def _empty(name: str, caption: str, said: str) -> Table:
    return Table(pd.DataFrame({"found": [said]}), name, caption)
