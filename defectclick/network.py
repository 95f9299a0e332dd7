"""The network of Defect-Click, after FocalClick (Chen et al. 2022), and what it minimises (paper, §3.3).

A coarse segmenter sees the *target crop*, scaled to a fixed side: a small SegFormer of transformers, whose input holds
beside the colours the previous mask and maps of the clicks: where they are, how like the clicked colours all others
are, how far pixels can be reached over such, and what a random walker makes of them; and, since from scratch a
transformer alone is slow to learn what lies next to what, a few convolutions past it. A local refiner sees the *focus
crop*, a part cut from the image anew, with the segmenter's features there; it says where the boundary runs and what
lies at either side of it, and elsewhere lets the coarse mask stand (their eq. 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from defectclick.crops import CHANNELS
from defectlib import torchvision_shim as _torchvision_shim  # noqa: F401  (before transformers is imported)
from defectlib.settings import CLICKER_HEADS

from transformers import SegformerConfig, SegformerModel  # isort: skip

FEATURES = 32  # channels in which the stages are brought together
REFINED = 24  # channels of the refiner
GAMMA = 2.0  # how much less a pixel weighs in the loss that is nearly right
NEAR = 2  # distance from the boundary, in pixels of a crop, up to which a pixel belongs to it
EDGE_WEIGHT = 1.0  # further weight of a pixel at the boundary: with its own, twice that of any other
_GROUPS = 8
_LEAST_MEAN = 1e-6


class ClickNetwork(nn.Module):
    """Coarse segmenter and refiner.

    Args:
        widths: Channels of the encoder's four stages.
        depths: Layers of each.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        config = SegformerConfig(
            num_channels=CHANNELS,
            hidden_sizes=list(widths),
            depths=list(depths),
            num_attention_heads=list(CLICKER_HEADS),
            drop_path_rate=0.0,  # what draws nothing goes on after a cut as it would have
            hidden_dropout_prob=0.0,
            attn_implementation="eager",  # keys are few, for which no fused kernel is worth its start
        )
        self.encoder = SegformerModel(config)
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2), _conv(4 * CHANNELS, FEATURES, 3), _conv(FEATURES, FEATURES, 3, 2)
        )
        self.bring = nn.ModuleList(nn.Conv2d(width, FEATURES, 1) for width in widths)
        self.fuse = _conv(5 * FEATURES, FEATURES, 1)
        self.head = nn.Sequential(*(Residual(FEATURES) for _ in range(4)))
        self.mask = nn.Conv2d(FEATURES, 1, 1)
        self.refiner = Refiner()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The coarse segmentation of target crops.

        Args:
            x: float32 (N, 11, S, S), S a multiple of 32: colours in [-1, 1], all else in [0, 1].

        Returns:
            Logits (N, 1, S / 4, S / 4) and features (N, 32, S / 4, S / 4).
        """
        stages = self.encoder(x, output_hidden_states=True).hidden_states
        near = self.stem(x)
        far = [resized(bring(stage), near.shape[-2:]) for bring, stage in zip(self.bring, stages, strict=True)]
        features = self.head(self.fuse(torch.cat([near, *far], dim=1)))
        return self.mask(features), features

    def refine(
        self, x: torch.Tensor, boxes: torch.Tensor, coarse: torch.Tensor, features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The refined segmentation of focus crops.

        Args:
            x: float32 (N, 11, F, F), as for :meth:`forward`, of the focus crops.
            boxes: float32 (N, 4), where these lie in the target crops: top, left, bottom, right as shares of the side.
            coarse: Logits of :meth:`forward`.
            features: Features of :meth:`forward`.

        Returns:
            Logits of the mask and of the boundary, both float32 (N, 1, F, F).
        """
        local = crop_and_resize(torch.cat([features, coarse], dim=1), boxes, x.shape[-1] // 2)
        detail, boundary = self.refiner(x, local).float().split(1, dim=1)
        coarse = crop_and_resize(coarse.float(), boxes, x.shape[-1])
        share = boundary.sigmoid()
        return share * detail + (1 - share) * coarse, boundary


class Refiner(nn.Module):
    """A few convolutions over a focus crop, at half its side: two by two pixels are unfolded into channels and back."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _conv(4 * CHANNELS, REFINED, 3))
        self.join = _conv(REFINED + FEATURES + 1, REFINED, 1)
        self.body = nn.Sequential(*(Residual(REFINED) for _ in range(3)))
        self.heads = nn.Sequential(nn.Conv2d(REFINED, 4 * 2, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2, F, F), of details and of the boundary.

        Args:
            x: (N, 11, F, F).
            local: (N, 33, F / 2, F / 2), the segmenter's features and logits at the same place.
        """
        fine = self.stem(x)
        return self.heads(self.body(self.join(torch.cat([fine, local.to(fine.dtype)], dim=1))))


class Residual(nn.Module):
    """A convolution beside the way past it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = _conv(channels, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same."""
        return x + self.layer(x)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(min(_GROUPS, outputs // 2), outputs), nn.ReLU())


def resized(x: torch.Tensor, sides: Sequence[int]) -> torch.Tensor:
    """``x`` (N, C, H, W), bilinear, at other sides."""
    return functional.interpolate(x, size=tuple(sides), mode="bilinear", align_corners=False)


def crop_and_resize(x: torch.Tensor, boxes: torch.Tensor, side: int) -> torch.Tensor:
    """What lies in ``boxes`` of ``x`` (N, C, H, W), bilinear, at ``side`` pixels a side; beyond the border it repeats.

    ``boxes`` are float32 (N, 4): top, left, bottom, right as shares of the sides of ``x``.
    """
    centres = (torch.arange(side, device=x.device) + 0.5) / side
    top, left, bottom, right = (edge[:, None] for edge in boxes.to(x.device).T)
    rows, columns = top + (bottom - top) * centres, left + (right - left) * centres  # (N, side) each
    grid = torch.stack([columns[:, None, :].expand(-1, side, -1), rows[:, :, None].expand(-1, -1, side)], dim=-1)
    return functional.grid_sample(x.float(), 2 * grid - 1, padding_mode="border", align_corners=False)


# Losses: logits (N, 1, H, W) against a target float32 (N, 1, H, W) in {0, 1}; a scalar --------------------------------


def mask_loss(logits: torch.Tensor, target: torch.Tensor, edge_sensitive: bool) -> torch.Tensor:
    """Normalised focal loss and Dice of a mask; ``edge_sensitive``: pixels at the boundary weigh more."""
    weights = 1 + EDGE_WEIGHT * boundary(target) if edge_sensitive else None
    return normalised_focal_loss(logits, target, weights) + dice_loss(logits, target)


def normalised_focal_loss(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Focal loss whose weights add up to the number of pixels in every image (Sofiiuk et al. 2019, eq. 3).

    Without that the gradient fades as an image becomes easy, and large masks drown small ones. ``weights`` are of
    pixels, like ``target``; None for the same everywhere.
    """
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focus = (1 - torch.exp(-loss.detach())) ** GAMMA
    if weights is not None:
        focus = focus * weights
    return (focus * loss / focus.mean(dim=(1, 2, 3), keepdim=True).clamp(min=_LEAST_MEAN)).mean()


def dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - Dice of each image, averaged; it sees small masks from the first step on."""
    mask = logits.sigmoid()
    both, each = ((mask * target).sum(dim=(1, 2, 3)), (mask + target).sum(dim=(1, 2, 3)))
    return (1 - (2 * both + 1) / (each + 1)).mean()


def boundary_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of ``logits`` of the boundary of ``target``."""
    return functional.binary_cross_entropy_with_logits(logits, boundary(target))


def boundary(target: torch.Tensor) -> torch.Tensor:
    """Pixels of ``target`` that lie within :data:`NEAR` of its boundary, likewise zeros and ones (N, 1, H, W)."""
    return _widened(target) - (1 - _widened(1 - target))


def _widened(mask: torch.Tensor) -> torch.Tensor:
    side = 2 * NEAR + 1
    return functional.max_pool2d(functional.max_pool2d(mask, (side, 1), 1, (NEAR, 0)), (1, side), 1, (0, NEAR))
