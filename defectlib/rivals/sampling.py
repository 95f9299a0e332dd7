"""Synthetic pairs of another generator, as a dataset folder: the stage, whatever the method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from defectlib.data.encode import decode
from defectlib.data.loading import load_train
from defectlib.defectgen.pairs import write_drawn
from defectlib.device import configure, generator
from defectlib.rivals.training import good_pairs, load_rival, method
from defectlib.settings import RivalSynthesis


def run(settings: RivalSynthesis, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: sample ``settings.count`` pairs into the dataset folder ``out/dataset``."""
    module = load_rival(settings.rival, inputs["rival"]).to(configure(settings.device))
    name = settings.rival.method
    write_drawn(lambda indices: draw_pairs(module, settings, indices), settings, out, name, f"sampling, {name}")


def draw_pairs(module: nn.Module, settings: RivalSynthesis, indices: range) -> tuple[np.ndarray, np.ndarray]:
    """The pairs numbered ``indices``: images uint8 (N, H, W, 3) and masks uint8 (N, H, W).

    Each is drawn by itself, so that it is the same in any batch.
    """
    images, masks = decode(torch.cat([_pair(module, settings, k) for k in indices]).cpu())
    return images.movedim(1, -1).numpy(), masks.numpy()


def _pair(module: nn.Module, settings: RivalSynthesis, k: int) -> torch.Tensor:
    rival = settings.rival
    # CycleGAN has no noise: a defect-free image of its own for each pair, and none that it was trained on. What was
    # trained on one image is asked for that one alone.
    number = len(load_train(settings.data)) + k if rival.image is None else rival.image
    good = good_pairs(rival.method, settings.data, number, 1)
    return method(rival.method).sample(module, rival, [generator(settings.seed, "pair", k)], good)
