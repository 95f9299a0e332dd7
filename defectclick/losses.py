"""What Defect-Click minimises: a normalised focal loss of both masks, and what makes it see edges (paper §3.3)."""

from __future__ import annotations

import torch
from torch.nn import functional

GAMMA = 2.0
"""How much less a pixel weighs that is nearly right."""
NEAR = 2
"""Distance from the boundary, in pixels of a crop, up to which a pixel belongs to it."""
EDGE_WEIGHT = 1.0
"""Further weight of a pixel at the boundary: with its own, twice that of any other."""
_LEAST_MEAN = 1e-6


def normalised_focal_loss(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Focal loss whose weights add up to the number of pixels in every image (Sofiiuk et al. 2019, eq. 3).

    Without that the gradient fades as an image becomes easy, and large masks drown small ones.

    Args:
        logits: (N, 1, H, W).
        target: float32 (N, 1, H, W) in {0, 1}.
        weights: Of pixels, like ``target``; None for the same everywhere.

    Returns:
        A scalar.
    """
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focus = (1 - torch.exp(-loss.detach())) ** GAMMA
    if weights is not None:
        focus = focus * weights
    return (focus * loss / focus.mean(dim=(1, 2, 3), keepdim=True).clamp(min=_LEAST_MEAN)).mean()


def boundary(target: torch.Tensor) -> torch.Tensor:
    """Pixels of ``target`` (N, 1, H, W), zeros and ones, that lie within :data:`NEAR` of its boundary, likewise."""
    return _widened(target) - (1 - _widened(1 - target))


def _widened(mask: torch.Tensor) -> torch.Tensor:
    side = 2 * NEAR + 1
    return functional.max_pool2d(functional.max_pool2d(mask, (side, 1), 1, (NEAR, 0)), (1, side), 1, (0, NEAR))


def dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - Dice of each image, averaged; it sees small masks from the first step on. Shapes as above."""
    mask = logits.sigmoid()
    both, each = ((mask * target).sum(dim=(1, 2, 3)), (mask + target).sum(dim=(1, 2, 3)))
    return (1 - (2 * both + 1) / (each + 1)).mean()


def mask_loss(logits: torch.Tensor, target: torch.Tensor, edge_sensitive: bool) -> torch.Tensor:
    """Of a mask; ``edge_sensitive``: pixels at the boundary weigh more. Shapes as above."""
    weights = 1 + EDGE_WEIGHT * boundary(target) if edge_sensitive else None
    return normalised_focal_loss(logits, target, weights) + dice_loss(logits, target)


def boundary_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of ``logits`` (N, 1, H, W) of the boundary of ``target``."""
    return functional.binary_cross_entropy_with_logits(logits, boundary(target))
