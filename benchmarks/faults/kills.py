"""kill -9 at random moments of a stage, and again; then the same command once more."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults import runs, state
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.runs import Run
from benchmarks.faults.targets import TARGETS, Place, Target
from defectlib import runtime

#: Of 100 kills.
SHARES = {
    "generator training": 30,
    "sampling": 27,
    "segmenter training": 23,
    "augment": 10,
    "notebook": 10,
}
IN_A_ROW = (0.7, 0.2, 0.1)  # how likely a run is to be killed once, twice, three times
FRESH = 0.1  # of the runs are fresh commands where forks would do
SPARE = 4  # tries for each kill that is to count


def share(name: str, work: Path, seed: int, kills: int = 100) -> Outcome:
    """Those of so many kills in all that one target is given."""
    return killed(TARGETS[name], work, max(1, round(kills * SHARES[name] / 100)), seed)


def killed(target: Target, work: Path, kills: int, seed: int) -> Outcome:
    """Kill ``target`` until so many kills struck in the middle of a stage."""
    draw = runtime.numpy_generator(seed, "kill", target.name)
    outcome = Outcome("kill -9", target.name)
    base, stages, expected = undisturbed(target, work)
    while outcome.counted < kills and outcome.tries < SPARE * kills:
        runtime.say(f"{target.name}: {outcome.counted} of {kills} kills")
        place = target.prepare(Place(work / target.name / "try", work / "shared"), base)
        wanted = min(1 + int(draw.choice(3, p=IN_A_ROW)), kills - outcome.counted)
        events = _kill_in_a_row(target, place, stages, wanted, draw, outcome)
        wrong = [fault for event in events for fault in event.pop("wrong")]
        run = target.start(place, "after")
        finished = run.wait() == 0
        differing = differences(target.results(place), expected)
        for number, event in enumerate(events):
            told = {} if finished else {"said": run.err[-500:]}
            told |= {"differs": differing} if differing else {}
            outcome.count(wrong if number == 0 else (), finished, not differing, **event, **told)
    shutil.rmtree(work / target.name, ignore_errors=True)
    return outcome


def undisturbed(target: Target, work: Path) -> tuple[Path, dict[str, float], dict[str, str]]:
    """Run ``target`` alone: the store before it, how long its stages take, and what it leaves."""
    place = target.prepare(Place(work / target.name / "alone", work / "shared"))
    base = work / target.name / "base"
    shutil.rmtree(base, ignore_errors=True)
    place.store.mkdir(exist_ok=True)
    shutil.copytree(place.store, base)
    run = target.start(place, "run")
    stages = watch(run, place.store)
    if run.wait():
        raise RuntimeError(f"{target.name} does not run undisturbed: {run.err[-2000:]}")
    return base, stages, target.results(place)


def watch(run: Run, store: Path) -> dict[str, float]:
    """Seconds that each stage took, in the order in which they began."""
    began: dict[str, float] = {}
    took: dict[str, float] = {}
    while not run.ended:
        now = time.monotonic()
        there = {path.name for path in (store / "work").glob("*")}
        began |= dict.fromkeys(there - began.keys(), now)
        took |= {name: now - began[name] for name in sorted(there)}
        time.sleep(runs.POLL)
    return took


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Names of the results that are not those of an undisturbed run."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def _kill_in_a_row(
    target: Target,
    place: Place,
    stages: dict[str, float],
    wanted: int,
    draw: np.random.Generator,
    outcome: Outcome,
) -> list[dict[str, Any]]:
    """Start and kill ``wanted`` times, less where the run was too fast; what is known of the kills that count."""
    events = []
    for number in range(wanted):
        fresh = bool(draw.random() < FRESH)
        head_alone = bool(draw.random() < 0.5)
        moment = draw.random() * sum(stages.values())
        outcome.tries += 1
        run = target.start(place, f"killed-{number}", fresh)
        found = _kill_at(run, place.store, stages, moment, head_alone)
        if found is None:
            if run.status == 0:
                break
            continue
        # What lives on after its parent's death may publish at any moment now, and what it publishes must be right.
        wrong = state.faults(place.store, {})
        if (out := target.outputs(place)) is not None and out.exists():
            wrong.append(f"{out.name} is there")
        events.append({**found, "row": number + 1, "fresh": fresh, "head alone": head_alone, "wrong": wrong})
    return events


def _kill_at(run: Run, store: Path, stages: dict[str, float], moment: float, head_alone: bool) -> dict[str, Any] | None:
    """Kill when so many seconds of stages are done; what it was in the middle of, None if it was not."""
    name, offset = _stage_at(stages, moment)
    began = None
    while not run.ended:
        now = time.monotonic()
        if began is None and ((store / "work" / name).exists() or _published(store, name)):
            began = now
        if began is not None and now >= began + offset:
            run.stop()
            found = state.in_progress(store)
            run.kill(head_alone)
            return found and found | {"seconds in": round(now - began, 3)}
        time.sleep(runs.POLL)
    return None


def _stage_at(stages: dict[str, float], moment: float) -> tuple[str, float]:
    """The stage that runs at ``moment``, and how long it has."""
    for name, seconds in stages.items():
        if moment <= seconds:
            return name, moment
        moment -= seconds
    return name, seconds


def _published(store: Path, name: str) -> bool:
    stage, _, key = name.rpartition("-")
    return (store / stage / key).exists()
