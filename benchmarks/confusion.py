"""How fast a batch's confusion matrices are counted: beside torchmetrics and a plain read of the data, in one run.

Run ``python benchmarks/confusion.py``, or for other images, say, ``python benchmarks/confusion.py --side 256 --batch 8
--device cuda``; with ``--json`` for one JSON object per line. Each round times every way once, one after the other, so
that a busy machine slows all of them alike; medians are shown. Ours counts each image by itself, torchmetrics the
whole batch.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch

from defectlib import runtime
from defectlib.data import procedural
from defectlib.segmentation.confusion import image_confusions

OURS, FLOOR = "ours", "floor, a read of both"


def main() -> None:
    """Time every way on masks of the procedural dataset at the sizes that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, nargs="+", default=[64, 256, 512], help="of the images, in pixels")
    parser.add_argument("--batch", type=int, default=16, help="images counted at once")
    parser.add_argument("--rounds", type=int, default=30, help="how often each way is timed")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    arguments = parser.parse_args()
    if not arguments.json:
        print(f"{runtime.machine()}, torch with {torch.get_num_threads()} threads, device {arguments.device}")
    for side in arguments.side:
        target, preds, classes = masks(side, arguments.batch, torch.device(arguments.device))
        ours, theirs = image_confusions(target, preds, classes).sum(dim=0), ways(target, preds, classes)
        assert all(torch.equal(work(), ours) for name, work in theirs.items() if name not in (OURS, FLOOR))
        seconds = timed(theirs, arguments.rounds)
        found = {"batch": f"{arguments.batch} of {side} px", "classes": classes, **report(seconds)}
        print(json.dumps(found) if arguments.json else _line(found), flush=True)


def _line(found: dict[str, float | int | str]) -> str:
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in found.items()
    )


def masks(side: int, batch: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Masks and what a segmenter might make of them, uint8 (batch, side, side), and the number of classes."""
    scenes = [procedural.sample("softgel", "eval", i, size=side) for i in range(batch)]
    target = torch.from_numpy(np.stack([scene.mask for scene in scenes]))
    preds = target.roll(max(side // 32, 1), dims=2)
    return target.to(device), preds.to(device), len(scenes[0].classes) + 1


def ways(target: torch.Tensor, preds: torch.Tensor, classes: int) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    # Only now: what torchvision's binary may lack is declared by the package, and torchmetrics loads torchvision.
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    theirs = partial(multiclass_confusion_matrix, preds, target, classes)
    return {
        OURS: lambda: image_confusions(target, preds, classes),
        "torchmetrics, validating": partial(theirs, validate_args=True),
        "torchmetrics, not validating": partial(theirs, validate_args=False),
        FLOOR: lambda: (target.sum(), preds.sum()),
    }


def timed(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each way, over rounds in which all of them take turns."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:  # the first round fills caches
                taken[name].append(time.perf_counter() - started)
    return {name: median(values) for name, values in taken.items()}


def report(seconds: dict[str, float]) -> dict[str, float]:
    """Milliseconds of each way, and how many times ours it takes."""
    milliseconds = {f"{name} (ms)": 1000 * value for name, value in seconds.items()}
    ratios = {f"{name} / ours": value / seconds[OURS] for name, value in seconds.items() if name != OURS}
    return milliseconds | ratios


if __name__ == "__main__":
    main()
