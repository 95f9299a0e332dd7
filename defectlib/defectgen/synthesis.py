"""Sampling a synthetic dataset from two trained nets: resumable, in flat memory, written in the one dataset layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from defectlib import runtime
from defectlib.config import Synthesis
from defectlib.data.describe import describe
from defectlib.data.encode import decode
from defectlib.data.folder import write_dataset
from defectlib.data.loading import load_train
from defectlib.data.sample import Sample
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.pipeline import DefectGenPipeline
from defectlib.defectgen.training import load_denoiser
from defectlib.device import autocast, configure, generator
from defectlib.store import UNFINISHED, provenance


def run(settings: Synthesis, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: sample ``settings.count`` pairs into the dataset folder ``out/dataset``."""
    write_pairs(assemble(inputs["large"], inputs["small"], settings.device), settings, out)


def write_pairs(pipeline: DefectGenPipeline, settings: Synthesis, out: Path) -> None:
    """Sample ``settings.count`` pairs with ``pipeline`` into ``out/dataset``, going on where a kill left off."""
    trained_on = load_train(settings.large.data)[0]
    size = settings.size or trained_on.image.shape[0]
    record = {"source": "Defect-Gen", **provenance(settings)}
    pairs = _pairs(pipeline, settings, size, out / UNFINISHED)
    samples = (
        Sample(
            key,
            image,
            mask,
            trained_on.classes,
            trained_on.product,
            describe(mask, trained_on.classes, trained_on.product),
        )
        for key, image, mask in pairs
    )
    write_dataset(out / settings.dataset, samples, provenance=record)


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


def _pairs(
    pipeline: DefectGenPipeline, settings: Synthesis, size: int, unfinished: Path
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Every pair with its key, one batch in memory at a time; batches done before a kill are read back."""
    unfinished.mkdir(parents=True, exist_ok=True)
    what = f"sampling, u = {settings.switch_step}"
    with runtime.progress(settings.count, what, unit="pair") as bar:
        for indices in runtime.batches(settings.count, settings.batch):
            # The batch size is in the name: a resumed run with another one must not mistake one batch for another.
            path = unfinished / f"{indices.start:06}-{settings.batch}.npz"
            images, masks = _read_batch(path) or _sample_batch(pipeline, settings, indices, size, path)
            bar.update(len(indices))
            for k, image, mask in zip(indices, images, masks, strict=True):
                yield f"synthetic_{k:06}", image, mask


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["images"], arrays["masks"]
    except (OSError, EOFError, ValueError, KeyError, BadZipFile):
        return None  # not there, or cut in half: sampled again


def _sample_batch(
    pipeline: DefectGenPipeline, settings: Synthesis, indices: range, size: int, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    images, masks = sample_pairs(pipeline, settings, indices, size)
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as file:
        np.savez(file, images=images, masks=masks)
    partial.replace(path)
    return images, masks
