"""How synthetic pairs relate to the training images: closeness, spread, defects. No network judges here.

Distances are root mean squares over all pixels and colours of two images in [0, 1]. They are only meant for one
product at one size, where they say in plain units whether a sample repeats a training image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from defectlib.config import Fidelity
from defectlib.data.folder import read_dataset
from defectlib.data.loading import load_train
from defectlib.data.sample import Sample
from defectlib.store import write_atomically


def run(settings: Fidelity, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: ``fidelity.json`` with the summary, and the nearest training image of every pair."""
    training = load_train(settings.synthetic.large.data)
    synthetic = read_dataset(inputs["synthetic"] / settings.synthetic.dataset)
    write_atomically(out / "fidelity.json", json.dumps(measure(synthetic, training), indent=1))


def measure(synthetic: Sequence[Sample], training: Sequence[Sample]) -> dict:
    """The measures of ``synthetic`` against ``training``; all images of one size.

    Returns:
        ``nearest_mean``: mean distance from a synthetic image to its nearest training image.
        ``nearest_training``: index of that image for each pair.
        ``training_nearest_mean``: the same among the training images themselves: below it, samples are copies.
        ``spread``: mean distance between two synthetic images; ``training_spread`` likewise.
        ``defect_free``: share of pairs whose mask is empty.
        ``types_share``: share of pairs that show each type; ``training_types_share`` likewise.
        ``types_area``: mean share of the image each type covers where it occurs; ``training_types_area`` likewise.
    """
    ours, theirs = _pixels(synthetic), _pixels(training)
    to_training = pairwise_rms(ours, theirs)
    among, among_training = pairwise_rms(ours, ours), pairwise_rms(theirs, theirs)
    return {
        "pairs": len(synthetic),
        "nearest_mean": float(to_training.min(axis=1).mean()),
        "nearest_training": to_training.argmin(axis=1).tolist(),
        "nearest_distance": to_training.min(axis=1).round(5).tolist(),
        "training_nearest_mean": float(_without_self(among_training).min(axis=1).mean()),
        "spread": float(_without_self(among).mean(where=~np.eye(len(among), dtype=bool))),
        "training_spread": float(_without_self(among_training).mean(where=~np.eye(len(theirs), dtype=bool))),
        "defect_free": float(np.mean([not sample.present for sample in synthetic])),
        **_types(synthetic, ""),
        **_types(training, "training_"),
    }


def pairwise_rms(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root-mean-square differences (N, M) between rows of ``a`` (N, P) and ``b`` (M, P)."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squared, 0) / a.shape[1])


def _pixels(samples: Sequence[Sample]) -> np.ndarray:
    return np.stack([sample.image.reshape(-1) for sample in samples]).astype(np.float64) / 255


def _without_self(distances: np.ndarray) -> np.ndarray:
    return np.where(np.eye(len(distances), dtype=bool), np.inf, distances)


def _types(samples: Sequence[Sample], prefix: str) -> dict[str, dict[str, float]]:
    shares, areas = {}, {}
    for k, name in enumerate(samples[0].classes, start=1):
        covered = np.array([(sample.mask == k).mean() for sample in samples])
        shares[name] = float((covered > 0).mean())
        areas[name] = float(covered[covered > 0].mean()) if (covered > 0).any() else 0.0
    return {f"{prefix}types_share": shares, f"{prefix}types_area": areas}
