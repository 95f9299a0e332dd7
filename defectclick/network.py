"""The network of Defect-Click, after FocalClick (Chen et al. 2022): a coarse segmenter and a local refiner.

The segmenter sees the *target crop*, scaled to a fixed side: a small SegFormer of transformers, whose input holds
beside the colours the previous mask and maps of the clicks: where they are, how like the clicked colours all others
are, how far pixels can be reached over such, and what a random walker makes of them; and, since from scratch a
transformer alone is slow to learn what lies next to what, a few convolutions past it. The refiner sees the *focus
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

FEATURES = 32
"""Channels in which the stages are brought together."""
REFINED = 24
"""Channels of the refiner."""
_GROUPS = 8


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
        far = [_resized(bring(stage), near.shape[-2:]) for bring, stage in zip(self.bring, stages, strict=True)]
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
        half = x.shape[-1] // 2
        local = crop_and_resize(torch.cat([features, coarse], dim=1), boxes, half)
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


def _resized(x: torch.Tensor, sides: Sequence[int]) -> torch.Tensor:
    return functional.interpolate(x, size=tuple(sides), mode="bilinear", align_corners=False)


def crop_and_resize(x: torch.Tensor, boxes: torch.Tensor, side: int) -> torch.Tensor:
    """What lies in ``boxes`` of ``x`` (N, C, H, W), bilinear, at ``side`` pixels a side; beyond the border it repeats.

    Args:
        x: Floats.
        boxes: float32 (N, 4): top, left, bottom, right as shares of the sides of ``x``.
        side: Of the result.
    """
    centres = (torch.arange(side, device=x.device) + 0.5) / side
    top, left, bottom, right = (edge[:, None] for edge in boxes.to(x.device).T)
    rows, columns = top + (bottom - top) * centres, left + (right - left) * centres  # (N, side) each
    grid = torch.stack([columns[:, None, :].expand(-1, side, -1), rows[:, :, None].expand(-1, -1, side)], dim=-1)
    return functional.grid_sample(x.float(), 2 * grid - 1, padding_mode="border", align_corners=False)
