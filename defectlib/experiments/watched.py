"""A net that is watched while it learns: pairs from the same noise after more and more steps. Loads no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from defectlib.data.loading import load_train
from defectlib.data.sample import Sample
from defectlib.experiments.generation import Regimes
from defectlib.experiments.study import Study
from defectlib.settings import DenoiserTraining, Stage


@dataclass(frozen=True)
class Watched(Study):
    """A large net on small images of one product.

    Args:
        product: A product of the embedded dataset, or DATASET/PRODUCT.
    """

    product: str = "softgel"

    @property
    def training(self) -> DenoiserTraining:
        """The net, which keeps its samples."""
        return self.profile.watched_training(self.product)

    def stages(self) -> tuple[Stage, ...]:
        """That training."""
        return (self.training,)

    def pairs(self) -> dict[int, tuple[Sample, ...]]:
        """What the net samples alone after so many steps; pair k starts from the same noise each time."""
        samples = self.path(self.training) / "samples"
        return {step: self._pairs(samples / f"{step:06}.png") for step in sorted(self.training.samples_at)}

    def _pairs(self, path: Path) -> tuple[Sample, ...]:
        classes = load_train(self.training.data)[0].classes
        with Image.open(path) as grid:
            pairs = zip(*cut(np.asarray(grid), len(classes)), strict=True)
        return tuple(Sample(f"pair {k + 1}", *pair, classes, self.product) for k, pair in enumerate(pairs))

    def table(self) -> pd.DataFrame:
        """A row per number of steps: index ``step``.

        Columns: ``loss``, the mean of the last ten steps; ``nearest``, the mean root-mean-square distance in [0, 1]
        of the pairs to the training image nearest to each.
        """
        losses = json.loads((self.path(self.training) / "losses.json").read_text())
        training = np.stack([sample.image for sample in load_train(self.training.data)]) / 255
        rows = {}
        for step, pairs in self.pairs().items():
            seen = next((point["loss"] for point in losses if point["step"] >= step), losses[-1]["loss"])
            apart = [np.sqrt(((training - pair.image / 255) ** 2).mean(axis=(1, 2, 3))).min() for pair in pairs]
            rows[step] = {"loss": seen, "nearest": float(np.mean(apart))}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("step")


@dataclass(frozen=True)
class StepByStep(Regimes):
    """Figure 5's three cases, and a net that is watched while it learns."""

    @property
    def watched(self) -> Watched:
        """That net."""
        return Watched(self.profile, self.product, store=self.store)

    def stages(self) -> tuple[Stage, ...]:
        """Those of both."""
        return (*super().stages(), *self.watched.stages())


def cut(grid: np.ndarray, types: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs in a grid of :func:`defectlib.defectgen.journal.grid`, which are square.

    Args:
        grid: uint8 (2 H, N H, 3).
        types: Of defects, by which greys become classes again.

    Returns:
        Images uint8 (N, H, H, 3) and masks uint8 (N, H, H).
    """
    side = len(grid) // 2
    images, greys = grid.reshape(2, side, -1, side, 3).swapaxes(1, 2)
    return images, np.rint(greys[..., 0] / 255 * types).astype(np.uint8)
