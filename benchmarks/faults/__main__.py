"""``python -m benchmarks.faults [--kills 100] [--only KIND ...] [--record]``: all faults, or some kinds of them.

``build/faults.json`` keeps what was counted, of kinds that are not done this time too. ``--record`` makes a whole count
``benchmarks/results/faults.json``, which RESULTS.md shows: only at its end, as a file that changes in the checkout
would change what the provenance of the kinds says of the code.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

from benchmarks import results
from benchmarks.faults import damage, kills, outcome, races, refusals, runs
from benchmarks.faults.outcome import Outcome
from defectlib.runtime import REPOSITORY
from defectlib.store import write_atomically


def _kills(target: str) -> Callable[[Path, int, int], Iterable[Outcome]]:
    return lambda work, seed, kills_in_all: [kills.share(target, work, seed, kills_in_all)]


KILLS = sum(kills.SHARES.values())
#: Kinds of fault: each is given a folder to work in, the seed, and the number of kills in all.
KINDS: dict[str, Callable[[Path, int, int], Iterable[Outcome]]] = {
    **{f"kill-{name.replace(' ', '-')}": _kills(name) for name in kills.SHARES},
    "full-disk": lambda work, seed, kills: refusals.full_disk(work, seed),
    "read-only": lambda work, seed, kills: refusals.read_only_store(work),
    "races": lambda work, seed, kills: races.main(work),
    "damage": lambda work, seed, kills: damage.main(work, seed),
}


def main(arguments: list[str] | None = None) -> int:
    """Do them, print the table; the number of lines in it that failed. A slip in the arguments exits with 2."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.record and (given.only or given.kills < KILLS):
        parser.error(f"--record wants every kind, and {KILLS} kills or more: leave out --only and --kills")
    kept = REPOSITORY / "build" / "faults.json"
    kept.parent.mkdir(exist_ok=True)
    if not given.only:
        kept.unlink(missing_ok=True)
    runs.warm()
    print(outcome.line(), flush=True)
    found = [one for kind in given.only or KINDS for one in _done(kind, given.seed, given.kills, kept)]
    failed = sum(not one.passed for one in found)
    print(f"{sum(one.counted for one in found)} faults; lines that failed: {failed}")
    if given.record:
        write_atomically(results.RESULTS / "faults.json", kept.read_text())
        results.write(results.RESULTS)
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=KILLS, help="that strike in the middle of a stage")
    parser.add_argument("--only", nargs="+", choices=KINDS, help="kinds of fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="make these the reference results")
    return parser


def _done(kind: str, seed: int, kills_in_all: int, kept: Path) -> list[Outcome]:
    """Do one kind of fault; each outcome is printed and kept as soon as it is there."""
    started, found = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="faults-") as work:
        for one in KINDS[kind](Path(work), seed, kills_in_all):
            print(outcome.line(one), flush=True)
            found.append(one)
            seconds = round(time.monotonic() - started)
            outcome.write(kept, kind, found, seed=seed, kills=kills_in_all, seconds=seconds)
    return found


if __name__ == "__main__":
    sys.exit(main())
