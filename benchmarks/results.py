"""``benchmarks/RESULTS.md``, made from ``benchmarks/results/*.json``: speed, faults, bad input, long runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from defectlib import runtime
from defectlib.store import write_atomically

RESULTS = runtime.REPOSITORY / "benchmarks" / "results"
_HEAD = """# Results of the benchmarks

Written by the commands below from `benchmarks/results/*.json`; not edited by hand.
"""
_SPEED = """\
Ours and the plain way take turns, back and forth, in one run, and the ratio is taken in each round, so that whatever
slows the machine falls on both. Medians [quartiles]. The floor is what the arithmetic takes at the rate of a large
matrix product, or the bytes at the rate of a copy, whichever is longer, unless the table says what else; the last
column is how many floors ours takes. Data in the processor's caches can take less than one."""
_FAULTS = """\
*Counted* are the faults that struck where they should. *Wrong* are artifacts served afterwards that are not those of
an undisturbed run; *finished* and *equal* are those after which the next run finished, and with the same results."""
_BAD = """\
Bad input ends in one line (or, of a folder, a line for each fault) with exit status 2, and nothing is written."""
_SOAK = """\
Thousands of pairs are sampled with a kill in the middle (two values: before and after it), and a training writes its
logs. Growth is a slope with its 95 % interval."""


def write(folder: Path = RESULTS) -> Path:
    """Write the page beside the folder of results."""
    path = folder.parent / "RESULTS.md"
    write_atomically(path, page(folder))
    return path


def page(folder: Path = RESULTS) -> str:
    """The page in Markdown; a part without results yet says so."""
    parts = {
        "Speed": ("make bench RECORD=1", "benchmarks", _speed),
        "Faults": ("make faults RECORD=1", "faults", _faults),
        "Bad input": ("python -m benchmarks.bad_inputs --record", "bad_inputs", _bad_inputs),
        "Long runs": ("python -m benchmarks.soak --record", "soak", _soak),
    }
    lines = [_HEAD]
    for title, (command, name, written) in parts.items():
        path = folder / f"{name}.json"
        lines += [f"## {title}", "", f"`{command}`", ""]
        lines += written(json.loads(path.read_text())) if path.exists() else ["No results yet."]
        lines.append("")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _speed(content: Mapping[str, Any]) -> list[str]:
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]
    head = ("benchmark", "case", "ours", "the plain way", "times as fast", "goal", "floor", "floors")
    asked = [row for row in rows if row["goal"] is not None]
    about = content["provenance"]
    return [
        _SPEED,
        "",
        f"{sum(row['met'] for row in asked)} of {len(asked)} goals were met.",
        "",
        *_table(head, map(_case, rows)),
        *(f"- {row['case']}: {row['note']}" for row in rows if row["note"]),
        *(f"- {name}: left out, {why}" for name, why in about["left_out"].items()),
        *(f"- {device}: {_rates(rates)}" for device, rates in about["hardware"].items()),
        *_from(about),
    ]


def _case(row: Mapping[str, Any]) -> tuple[str, ...]:
    ratio, goal, floor = row["ratio"], row["goal"], row["floor"]
    return (
        row["benchmark"],
        row["case"] if row["device"] == "cpu" else f"{row['case']}, GPU",
        f"{row['name']}: {seconds(row['ours'])} per {row['unit']}" if row["ours"] else row["name"],
        row["plain_name"],
        f"{ratio:.3g} [{row['ratio_low']:.3g}, {row['ratio_high']:.3g}]" if ratio else "",
        f"{goal:g}, {'met' if row['met'] else '**missed**'}" if goal else "",
        f"{seconds(floor)}, {row['floor_of']}" if floor else "",
        f"{row['above_floor']:.3g}" if row["above_floor"] else "",
    )


def _rates(rates: Mapping[str, Any]) -> str:
    products = [f"{rate / 1e9:,.0f} GFLOP/s in {dtype}" for dtype, rate in rates["operations_per_second"].items()]
    return ", ".join([*filter(None, [rates["accelerator"]]), *products, f"{rates['bytes_per_second'] / 1e9:,.0f} GB/s"])


def _faults(content: Mapping[str, Any]) -> list[str]:
    kinds = content["kinds"].values()
    skipped = [f"- {where}: not tried, {why}" for kind in kinds for where, why in kind["skipped"].items()]
    rows = (row for kind in kinds for row in kind["rows"])
    return [_FAULTS, "", *_table(content["columns"], rows), *skipped, *_from(next(iter(kinds))["provenance"])]


def _bad_inputs(content: Mapping[str, Any]) -> list[str]:
    return [_BAD, "", *_table(content["columns"], content["rows"]), *_from(content["provenance"])]


def _soak(content: Mapping[str, Any]) -> list[str]:
    rows = [(run, name, _value(value)) for run in ("sampling", "logs") for name, value in content[run].items()]
    return [_SOAK, "", *_table(("run", "measure", "value"), rows), *_from(content["provenance"])]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(_value, value))
    return f"{value['slope']:g} [{value['low']:g}, {value['high']:g}]" if isinstance(value, dict) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines] + [""]


def _from(about: Mapping[str, Any]) -> list[str]:
    return ["", f"{about['machine']}, {about['finished'][:10]}, commit {runtime.short_commit(about['commit'])}."]


def seconds(value: float) -> str:
    """With a unit that fits."""
    units = (("s", 1), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9))
    unit, factor = next((pair for pair in units if value * pair[1] >= 1), units[-1])
    return f"{value * factor:.3g} {unit}"
