"""Sampling a synthetic dataset from two trained nets: resumable, in flat memory, written in the one dataset layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from defectlib.data.encode import decode
from defectlib.data.loading import load_train
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.pairs import write_drawn
from defectlib.defectgen.pipeline import DefectGenPipeline
from defectlib.defectgen.training import load_denoiser
from defectlib.device import autocast, configure, generator
from defectlib.settings import Synthesis


def run(settings: Synthesis, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: sample ``settings.count`` pairs into the dataset folder ``out/dataset``."""
    if settings.path == "release":
        from defectlib.defectgen import released  # which is made of this module's parts

        return released.run(settings, inputs, out)
    write_pairs(assemble(inputs["large"], inputs["small"], settings.device), settings, out)


def write_pairs(pipeline: DefectGenPipeline, settings: Synthesis, out: Path) -> None:
    """Sample ``settings.count`` pairs with ``pipeline`` into ``out/dataset``, going on where a kill left off."""
    size = settings.size or load_train(settings.data)[0].image.shape[0]
    what = f"sampling, u = {settings.switch_step}"
    write_drawn(lambda indices: sample_pairs(pipeline, settings, indices, size), settings, out, "Defect-Gen", what)


def assemble(
    large: Path, small: Path, device: str = "cpu", kind: type[DefectGenPipeline] = DefectGenPipeline
) -> DefectGenPipeline:
    """The pipeline of two finished denoiser artifacts."""
    pipeline = kind(load_denoiser(large), load_denoiser(small), schedule())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(configure(device))


def sample_pairs(
    pipeline: DefectGenPipeline, settings: Synthesis, indices: range, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs numbered ``indices`` of the synthetic set that ``settings`` describe.

    Returns:
        Images uint8 (N, H, W, 3) and masks uint8 (N, H, W).
    """
    # CPU generators on every device: the noise of pair k is the same wherever it is sampled.
    generators = [generator(settings.seed, "pair", k) for k in indices]
    with autocast(pipeline.device, settings.dtype):
        x = pipeline(size, generators, settings.switch_step, settings.num_inference_steps, settings.sampler).x
    images, masks = decode(x.cpu())
    return images.movedim(1, -1).numpy(), masks.numpy()
