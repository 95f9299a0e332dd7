"""The small U-Net: a baseline of the paper, and what judges synthetic pairs."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


class UNet(nn.Module):
    """The U-Net of Ronneberger et al. (2015), with padding, batch normalisation and fewer channels.

    The paper names an encoder for its other convolutional baselines and none for this one, so it is the original
    network made small. Its skip connection at full resolution keeps what is one pixel wide.

    Args:
        outputs: Number of output channels.
        width: Channels at full resolution (64 in the original), doubled at each lower one.
        levels: How many resolutions there are.
    """

    def __init__(self, outputs: int, width: int = 24, levels: int = 5) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(_convolutions(a, b) for a, b in pairwise([3, *channels]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(channels))
        self.merge = nn.ModuleList(_convolutions(2 * a, a) for a in channels[:-1])
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, outputs, H, W) of ``x`` (N, 3, H, W), sides divisible by 2 to the power of the levels less one."""
        skips = self.encode(x)
        x = skips[-1]
        for level in reversed(range(len(self.up))):
            x = self.merge[level](torch.cat([skips[level], self.up[level](x)], dim=1))
        return self.head(x)

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What the way down makes of ``x`` (N, 3, H, W): (N, width · 2^level, H / 2^level, W / 2^level) per level."""
        skips = []
        for level, convolutions in enumerate(self.down):
            x = convolutions(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        return skips


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
