"""``python -m benchmarks [NAME ...] [--tiny] [--record]``: every benchmark, or those named, into one JSON file.

``make bench`` is the same, with ``ONLY="sampling training"`` for some of them. On a quiet machine all of it takes about
ten minutes. ``build/bench.json`` has the form of a record (:mod:`defectlib.plots.tables`); ``--record`` makes it
``benchmarks/results/benchmarks.json`` and writes ``benchmarks/RESULTS.md`` anew; ``--page`` does only the latter.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pandas as pd
import torch

from benchmarks import harness, results
from defectlib import runtime
from defectlib.errors import UserError
from defectlib.plots import tables

#: Benchmark → its module.
BENCHMARKS = {
    "sampling": "sampling",
    "training": "training",
    "baselines": "baselines",
    "confusion": "confusion",
    "loading": "loading",
    "listing": "listing",
    "store": "artifacts",
    "start-up": "startup",
    "book": "book",
}
BUILD, RECORD = "bench", "benchmarks"


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line names; 0, or 2 where it cannot be."""
    given = _parser().parse_args(arguments)
    if given.page:
        print(results.write())
        return 0
    try:
        if unknown := [name for name in given.names if name not in BENCHMARKS]:
            raise UserError(f"unknown benchmark '{unknown[0]}': known are {', '.join(BENCHMARKS)}")
        if given.record and (given.names or given.tiny):
            raise UserError("--record wants every benchmark at its full size: name none, and leave out --tiny")
        torch.set_num_threads(given.threads)
        os.environ["OMP_NUM_THREADS"] = str(given.threads)
        runtime.say(f"{runtime.machine()}, torch on {given.threads} threads, load {os.getloadavg()[0]:.1f}")
        rows, left_out = measure(given.names or list(BENCHMARKS), given.tiny)
        write(rows, left_out, given.threads, record=given.record)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all, if none is named")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes, few rounds: whether it runs, not how fast")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU that torch uses")
    parser.add_argument("--record", action="store_true", help="make these the reference results")
    parser.add_argument("--page", action="store_true", help="write RESULTS.md from the reference results, time nothing")
    return parser


def measure(names: list[str], tiny: bool) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows of what was found, each printed as it comes; and why a benchmark was left out, by its name."""
    rows, left_out = [], {}
    for name in names:
        try:
            for finding in _run(name, tiny):
                rows.append(finding.row())
                print(harness.in_words(rows[-1]), flush=True)
        except UserError as error:
            left_out[name] = str(error)
            print(f"{name}: left out, {error}", flush=True)
    return rows, left_out


def _run(name: str, tiny: bool) -> Iterator[harness.Finding]:
    return import_module(f"benchmarks.{BENCHMARKS[name]}").run(tiny)


def write(rows: list[dict[str, Any]], left_out: dict[str, str], threads: int, *, record: bool) -> None:
    """``build/bench.json``, and the reference results where ``record`` says so.

    Raises:
        UserError: Nothing was measured.
    """
    if not rows:
        raise UserError("nothing was measured: every benchmark was left out")
    frame = pd.DataFrame(rows).set_index(["benchmark", "case", "device"])
    provenance = {
        "machine": runtime.machine(),
        "device": " and ".join(device.type for device in harness.devices()),
        "finished": runtime.now(),
        "commit": runtime.git_commit(),
        "packages": runtime.package_versions(),
        "threads": threads,
        "load": round(os.getloadavg()[1], 1),
        "hardware": harness.hardware(),
        "left_out": left_out,
    }
    places = {BUILD: runtime.REPOSITORY / "build"} | ({RECORD: results.RESULTS} if record else {})
    for name, folder in places.items():
        print(tables.write_record(name, frame, provenance, folder))
    if record:
        print(results.write(results.RESULTS))


if __name__ == "__main__":
    sys.exit(main())
