"""Files cut short or with one bit turned at random: in artifacts, in what is unfinished, and in the user's data.

Each time the damage must be found (and made again, or told in one line), or leave all results as they were. What is in
the user's own folder cannot be made again: there it must be told, or change nothing, or, where what is left is valid
(a letter of a name, say), be other data under another identity, for which nothing is served that was made before.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.faults import kills, runs, state
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.targets import SEGMENTER, TARGETS, Place, Target, builds, own_data
from defectlib import runtime
from defectlib.data.loading import folder_data
from defectlib.settings import Evaluation

CUTS, FLIPS = 2, 4  # of each file
EVALUATION = builds("evaluation", Evaluation(segmenter=SEGMENTER))
#: Files of finished artifacts, by what they are: the stage's command, and the pattern of the file in its artifact.
FINISHED: dict[str, tuple[Target, str]] = {
    "weights": (TARGETS["generator training"], "net/*.safetensors"),
    "a net's config.json": (TARGETS["generator training"], "net/config.json"),
    "loss curve": (TARGETS["generator training"], "losses.json"),
    "provenance": (TARGETS["generator training"], "provenance.json"),
    "synthetic mask": (TARGETS["sampling"], "dataset/masks/*.png"),
    "synthetic image": (TARGETS["sampling"], "dataset/images/*.png"),
    "classes.json": (TARGETS["sampling"], "dataset/classes.json"),
    "captions": (TARGETS["sampling"], "dataset/captions.csv"),
    "a dataset's provenance": (TARGETS["sampling"], "dataset/provenance.json"),
    "counts": (EVALUATION, "counts.npy"),
    "summary": (EVALUATION, "summary.json"),
}
#: Files of what is unfinished, likewise.
UNFINISHED: dict[str, tuple[Target, str]] = {
    "checkpoint of a generator": (TARGETS["generator training"], "checkpoint.safetensors"),
    "checkpoint of a segmenter": (TARGETS["segmenter training"], "checkpoint.safetensors"),
    "journaled pairs": (TARGETS["sampling"], "0*.npz"),
}
#: Files of the user's folder.
GIVEN = {
    "own image": "images/*.png",
    "own mask": "masks/*.png",
    "own classes.json": "classes.json",
    "own split manifest": "splits/default.json",
}


def main(work: Path, seed: int) -> Iterator[Outcome]:
    """All kinds of files."""
    work = work / "damage"
    finished = _Made(work)
    for name, what in FINISHED.items():
        yield _finished(finished, name, *what, seed)
    for name, what in UNFINISHED.items():
        yield _unfinished(work, name, *what, seed)
    for name, pattern in GIVEN.items():
        yield _given(work, name, pattern, seed)


class _Made:
    """Stores in which a command has done its work; each is made once."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.places: dict[str, tuple[Place, dict[str, str]]] = {}

    def of(self, target: Target) -> tuple[Place, dict[str, str]]:
        """Where the command did its work, and what it left."""
        if target.name not in self.places:
            kills.undisturbed(target, self.work)
            place = Place(self.work / target.name / "alone", self.work / "shared")
            self.places[target.name] = place, target.results(place)
        return self.places[target.name]


def damages(content: bytes, draw: np.random.Generator) -> list[tuple[str, bytes]]:
    """``content`` cut short and with one bit turned, each with a word for it."""
    cuts = [int(draw.integers(0, len(content))) for _ in range(CUTS)]
    bits = [int(draw.integers(0, 8 * len(content))) for _ in range(FLIPS)]
    return [(f"cut at {at} of {len(content)}", content[:at]) for at in cuts] + [
        (f"bit {bit % 8} of byte {bit // 8} of {len(content)}", flipped(content, bit)) for bit in bits
    ]


