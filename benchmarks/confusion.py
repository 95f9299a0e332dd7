"""How fast a batch's confusion matrices are counted, against torchmetrics with and without its validation.

Ours checks that every id is a class, and counts each image by itself; torchmetrics counts the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.harness import Finding, Floor, best, by_turns, devices
from defectlib.data import procedural
from defectlib.segmentation.confusion import image_confusions

GOAL = 5
BATCH, SIDES, ROUNDS = 16, (64, 256, 512), 25


def run(tiny: bool) -> Iterator[Finding]:
    """Masks of the procedural dataset at several sizes, on each device."""
    for device in devices():
        for side in (64,) if tiny else SIDES:
            yield from _compared(side, device, 3 if tiny else ROUNDS)


def _compared(side: int, device: torch.device, rounds: int) -> Iterator[Finding]:
    # Only now: what torchvision's binary may lack is declared by the package, and torchmetrics loads torchvision.
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    target, preds, classes = masks(side, device)
    ours = image_confusions(target, preds, classes).sum(dim=0)
    assert torch.equal(multiclass_confusion_matrix(preds, target, classes), ours)
    ways = {
        "ours": lambda: image_confusions(target, preds, classes),
        "torchmetrics, validating": lambda: multiclass_confusion_matrix(preds, target, classes),
        "torchmetrics, not validating": lambda: multiclass_confusion_matrix(
            preds, target, classes, validate_args=False
        ),
    }
    seconds = by_turns(ways, rounds, device, warm_up=3)
    floor = Floor(best(lambda: (target.sum(), preds.sum()), device) / BATCH, "a read of both masks")
    for plain in list(ways)[1:]:
        yield Finding(
            "confusion",
            f"{plain.rpartition(', ')[2]}, {side} px",
            "image",
            f"batch of {BATCH}, validating",
            [value / BATCH for value in seconds["ours"]],
            plain,
            [value / BATCH for value in seconds[plain]],
            floor=floor,
            goal=GOAL,
            device=device.type,
        )


def masks(side: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Masks and what a segmenter might make of them, uint8 (batch, side, side), and the number of classes."""
    scenes = [procedural.sample("softgel", "eval", i, size=side) for i in range(BATCH)]
    target = torch.from_numpy(np.stack([scene.mask for scene in scenes]))
    preds = target.roll(max(side // 32, 1), dims=2)
    return target.to(device), preds.to(device), len(scenes[0].classes) + 1
