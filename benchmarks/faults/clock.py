"""A clock that is set back, between two runs and during one, by a day.

The clock of this machine belongs to everybody on it and stays as it is. A process is given a clock of its own by
libfaketime (of Debian), where that is there: the first run has tomorrow's date, the next one today's. What files tell
of it is real too, and needs no library: they are dated a day ahead, as a clock that was set back leaves them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults import kills, runs, state
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.targets import TARGETS, Place, Target, workflow_stage

DAY = 86400
LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)


def main(work: Path) -> Iterator[Outcome]:
    """Cut off under tomorrow's date and finished under today's; found under today's; the workflow on files ahead."""
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    for name in ("generator training", "sampling"):
        yield _set_back(TARGETS[name], work / "clock", library)
    yield _files_ahead(work / "clock")


def _set_back(target: Target, work: Path, library: str | None) -> Outcome:
    outcome = Outcome("clock set back a day", target.name)
    if library is None:
        outcome.skipped = "libfaketime is not there (Debian: apt install libfaketime)"
        return outcome
    base, stages, expected = kills.undisturbed(target, work)
    place = target.prepare(Place(work / "try", work / "shared"), base)
    outcome.tries = 1
    tomorrow = {"LD_PRELOAD": library, "FAKETIME": "+1d", "NO_FAKE_STAT": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    run = target.start(place, "tomorrow", fresh=True, **tomorrow)
    found = cut(run, place.store, sum(stages.values()) / 2)
    _date(place.folder, DAY)
    after = target.start(place, "today", fresh=True, DEFECTLIB_QUIET="0")
    finished = after.wait() == 0
    differing = kills.differences(target.results(place), expected)
    again = target.start(place, "again", fresh=True)
    finished = finished and (again.wait(), again.out) == (0, after.out)
    if found:
        outcome.count(state.faults(place.store, expected), finished, not differing, **found)
    return outcome


def cut(run: runs.Run, store: Path, seconds: float) -> dict | None:
    """Kill a run so many seconds into its stage; what it was in the middle of."""
    end = time.monotonic() + runs.TIMEOUT
    while state.in_progress(store) is None and not run.ended and time.monotonic() < end:
        time.sleep(runs.POLL)
    time.sleep(seconds)
    if run.ended:
        return None
    run.stop()
    found = state.in_progress(store)
    run.kill()
    return found


def _date(folder: Path, ahead: float) -> None:
    """Date every file below ``folder`` so many seconds from now."""
    when = time.time() + ahead
    for path in folder.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (when, when))


def _files_ahead(work: Path) -> Outcome:
    """The workflow once; its files dated a day ahead; an artifact removed: that one is made again, and no other."""
    outcome = Outcome("clock set back a day", "workflow")
    target = TARGETS["workflow"]
    base, _, expected = kills.undisturbed(target, work)
    place = target.prepare(Place(work / "try", work / "shared"), base)
    outcome.tries = 1
    first = target.start(place, "first").wait()
    _date(place.store, DAY)
    _date(place.folder / "tree" / "build", DAY)
    settings = workflow_stage()
    artifact = place.store / settings.stage / settings.key()
    dates = _dates(place.store)
    artifact.rename(place.folder / "removed")
    run = target.start(place, "today")
    finished = (first, run.wait()) == (0, 0) and artifact.exists()
    differing = kills.differences(target.results(place), expected)
    others = {name: date for name, date in _dates(place.store).items() if name != f"{settings.stage}/{settings.key()}"}
    kept = others == {name: dates[name] for name in others}
    told = {} if finished else {"said": run.err[-500:]}
    outcome.count(state.faults(place.store, expected), finished and kept, not differing, **told)
    return outcome


def _dates(store: Path) -> dict[str, int]:
    return {name: (path / "provenance.json").stat().st_mtime_ns for name, path in state.artifacts(store).items()}