def flipped(content: bytes, bit: int) -> bytes:
    """``content`` with one bit turned."""
    turned = bytearray(content)
    turned[bit // 8] ^= 1 << bit % 8
    return bytes(turned)


def _chosen(folder: Path, pattern: str, draw: np.random.Generator) -> Path:
    files = sorted(folder.glob(pattern))
    return files[int(draw.integers(len(files)))]


def _finished(made: _Made, name: str, target: Target, pattern: str, seed: int) -> Outcome:
    """Damage a file of an artifact; the same command finds the artifact damaged and makes it again."""
    outcome, draw = Outcome("damaged file", name), runtime.numpy_generator(seed, "damage", name)
    whole, expected = made.of(target)
    for _ in range(CUTS + FLIPS):
        place = target.prepare(Place(made.work / "try", made.work / "shared"), whole.store)
        artifact = Path((whole.folder / "run" / "stdout").read_text().strip())
        file = _chosen(place.store / artifact.relative_to(whole.store), pattern, draw)
        what, content = damages(file.read_bytes(), draw)[outcome.tries]
        file.write_bytes(content)
        outcome.tries += 1
        run = target.start(place, "after")
        status = run.wait()
        served = Path(run.out.strip()) if run.out else None
        differing = kills.differences(target.results(place), expected)
        wrong = state.faults(place.store, expected) if served else []
        told = {} if status == 0 else {"said": run.err[-300:]}
        outcome.count(wrong, status == 0, not differing, file=file.name, damage=what, **told)
    return outcome


def _unfinished(work: Path, name: str, target: Target, pattern: str, seed: int) -> Outcome:
    """Kill a run, damage a file of what it left, and run it again."""
    outcome, draw = Outcome("damaged file", name), runtime.numpy_generator(seed, "damage", name)
    base, stages, expected = kills.undisturbed(target, work)
    cut = _cut_off(target, work, base, sum(stages.values()), pattern)
    for number in range(CUTS + FLIPS):
        place = target.prepare(Place(work / "try", work / "shared"), cut)
        outcome.tries += 1
        file = _chosen(next((place.store / "work").glob("*")) / "unfinished", pattern, draw)
        what, content = damages(file.read_bytes(), draw)[number]
        file.write_bytes(content)
        run = target.start(place, "after")
        finished = run.wait() == 0
        differing = kills.differences(target.results(place), expected)
        told = {} if finished else {"said": run.err[-300:]}
        outcome.count(state.faults(place.store, expected), finished, not differing, damage=what, **told)
    return outcome


def _cut_off(target: Target, work: Path, base: Path, seconds: float, pattern: str) -> Path:
    """The store of a run that was killed when it had left something under ``unfinished/``."""
    for part in (0.7, 0.8, 0.6, 0.9, 0.5, 0.4):
        place = target.prepare(Place(work / "cut", work / "shared"), base)
        found = _cut(target.start(place, "run"), place.store, part * seconds)
        if found and any((place.store / "work").glob(f"*/unfinished/{pattern}")):
            shutil.rmtree(work / "cut-store", ignore_errors=True)
            return shutil.copytree(place.store, work / "cut-store")
    raise RuntimeError(f"{target.name} was never cut off with {pattern} on disk")


def _given(work: Path, name: str, pattern: str, seed: int) -> Outcome:
    """Damage a file of the user's folder, of which the store has all results already.

    The next run must tell it in one line; or, where what was damaged says nothing, come to the same results.
    """
    outcome, draw = Outcome("damaged file", name), runtime.numpy_generator(seed, "damage", name)
    data = own_data(work / "shared")
    identity = folder_data(data).digest
    kept = work / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(data, kept)
    for number in range(CUTS + FLIPS):
        outcome.tries += 1
        file = _chosen(data, pattern, draw)
        what, content = damages(file.read_bytes(), draw)[number]
        file.write_bytes(content)
        run = runs.forked(["data", "verify", str(data)], work / "verify", runs.environment(work / "verify-store"))
        status, lines = run.wait(), run.err.splitlines()
        told_it = status == 2 and any(file.name in line for line in lines)
        same = _meaning(file) == _meaning(kept / file.relative_to(data))
        seen = "told" if told_it else "the same" if same else "other data"
        if seen == "other data":
            same = folder_data(data).digest != identity
        shutil.copy(kept / file.relative_to(data), file)
        outcome.count(
            [] if told_it or same else [f"{file.name} is taken for what it was"],
            told_it or status == 0,
            told_it or same,
            file=file.name,
            damage=what,
            seen=seen,
            said=lines[-1][:200] if lines else "",
        )
    return outcome


def _meaning(file: Path) -> bytes:
    """What a file means to a reader."""
    reader: Callable[[Path], bytes] = _pixels if file.suffix == ".png" else _values
    try:
        return reader(file)
    except (OSError, ValueError, SyntaxError):
        return b"unreadable"


def _pixels(file: Path) -> bytes:
    from PIL import Image

    with Image.open(file) as image:
        return np.array(image).tobytes()


def _values(file: Path) -> bytes:
    return state.content(file).encode()


def _cut(run: runs.Run, store: Path, seconds: float) -> dict | None:
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
