"""An epoch of augmented batches from images decoded once, against the same batches with every image decoded when drawn.

The plain way is that of a dataset class with Pillow in it: open image and mask, decode, convert, augment. What ours
pays once, reading the folder, stands in the note; the floor is a copy of the epoch's bytes as batches hold them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.harness import CPU, Finding, by_turns, roofline
from defectlib.clock import clocked
from defectlib.data import folder, procedural
from defectlib.segmentation.augment import augment
from defectlib.segmentation.training import Pool
from defectlib.settings import EmbeddedData, SegmenterTraining

GOAL = 5
COUNT, SIDE, ROUNDS = 96, 256, 7
PIXEL = 3 + 1 + 3 * 4 + 8
"""Bytes of a pixel that have to be moved, at the least: three colours and a class in, floats and a long out."""


def run(tiny: bool) -> Iterator[Finding]:
    """An epoch of a folder of pairs, as a baseline is trained on them: augmented, and whole."""
    count, side = (8, 32) if tiny else (COUNT, SIDE)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "own"
        folder.write_dataset(root, (procedural.sample("softgel", "train", i, size=side) for i in range(count)))
        for augmented in (True, False):
            yield _compared(root, side, augmented, 2 if tiny else ROUNDS)


def _compared(root: Path, side: int, augmented: bool, rounds: int) -> Finding:
    data = EmbeddedData(product="softgel", size=side)
    settings = SegmenterTraining(data=data, model="UNet", steps=1, batch=8, augmented=augmented)
    pools: list[Pool] = []
    decoding = clocked(lambda: pools.append(Pool(folder.read_dataset(root), (), CPU)), CPU)
    count = len(pools[0].images)
    steps = range(count // settings.batch)
    plain = _plain(list(folder.index(root).itertuples()), settings, steps)
    ways = {"ours": partial(_through, partial(pools[0].batch, settings), steps), "plain": plain}
    seconds = by_turns(ways, rounds)
    return Finding(
        "loading",
        f"{'augmented' if augmented else 'as they are'}, {side} px",
        "image",
        "decoded once, kept as bytes",
        [value / count for value in seconds["ours"]],
        "Pillow, every epoch",
        [value / count for value in seconds["plain"]],
        floor=roofline(0, PIXEL * side**2),
        goal=GOAL,
        note=f"reading the folder once: {decoding / count:.2g} s an image",
    )


def _plain(rows: list, settings: SegmenterTraining, steps: range) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)

    def one(row: object) -> tuple[torch.Tensor, torch.Tensor]:
        with Image.open(row.image) as image, Image.open(row.mask) as mask:
            pair = np.array(image.convert("RGB")).transpose(2, 0, 1).copy(), np.array(mask)
        tensors = tuple(map(torch.from_numpy, pair))
        return augment(*tensors, settings.crop, (), generator) if settings.augmented else tensors

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        pairs = [one(rows[place]) for place in range(step * settings.batch, (step + 1) * settings.batch)]
        images, masks = zip(*pairs, strict=True)
        return torch.stack(images).float(), torch.stack(masks).long()

    return partial(_through, batch, steps)


def _through(batch: Callable[[int], object], steps: range) -> None:
    """An epoch, as a training goes through it: each batch is let go before the next one is made."""
    for step in steps:
        batch(step)
