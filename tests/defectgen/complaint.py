"""What users of the release bring: 16 images of 530 × 430 px, one defect of 35 px in each, always at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from defectlib.data import folder
from defectlib.data.sample import Sample

WIDTH, HEIGHT, DEFECT = 530, 430, 35


def part(i: int, *, alike: bool = False, place: tuple[int, int] = (300, 210)) -> Sample:
    """Part number ``i``: a ribbed cover, lit from another side each time unless ``alike``, with a dark spot."""
    rng = np.random.default_rng(i)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    across, down, phase = (0, 0, 0) if alike else rng.uniform((-25, -25, 0), (25, 25, 6))
    grey = 120 + across * (x / WIDTH - 0.5) + down * (y / HEIGHT - 0.5) + 12 * np.sin(x / 9 + phase)
    image = grey[..., None] + (0, 6, -8) + rng.normal(0, 6, (HEIGHT, WIDTH, 1))
    angle = np.arctan2(y - place[1], x - place[0])
    spot = np.hypot(x - place[0], y - place[1]) < DEFECT / 2 + 1.5 * np.sin(3 * angle + i)
    image[spot] -= 45
    return Sample(f"part_{i:02}", image.clip(0, 255).astype(np.uint8), spot.astype(np.uint8), ("spot",), "cover")


def complaint(count: int = 16) -> list[Sample]:
    """The first ``count`` parts."""
    return [part(i) for i in range(count)]


def write_complaint(root: Path, samples: Sequence[Sample]) -> Path:
    """Write ``samples`` as a dataset folder; returns ``root``."""
    folder.write_dataset(root, samples)
    return root
