"""All faults, or some kinds of them: python -m benchmarks.faults [--kills 100] [--only KIND ...] [--json PATH]."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

from benchmarks.faults import clock, damage, kills, outcome, races, refusals, runs
from benchmarks.faults.outcome import Outcome


def _kills(target: str) -> Callable[[Path, int, int], Iterable[Outcome]]:
    return lambda work, seed, kills_in_all: [kills.share(target, work, seed, kills_in_all)]


#: Kinds of fault: each is given a folder to work in, the seed, and the number of kills in all.
KINDS: dict[str, Callable[[Path, int, int], Iterable[Outcome]]] = {
    **{f"kill-{name.replace(' ', '-')}": _kills(name) for name in kills.SHARES},
    "full-disk": lambda work, seed, kills: refusals.full_disk(work, seed),
    "read-only": lambda work, seed, kills: refusals.read_only_store(work),
    "races": lambda work, seed, kills: races.main(work),
    "clock": lambda work, seed, kills: clock.main(work),
    "damage": lambda work, seed, kills: damage.main(work, seed),
}


def main() -> int:
    """Do them, print the table; the number of lines in it that failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="that strike in the middle of a stage")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the numbers; those of kinds that were not done stay in it")
    arguments = parser.parse_args()
    runs.warm()
    print(outcome.line(), flush=True)
    counted, failed = 0, 0
    for kind in arguments.only:
        started, found = time.monotonic(), []
        with tempfile.TemporaryDirectory(prefix="faults-") as work:
            for one in KINDS[kind](Path(work), arguments.seed, arguments.kills):
                print(outcome.line(one), flush=True)
                found.append(one)
                if arguments.json:
                    seconds = round(time.monotonic() - started)
                    settings = {"seed": arguments.seed, "kills": arguments.kills, "seconds": seconds}
                    outcome.write(arguments.json, kind, found, **settings)
        counted += sum(one.counted for one in found)
        failed += sum(not one.passed for one in found)
    print(f"{counted} faults; lines that failed: {failed}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
