"""Long runs: that memory is flat over 20,000 pairs, and that logs stay bounded over a long training.

    python -m benchmarks.soak [--pairs 20000] [--steps 3000] [--record]

The pairs are sampled by the true command, with tiny nets, and killed in the middle; memory is read from the system
every second, against the number of pairs that are journaled. Its slope, with a 95 % interval, comes from means over
bins of pairs, for each of the two processes alone: one re-reads what the other left. The first tenth of the pairs is
left out. The training writes its TensorBoard log; what 160,000 steps would write follows from bytes per point. The
numbers go to ``build/soak.json``; ``--record`` makes those of a whole run ``benchmarks/results/soak.json``, which
RESULTS.md shows.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is loaded

import numpy as np
import psutil
import yaml
from scipy import stats

from benchmarks import results
from benchmarks.faults import outcome, runs
from defectlib.profiles import Profile, load_profile
from defectlib.runtime import REPOSITORY, made
from defectlib.settings import DenoiserTraining
from defectlib.store import Store, write_atomically

PAIRS = 20_000
PAPER_STEPS = 160_000
BATCH = 25  # pairs in a journaled batch
BINS = 20
EVERY = 1.0  # seconds between two readings
CALLS = 2
MEGABYTE = 2**20


class Reading(NamedTuple):
    """One look at a process.

    Attributes:
        seconds: Since its start.
        pairs: Journaled.
        memory: Resident, bytes.
    """

    seconds: float
    pairs: int
    memory: int


def main() -> None:
    """Do both, print what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--steps", type=int, default=3_000, help="of the training whose logs are measured")
    parser.add_argument("--record", action="store_true", help="make these the reference results")
    arguments = parser.parse_args()
    if arguments.record and arguments.pairs < PAIRS:
        parser.error(f"--record wants {PAIRS} pairs or more: leave out --pairs")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        found = {"sampling": sampling(Path(folder), arguments.pairs)}
        print(json.dumps(found["sampling"], indent=1), flush=True)
        found["logs"] = logs(Path(folder), arguments.steps)
        print(json.dumps(found["logs"], indent=1))
    command = f"python -m benchmarks.soak --pairs {arguments.pairs} --steps {arguments.steps}"
    record = found | {"provenance": outcome.provenance(command=command, seed=0)}
    for folder in (REPOSITORY / "build", *([results.RESULTS] if arguments.record else [])):
        write_atomically(made(folder) / "soak.json", json.dumps(record, indent=1) + "\n")
    if arguments.record:
        results.write()


# Pairs --------------------------------------------------------------------------------------------------------------


