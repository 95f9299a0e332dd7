"""The generator's input x = I ⊕ onehot(M) (paper §3.4.1) and the way back. The only place where ranges are converted.

Channels: 3 for the image, then background, then one per defect type, 3 + K + 1 in all; every channel lies in [-1, 1].
(The paper counts 3 + n_defect; the background channel is the release's, and makes decoding an argmax.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from defectlib.data.sample import Sample

IMAGE_CHANNELS = 3


def channels(defect_types: int) -> int:
    """Number of channels of x for K ``defect_types``."""
    return IMAGE_CHANNELS + 1 + defect_types


def to_unit(images: torch.Tensor) -> torch.Tensor:
    """uint8 values in [0, 255] to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Floats to uint8, the inverse of :func:`to_unit`; what lies outside [-1, 1] is clipped."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def encode(images: torch.Tensor, masks: torch.Tensor, defect_types: int) -> torch.Tensor:
    """The generator input x = I ⊕ onehot(M).

    Args:
        images: uint8 (N, 3, H, W).
        masks: uint8 (N, H, W), values 0..K.
        defect_types: K.

    Returns:
        float32 (N, 3 + K + 1, H, W) in [-1, 1].
    """
    onehot = functional.one_hot(masks.long(), defect_types + 1).movedim(-1, 1)  # (N, K + 1, H, W)
    return torch.cat([to_unit(images), 2.0 * onehot - 1], dim=1)


def decode(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Images uint8 (N, 3, H, W) and masks uint8 (N, H, W) from ``x`` (N, 3 + K + 1, H, W); the mask is the argmax."""
    return to_bytes(x[:, :IMAGE_CHANNELS]), x[:, IMAGE_CHANNELS:].argmax(dim=1).to(torch.uint8)


def stack(samples: Sequence[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images uint8 (N, 3, H, W) and masks uint8 (N, H, W) of samples of one size, decoded once and kept."""
    images = torch.from_numpy(np.stack([sample.image for sample in samples])).movedim(-1, 1).contiguous()
    return images, torch.from_numpy(np.stack([sample.mask for sample in samples]))
