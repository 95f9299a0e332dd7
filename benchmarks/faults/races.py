"""Two to eight processes that want one artifact at once: one works, and all are given the same.

Who works is seen by what it says: only the one that trains or samples has progress to tell.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults import kills, state
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.targets import GENERATOR, PAIRS, Place, Target, builds

PROCESSES = range(2, 9)


def main(work: Path) -> Iterator[Outcome]:
    """For each number of processes; then with the one that works killed, and with an artifact found damaged."""
    outcomes = [Outcome("race", f"{what.stage}, 2 to 8 processes") for what in (GENERATOR, PAIRS)]
    killed = Outcome("race", "the one that works is killed")
    damaged = Outcome("race", "the artifact is found damaged")
    for outcome, stage in zip(outcomes, (GENERATOR, PAIRS), strict=True):
        target = builds(stage.stage, stage)
        base, _, expected = kills.undisturbed(target, work / "race")
        for count in PROCESSES:
            _race(target, work, base, expected, count, outcome)
        yield outcome
    target = builds("denoiser", GENERATOR)
    base, stages, expected = kills.undisturbed(target, work / "race")
    for count in (2, 4, 8):
        _race(target, work, base, expected, count, killed, kill_after=0.5 * sum(stages.values()))
        _race(target, work, base, expected, count, damaged, damage=True)
    yield from (killed, damaged)


def _race(
    target: Target,
    work: Path,
    base: Path,
    expected: dict[str, str],
    count: int,
    outcome: Outcome,
    kill_after: float | None = None,
    damage: bool = False,
) -> None:
    place = target.prepare(Place(work / "race" / "try", work / "race" / "shared"), base)
    if damage:
        _damage(target, place)
    outcome.tries += 1
    started = [target.start(place, f"{number}", DEFECTLIB_QUIET="0") for number in range(count)]
    killed = _kill_worker(started, place.store, kill_after) if kill_after is not None else []
    rest = [run for run in started if run not in killed]
    statuses = [run.wait() for run in rest]
    works = sum(bool(_progress(run.err)) for run in rest)
    differing = kills.differences(target.results(place), expected)
    told = {run.out for run in rest}
    # Of those that live, exactly one worked; the killed one had begun.
    finished = statuses == [0] * len(rest) and works == 1 and len(told) == 1
    extra = {} if finished else {"statuses": statuses, "said": [run.err[-300:] for run in rest if run.status]}
    if kill_after is None or killed:
        wrong = state.faults(place.store, expected)
        outcome.count(wrong, finished, not differing, processes=count, worked=works, **extra)


def _damage(target: Target, place: Place) -> None:
    """Make the artifact, and turn a bit of it."""
    made = target.start(place, "before")
    if made.wait():
        raise RuntimeError(made.err)
    weights = next(Path(made.out.strip()).rglob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def _kill_worker(started: list, store: Path, seconds: float) -> list:
    """Kill the one that tells progress, so long after it began; none if it was done before."""
    end = time.monotonic() + 120
    while time.monotonic() < end and not any(run.ended for run in started):
        if working := [run for run in started if _progress(run.err)]:
            time.sleep(seconds)
            if state.in_progress(store) is None or working[0].ended:
                return []
            working[0].kill()
            return working
        time.sleep(0.005)
    return []


def _progress(text: str) -> list[str]:
    return [line for line in text.splitlines() if "step/s" in line or "pair/s" in line]