def sampling(work: Path, pairs: int) -> dict[str, Any]:
    """Sample ``pairs`` pairs with one kill in the middle; memory, time and disk."""
    profile = _profile(work)
    store = work / "store"
    settings = load_profile(str(profile), num_inference_steps=CALLS)
    synthesis = settings.synthesis(settings.data("softgel"), count=pairs)
    _nets(settings, store)
    journal = store / "work" / f"synthetic-{synthesis.key()}" / "unfinished"
    words = ["sample", "--profile", str(profile), "--count", str(pairs), "--calls", str(CALLS), "--out"]
    words += [str(work / "pairs")]

    def start(name: str) -> runs.Run:
        return runs.fresh(words, work / name, runs.environment(store, DEFECTLIB_QUIET="0"))

    first = start("first")
    before = watch(first, journal, until=lambda done: done >= pairs // 2)
    first.kill()
    killed_at = _journaled(journal)
    second = start("second")
    after = watch(second, journal)
    if second.status:
        raise RuntimeError(f"sampling did not go on: {second.err[-2000:]}")
    artifact = store / "synthetic" / synthesis.key()
    sides = [[one for one in side if pairs // 10 <= one.pairs] for side in (before, after)]
    drawing = [one for one in sides[1] if killed_at < one.pairs < pairs]
    return {
        "pairs": pairs,
        "calls": CALLS,
        "side": settings.size,
        "killed at": killed_at,
        "seconds": [round(side[-1].seconds, 1) for side in (before, after)],
        "memory peak (MB)": [round(max(one.memory for one in side) / MEGABYTE, 1) for side in (before, after)],
        "growth per 10,000 pairs (MB)": [growth(side) for side in (sides[0], drawing)],
        "progress (bytes)": [len(run.err.encode()) for run in (first, second)],
        "progress (lines)": [len(run.err.splitlines()) for run in (first, second)],
        "artifact (MB)": round(_size(artifact) / MEGABYTE, 1),
        "files": sum(1 for path in artifact.rglob("*") if path.is_file()),
        "verified in (s)": round(_seconds(lambda: Store(store, None).find(synthesis)), 2),
        "written": len(list((work / "pairs" / "images").iterdir())),
        "first pairs equal": _first_equal(words, work, settings, store),
    }


def _profile(work: Path) -> Path:
    path = work / "soak.yaml"
    path.write_text(yaml.safe_dump({"base": "smoke", "size": 32}))
    return path


def _nets(settings: Profile, store: Path) -> None:
    from defectlib.engine import RUNNERS

    for net in settings.synthesis(settings.data("softgel")).inputs().values():
        Store(store, None).build(net, RUNNERS)


def watch(run: runs.Run, journal: Path, until: Callable[[int], bool] = lambda done: False) -> list[Reading]:
    """Readings of a run, one a second, until it ends or ``until`` holds of the pairs that are journaled."""
    started, found = time.monotonic(), []
    while not run.ended:
        done = _journaled(journal)
        with suppress(psutil.NoSuchProcess):  # it ended between the two looks
            found.append(Reading(time.monotonic() - started, done, psutil.Process(run.process).memory_info().rss))
        if until(done):
            break
        time.sleep(EVERY)
    return [one for one in found if one.memory]


def _journaled(journal: Path) -> int:
    return BATCH * sum(1 for _ in journal.glob("[0-9]*.npz"))


def growth(readings: Sequence[Reading]) -> dict[str, float] | None:
    """Slope of memory over pairs, MB per 10,000, with its 95 % interval; None of fewer than four bins."""
    pairs, memory = (np.array([getattr(one, name) for one in readings], float) for name in ("pairs", "memory"))
    if len(set(pairs)) < 4:
        return None
    bins = np.minimum((BINS * (pairs - pairs.min()) / np.ptp(pairs)).astype(int), BINS - 1)
    means = [(pairs[bins == i].mean(), memory[bins == i].mean()) for i in np.unique(bins)]
    if len(means) < 4:
        return None
    x, y = np.array(means).T
    fit = stats.linregress(x, y)
    half = fit.stderr * stats.t.ppf(0.975, len(x) - 2)
    scale = 10_000 / MEGABYTE
    return {
        "slope": round(fit.slope * scale, 2),
        "low": round((fit.slope - half) * scale, 2),
        "high": round((fit.slope + half) * scale, 2),
    }


def _first_equal(words: Sequence[str], work: Path, settings: Profile, store: Path) -> bool:
    """Whether 100 pairs, sampled without a kill, are the first of those that were sampled with one."""
    count = min(100, int(words[words.index("--count") + 1]))
    words = [*words[: words.index("--count")], "--count", str(count), "--calls", str(CALLS), "--out", str(work / "few")]
    run = runs.fresh(words, work / "third", runs.environment(store))
    if run.wait():
        raise RuntimeError(run.err)
    pictures = list((work / "few").rglob("*.png"))
    return len(pictures) == 2 * count and all(
        path.read_bytes() == (work / "pairs" / path.relative_to(work / "few")).read_bytes() for path in pictures
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _seconds(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


# Logs ---------------------------------------------------------------------------------------------------------------


def logs(work: Path, steps: int) -> dict[str, Any]:
    """Train a tiny net with its TensorBoard log on; bytes of all that is written, and of 160,000 steps."""
    settings = load_profile("smoke")
    small = settings.small_training(settings.data("softgel"), 9)
    changes = {"steps": steps, "batch": 1, "tensorboard": True, "checkpoint_every": max(1, steps // 10)}
    training = DenoiserTraining(**(dict(small) | changes))
    plan = work / "long.json"
    plan.write_text(json.dumps({"stage": "denoiser", "settings": training.model_dump(mode="json")}))
    shutil.rmtree(work / "long", ignore_errors=True)
    store = work / "long" / "store"
    started = time.monotonic()
    run = runs.fresh(["build", "--settings", str(plan)], work / "long", runs.environment(store, DEFECTLIB_QUIET="0"))
    if run.wait():
        raise RuntimeError(run.err)
    seconds = time.monotonic() - started
    artifact = Path(run.out.strip())
    curve = (artifact / "losses.json").stat().st_size
    events, lines = _size(artifact / "log"), run.err.splitlines()
    times = PAPER_STEPS / steps
    return {
        "steps": steps,
        "seconds": round(seconds, 1),
        "TensorBoard log (bytes)": events,
        "loss curve (bytes)": curve,
        "progress (lines)": len(lines),
        "progress (bytes)": len(run.err.encode()),
        "longest line (characters)": max(map(len, lines), default=0),
        "lines a minute": round(60 * len(lines) / seconds, 1),
        "TensorBoard log of 160,000 steps (MB)": round(events * times / MEGABYTE, 2),
        "loss curve of 160,000 steps (MB)": round(curve * times / MEGABYTE, 2),
        # A line every ten seconds at most, however long a step takes.
        "progress of a day (MB)": round(8640 * (1 + max(map(len, lines), default=0)) / MEGABYTE, 2),
    }


if __name__ == "__main__":
    sys.exit(main())
