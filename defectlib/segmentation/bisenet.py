"""BiSeNet V2 (Yu et al. 2021, arXiv:2004.02147): a wide shallow branch sees details, a narrow deep one the context.

No library that is kept up has it, so it is written here from the paper, in its standard configuration (Table 1, the
semantic branch with a quarter of the detail branch's channels, not the "Large" one).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

DETAIL = (64, 64, 128)
"""Channels of the detail branch at strides 2, 4 and 8."""
SEMANTIC = (16, 32, 64, 128)
"""Channels of the semantic branch at strides 4, 8, 16 and 32."""
REPEATS = (1, 1, 3)
"""Gather-and-expansion layers of stride 1 that follow the one of stride 2, at strides 8, 16 and 32."""
EXPANSION = 6
WIDTH = 128
"""Channels of both branches where they meet."""
HEAD, BOOSTER = 1024, 128
"""Hidden channels C_t of the segmentation head and of the training heads. The paper leaves C_t open; public
reimplementations (CoinCheung's, and mmsegmentation's, which reaches the paper's mIoU) have 1024 in the first."""


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution that divides the sides by its stride, and its batch normalisation."""
    padding = kernel // 2
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


def depthwise(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """:func:`convolution` of each channel by itself, into outputs / inputs channels."""
    return convolution(inputs, outputs, stride=stride, groups=inputs)


class Stem(nn.Module):
    """The semantic branch's entry (§4.2): stride 4 by convolutions and by pooling, side by side.

    Args:
        channels: Number of output channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(*convolution(3, channels, stride=2), nn.ReLU())
        self.left = nn.Sequential(
            *convolution(channels, channels // 2, kernel=1),
            nn.ReLU(),
            *convolution(channels // 2, channels, stride=2),
            nn.ReLU(),
        )
        self.right = nn.MaxPool2d(3, stride=2, padding=1)
        self.fuse = nn.Sequential(*convolution(2 * channels, channels), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) → (N, channels, H / 4, W / 4)."""
        x = self.enter(x)
        return self.fuse(torch.cat([self.left(x), self.right(x)], dim=1))


class GatherExpansion(nn.Module):
    """The gather-and-expansion layer (§4.2, Fig. 5): a full convolution gathers, depthwise ones widen, one projects.

    The paper can be read so that the full convolution expands already. Here it keeps its channels and the depthwise one
    expands them, as in the reimplementations that reach the paper's mIoU. After the depthwise convolutions comes an
    activation, as in the inverted bottleneck that the layer descends from: without it, expansion and projection are
    one linear map of 3 × 3 pixels.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels; equal to the inputs at stride 1.
        stride: 1 or 2. At 2 a second depthwise convolution widens the field, and the shortcut is a separable one.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        expanded = EXPANSION * inputs
        widen = depthwise(expanded, expanded) if stride > 1 else []
        self.body = nn.Sequential(
            *convolution(inputs, inputs),
            nn.ReLU(),
            *depthwise(inputs, expanded, stride),
            *widen,
            nn.ReLU(),
            *convolution(expanded, outputs, kernel=1),
        )
        separable = [*depthwise(inputs, inputs, stride), *convolution(inputs, outputs, kernel=1)]
        self.shortcut = nn.Sequential(*separable) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) → (N, outputs, H / stride, W / stride)."""
        return functional.relu(self.body(x) + self.shortcut(x))


class ContextEmbedding(nn.Module):
    """Adds what the whole image holds on average to each of its pixels (§4.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.embed = nn.Sequential(*convolution(channels, channels, kernel=1), nn.ReLU())
        self.fuse = nn.Sequential(*convolution(channels, channels), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) → the same shape."""
        return self.fuse(x + self.embed(self.norm(x.mean(dim=(2, 3), keepdim=True))))


class GuidedAggregation(nn.Module):
    """Bilateral guided aggregation (§4.3): each branch is gated by the other, at the resolution of each.

    The convolution of the sum has an activation, for the reason in :class:`GatherExpansion`: another follows at once.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        point = [nn.Conv2d(channels, channels, 1, bias=False) for _ in range(2)]
        self.detail_fine = nn.Sequential(*depthwise(channels, channels), point[0])
        self.detail_coarse = nn.Sequential(
            *convolution(channels, channels, stride=2), nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        )
        self.semantic_fine = nn.Sequential(*convolution(channels, channels))
        self.semantic_coarse = nn.Sequential(*depthwise(channels, channels), point[1])
        self.fuse = nn.Sequential(*convolution(channels, channels), nn.ReLU())

    def forward(self, detail: torch.Tensor, semantic: torch.Tensor) -> torch.Tensor:
        """Detail (N, channels, H, W) and semantic (N, channels, H / 4, W / 4) → (N, channels, H, W)."""
        fine = self.detail_fine(detail) * torch.sigmoid(enlarge(self.semantic_fine(semantic)))
        coarse = self.detail_coarse(detail) * torch.sigmoid(self.semantic_coarse(semantic))
        return self.fuse(fine + enlarge(coarse))


def enlarge(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) → (N, C, 4 H, 4 W), bilinearly."""
    return functional.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)


class BiSeNetV2(nn.Module):
    """The network. In training mode it needs two images at least: context is normalised over the batch alone.

    Args:
        outputs: Number of output channels.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for (inputs, channels), repeats in zip(pairwise((3, *DETAIL)), (1, 2, 2), strict=True):
            layers += [*convolution(inputs, channels, stride=2), nn.ReLU()]
            for _ in range(repeats):
                layers += [*convolution(channels, channels), nn.ReLU()]
        self.detail = nn.Sequential(*layers)
        self.semantic = nn.ModuleList([Stem(SEMANTIC[0])])
        for (inputs, channels), repeats in zip(pairwise(SEMANTIC), REPEATS, strict=True):
            same = (GatherExpansion(channels, channels, stride=1) for _ in range(repeats))
            self.semantic.append(nn.Sequential(GatherExpansion(inputs, channels, stride=2), *same))
        self.context = ContextEmbedding(WIDTH)
        self.aggregate = GuidedAggregation(WIDTH)
        self.head = _head(WIDTH, HEAD, outputs)
        self.boosters = nn.ModuleList(_head(channels, BOOSTER, outputs) for channels in SEMANTIC)
        self.apply(_initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, outputs, H / 8, W / 8) of ``x`` (N, 3, H, W), normalised, sides divisible by 32."""
        return self.head(self._aggregated(x, self.stages(x)[-1]))

    def heads(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What training is supervised at: :meth:`forward`'s logits, then those of the boosters (§4.4).

        The boosters, which inference does without, stand after each stage of the semantic branch, the last of them
        before the context embedding: logits (N, outputs, H / s, W / s) at strides s = 4, 8, 16 and 32.
        """
        stages = self.stages(x)
        logits = self.head(self._aggregated(x, stages[-1]))
        return [logits, *(booster(stage) for booster, stage in zip(self.boosters, stages, strict=True))]

    def stages(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What the semantic branch makes of ``x`` at strides 4, 8, 16 and 32, with :data:`SEMANTIC` channels."""
        stages = []
        for stage in self.semantic:
            x = stage(x)
            stages.append(x)
        return stages

    def _aggregated(self, x: torch.Tensor, semantic: torch.Tensor) -> torch.Tensor:
        return self.aggregate(self.detail(x), self.context(semantic))


def _head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*convolution(inputs, hidden), nn.ReLU(), nn.Conv2d(hidden, outputs, 1))


def _initialise(module: nn.Module) -> None:
    """Kaiming's normal initialisation (§5.1), as nothing here starts from pretrained weights."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
