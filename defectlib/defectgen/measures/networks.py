"""Judges that somebody else trained: Inception's features (FID, KID) and LPIPS, where their weights are at hand.

Nothing is ever downloaded from here. Weights are looked for where torch keeps what it has fetched (``torch.hub``'s
folder), under the names that torch-fidelity and torchvision give them, and are used only if their content is what the
name says: it ends in the first digits of its SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from defectlib import runtime
from defectlib import torchvision_shim as _torchvision_shim  # noqa: F401  (before torchmetrics loads torchvision)

INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
ALEXNET = "alexnet-owt-7be5be79.pth"
_BATCH = 16
_MOST_PAIRS = 300  # all those of 25 images


def weights(name: str) -> Path | None:
    """The file of weights called ``name``, if it is on this machine and whole."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        return None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path if digest.startswith(path.stem.rpartition("-")[2]) else None


def missing() -> list[str]:
    """What is not at hand, and is therefore not measured; one sentence each."""
    lacking = []
    if importlib.util.find_spec("torch_fidelity") is None:
        lacking.append("Inception's FID and KID need the package torch-fidelity.")
    elif weights(INCEPTION) is None:
        lacking.append(f"Inception's FID and KID need {INCEPTION} in torch's folder of checkpoints.")
    if weights(ALEXNET) is None:
        lacking.append(f"LPIPS needs {ALEXNET} in torch's folder of checkpoints.")
    return lacking


def inception_features(images: np.ndarray) -> np.ndarray | None:
    """Inception's 2,048 features, float32 (N, 2048), of images uint8 (N, H, W, 3); None without its weights.

    The network is the one that Heusel et al. 2017 take, as torch-fidelity has ported it; images are enlarged to its
    299 px.
    """
    if importlib.util.find_spec("torch_fidelity") is None or (path := weights(INCEPTION)) is None:
        return None
    from torchmetrics.image.fid import NoTrainInceptionV3

    network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))
    batches = [images[batch.start : batch.stop] for batch in runtime.batches(len(images), _BATCH)]
    with torch.inference_mode():
        return np.concatenate([network(_tensor(batch)).numpy() for batch in batches])


def perceptual_diversity(images: np.ndarray) -> float | None:
    """Mean LPIPS of two images of a set (Zhang et al. 2018), by AlexNet; None without its weights.

    Of more than 300 pairs, 300 evenly spaced ones are taken.

    Args:
        images: uint8 (N, H, W, 3), two at least.

    Returns:
        At least 0; 0 if all images are the same.
    """
    if weights(ALEXNET) is None:
        return None
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    distance = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)
    pairs = np.array(list(combinations(range(len(images)), 2)))
    chosen = pairs[np.linspace(0, len(pairs) - 1, min(len(pairs), _MOST_PAIRS)).round().astype(int)]
    with torch.inference_mode():
        for batch in runtime.batches(len(chosen), _BATCH):
            ours, theirs = (_tensor(images[side]) / 255 for side in chosen[batch.start : batch.stop].T)
            distance.update(ours, theirs)
        return float(distance.compute())


def _tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 (N, 3, H, W)."""
    return torch.from_numpy(images).movedim(-1, 1).contiguous()
