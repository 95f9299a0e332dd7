"""Disks that refuse: one that fills up at a random write, and a store on a read-only mount.

A run must end in one line and exit status 2. Once there is room, it must go on to the results of an undisturbed run.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults import kills, runs, state
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.targets import GENERATOR, TARGETS, Place, Target, builds
from defectlib import runtime
from tests import filesystems

TRIES = {"generator training": 6, "sampling": 6, "segmenter training": 6, "augment": 4}
PLENTY = "512m"
PAGE = 4096  # what a file of tmpfs grows by, bytes


def full_disk(work: Path, seed: int) -> Iterator[Outcome]:
    """Disks whose last page is written at some moment of each command."""
    for name, tries in TRIES.items():
        yield _full(TARGETS[name], work / "full", tries, seed)


def _full(target: Target, work: Path, tries: int, seed: int) -> Outcome:
    outcome = Outcome("disk full", target.name)
    draw = runtime.numpy_generator(seed, "disk", target.name)
    base, _, expected = kills.undisturbed(target, work)
    try:
        low, high = _use(target, work, base)
        while outcome.counted < tries and outcome.tries < 3 * tries:
            outcome.tries += 1
            _fill(target, work, base, expected, int(draw.integers(low, high)), outcome)
    except pytest.skip.Exception as skipped:
        outcome.skipped = str(skipped)
    return outcome


def _use(target: Target, work: Path, base: Path) -> tuple[int, int]:
    """Pages of a disk in use before an undisturbed run of ``target``, and at most during it."""
    with filesystems.small_disk(_empty(work / "disk"), PLENTY) as disk:
        place = _on(target, disk, base, work)
        run, pages = target.start(place, "run"), [_pages(disk)]
        while not run.ended:
            pages.append(_pages(disk))
            time.sleep(runs.POLL)
        return pages[0] + 1, max(pages)


def _fill(target: Target, work: Path, base: Path, expected: dict[str, str], pages: int, outcome: Outcome) -> None:
    """Run ``target`` on a disk of so many pages, make room, run it again."""
    with filesystems.small_disk(_empty(work / "disk"), PLENTY) as disk:
        place = _on(target, disk, base, work)
        filesystems.resize(disk, str(pages * PAGE))
        run = target.start(place, "full")
        status, lines = run.wait(), run.err.splitlines()
        if status == 0:
            return  # that much was not needed at once
        published = state.results(place.store)
        wrong = [name for name in published if published[name] != expected.get(name)]
        wrong += state.faults(place.store, expected)
        if (out := target.outputs(place)) is not None and out.exists():
            wrong.append(f"{out.name} is there")
        filesystems.resize(disk, PLENTY)
        after = target.start(place, "after")
        refused = status == 2 and len(lines) == 1
        finished = after.wait() == 0 and refused
        differing = kills.differences(target.results(place), expected)
        told = {} if refused else {"status": status}
        if not finished:
            told |= {"after": after.err[-500:]}
        outcome.count(wrong, finished, not differing, pages=pages, said=lines[-1][:160] if lines else "", **told)


def _on(target: Target, disk: Path, base: Path, work: Path) -> Place:
    """A place whose store and output are on ``disk``."""
    place = Place(disk / "try", work.parent / "shared")
    return target.prepare(place, base)


def _pages(disk: Path) -> int:
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize // PAGE


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def read_only_store(work: Path) -> list[Outcome]:
    """A store that may be read and not written: it serves what is whole in it, and refuses the rest in one line."""
    outcomes = [Outcome("read-only store", where) for where in ("what is there", "what is missing", "what is damaged")]
    target = builds("read-only", GENERATOR)
    place = target.prepare(Place(work / "read-only", work / "shared"))
    made = target.start(place, "run")
    if made.wait():
        raise RuntimeError(made.err)
    other = builds("other", GENERATOR.model_copy(update={"seed": 1}))
    try:
        for outcome, command in zip(outcomes, (target, other, target), strict=True):
            if outcome.where == "what is damaged":
                weights = next(Path(made.out.strip()).rglob("*.safetensors"))
                content = bytearray(weights.read_bytes())
                content[len(content) // 2] ^= 1
                weights.write_bytes(content)
            before = {path: path.stat().st_mtime_ns for path in place.store.rglob("*")}
            outcome.tries = 1
            with filesystems.read_only(place.store):
                run = command.start(place, "locked")
                status, lines = run.wait(), run.err.splitlines()
            served = outcome.where == "what is there"
            right = (status, run.out, lines) == (0, made.out, []) if served else (status, len(lines)) == (2, 1)
            untouched = before == {path: path.stat().st_mtime_ns for path in place.store.rglob("*")}
            outcome.count([] if served or not run.out else [run.out], right, untouched, said=" ".join(lines)[:300])
    except pytest.skip.Exception as skipped:
        for outcome in outcomes:
            outcome.skipped = outcome.skipped or str(skipped)
    return outcomes
