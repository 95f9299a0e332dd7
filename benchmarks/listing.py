"""Folders listed and counted: files into an index without opening one, masks by class on all cores.

The floors are a walk through the folder, and one core's time over the number of cores.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import Finding, Floor, best, by_turns
from defectlib.data import folder, procedural
from defectlib.data.count import survey
from defectlib.data.sources.mvtec_ad import MVTecAD
from defectlib.data.split import class_pixels

FILES, MASKS, ROUNDS = 18_000, 400, 5


def run(tiny: bool) -> Iterator[Finding]:
    """A user's folder listed, MVTec's masks counted."""
    with tempfile.TemporaryDirectory() as place:
        yield _listed(Path(place) / "own", 100 if tiny else FILES, 2 if tiny else ROUNDS)
    with tempfile.TemporaryDirectory() as place:
        yield _counted(Path(place) / "mvtec", 4 if tiny else MASKS, 2 if tiny else 3)


def _listed(root: Path, files: int, rounds: int) -> Finding:
    for side in ("images", "masks"):
        _touch(root / side, (f"{i:06}.png" for i in range(files // 2)))
    (root / "classes.json").write_text('{"1": "scratch"}')
    seconds = by_turns({"ours": lambda: folder.index(root)}, rounds)
    walk = Floor(best(lambda: list(os.walk(root)), times=3) / files, "a walk")
    ours = [value / files for value in seconds["ours"]]
    return Finding("listing", f"a folder of {files} files", "file", "an index, checked", ours, floor=walk)


def _counted(root: Path, count: int, rounds: int) -> Finding:
    _write_mvtec(root, count)
    source = MVTecAD(root)
    rows = [row for row in source.table.itertuples(index=False, name="Row") if row.mask]
    ways = {
        "ours": lambda: survey(source),
        "plain": lambda: [class_pixels(source.mask(row), len(source.classes[row.product])) for row in rows],
    }
    seconds = {name: [value / count for value in taken] for name, taken in by_turns(ways, rounds).items()}
    cores = len(os.sched_getaffinity(0))
    return Finding(
        "listing",
        f"{count} masks of 1024 px counted",
        "mask",
        f"{cores} cores",
        seconds["ours"],
        "one after the other",
        seconds["plain"],
        floor=Floor(min(seconds["plain"]) / cores, "one core's time over the cores"),
    )


def _touch(directory: Path, names: Iterable[str]) -> None:
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).touch()


def _write_mvtec(root: Path, count: int) -> None:
    """``count`` defective screws in MVTec's layout, of 1024 px masks as published; photographs stay unread."""
    mask = procedural.sample("brushed_plate", "train", 0, size=512).mask
    large = Image.fromarray(np.where(mask.repeat(2, 0).repeat(2, 1) > 0, 255, 0).astype(np.uint8))
    _touch(root / "screw" / "test" / "thread_top", (f"{i:04}.png" for i in range(count)))
    (root / "screw" / "train" / "good").mkdir(parents=True)
    truth = root / "screw" / "ground_truth" / "thread_top"
    truth.mkdir(parents=True)
    for i in range(count):
        large.save(truth / f"{i:04}_mask.png")
