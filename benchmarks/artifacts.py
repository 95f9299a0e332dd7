"""What the store adds to an artifact: the same files written by its function alone, and through the store.

Made: inputs found, locked, written, digested, with provenance and published by a rename. Found: as a new process finds
it, every file read and compared with its digest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.harness import Finding, Floor, best, by_turns, roofline
from defectlib.settings import Density
from defectlib.store import Store, write_atomically

ROUNDS, SIZES = 25, {"1 kB": 10**3, "10 MB": 10**7}


def run(tiny: bool) -> Iterator[Finding]:
    """Artifacts of one file, small and large."""
    for case, size in SIZES.items():
        with tempfile.TemporaryDirectory() as place:
            yield from _compared(Path(place), case, size, 3 if tiny else ROUNDS)


def _compared(root: Path, case: str, size: int, rounds: int) -> Iterator[Finding]:
    content, numbers = bytes(size), count(1)

    def write(settings: Any, inputs: Mapping[str, Path], out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / "content", content)

    store = Store(root / "store", shipped=None)
    made = store.build(_settings(0), {"density": write})
    ways = {
        "made": lambda: store.build(_settings(next(numbers)), {"density": write}),
        "written": lambda: write(None, {}, root / "plain" / str(next(numbers))),
        "found": lambda: Store(root / "store", shipped=None).find(_settings(0)),
        "read": lambda: (made / "content").read_bytes(),
    }
    seconds = by_turns(ways, rounds)
    written = Floor(min(seconds["written"]), "the function alone")
    read = Floor(max(best(ways["read"]), roofline(0, size).seconds), "a read")
    named = {"made": ("through the store", "written", "the function alone", written)}
    named["found"] = ("found by a new process, checked", "read", "a read", read)
    for way, (name, plain, plain_name, floor) in named.items():
        yield Finding(
            "store", f"{way}, {case}", "artifact", name, seconds[way], plain_name, seconds[plain], floor=floor
        )


def _settings(number: int) -> Density:
    return Density(samples=1, seed=number)
