"""HRNetW18-small (Wang et al. 2020): four resolutions kept side by side, joined at the finest."""

from __future__ import annotations

import timm
import torch
from torch import nn
from torch.nn import functional

BACKBONE = "hrnet_w18_small_v2"
"""timm's name of the backbone; mmsegmentation calls the same stages HRNetV2p-W18-Small."""


class HRNet(nn.Module):
    """The backbone of timm, and the representation head of HRNetV2: all resolutions brought to stride 4 and mixed.

    Args:
        outputs: Number of output channels.
        pretrained: Start the backbone from ImageNet weights.
    """

    def __init__(self, outputs: int, pretrained: bool = False) -> None:
        super().__init__()
        # An empty `feature_location` gives the four branches themselves, without the classifier's wider convolutions.
        options = {"features_only": True, "feature_location": "", "out_indices": (1, 2, 3, 4)}
        self.backbone = timm.create_model(BACKBONE, pretrained=pretrained, **options)
        channels = sum(self.backbone.feature_info.channels())
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, outputs, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, outputs, H / 4, W / 4) of normalised images ``x`` (N, 3, H, W), sides multiples of 32."""
        finest, *others = self.backbone(x)
        size = finest.shape[-2:]
        raised = [functional.interpolate(branch, size=size, mode="bilinear", align_corners=False) for branch in others]
        return self.head(torch.cat([finest, *raised], dim=1))
