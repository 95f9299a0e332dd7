"""The segmentation baselines of the paper (§4.1, Table 2), by the paper's abbreviations.

Every network is wrapped into a :class:`Segmenter`: raw pixels in, logits of the same height and width out, whatever
the size. A new baseline is one entry of :data:`MODELS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.nn import functional

from defectlib.config import known_model
from defectlib.errors import UserError

STRIDE = 32
"""The encoders halve their input up to five times; sides are padded to a multiple of this, in pixels."""
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""ImageNet's channel statistics, on the scale 0..255, which the pretrained encoders expect."""


@dataclass(frozen=True)
class ModelSpec:
    """One baseline.

    Attributes:
        name: The paper's abbreviation (§4.1), which is the name in settings and tables.
        title: The paper's full name.
        family: What Fig. 8 compares.
        make: Builds the bare network from the number of output channels and the name of its encoder weights.
        pretrained: Whether ImageNet weights of its encoder exist.
        min_side: Pixels. Smaller inputs are enlarged bilinearly until their shorter side has this length, and the
            logits are brought back. A network whose finest output has stride 4 or 16 cannot see a scratch one pixel
            wide in an image of 64 px; in the paper's images, of several hundred pixels, it can.
    """

    name: str
    title: str
    family: Literal["CNN", "Transformer"]
    make: Callable[[int, str | None], nn.Module]
    pretrained: bool = True
    min_side: int = STRIDE


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


def _unet(channels: int, weights: str | None) -> nn.Module:
    return UNet(channels)


def _deeplab(channels: int, weights: str | None) -> nn.Module:
    return smp.DeepLabV3Plus("resnet18", encoder_weights=weights, classes=channels)


def _segformer(channels: int, weights: str | None) -> nn.Module:
    return smp.Segformer("mit_b0", encoder_weights=weights, classes=channels)


_SPECS = (
    ModelSpec("UNet", "UNet-small", "CNN", _unet, pretrained=False),
    ModelSpec("DL", "ResNet18-DeepLabV3+", "CNN", _deeplab, min_side=128),
    ModelSpec("M-B0", "Segformer-MiT-B0", "Transformer", _segformer, min_side=128),
)
MODELS: dict[str, ModelSpec] = {spec.name: spec for spec in _SPECS}
"""The baselines, in the order of the paper's Table 2."""


class Segmenter(nn.Module):
    """A baseline that takes raw pixels of any height and width.

    Args:
        net: Maps float images (N, 3, H, W), sides divisible by :data:`STRIDE`, to logits (N, C, H, W).
        min_side: See :class:`ModelSpec`.
    """

    def __init__(self, net: nn.Module, min_side: int) -> None:
        super().__init__()
        self.net = net
        self.min_side = min_side
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, float32 (N, K + 1, H, W).

        Args:
            images: (N, 3, H, W), uint8 or float, values in [0, 255].
        """
        height, width = images.shape[-2:]
        x = (images.float() - self.mean) / self.std
        scale = self.min_side / min(height, width)
        if scale > 1:
            sides = (round(height * scale), round(width * scale))
            x = functional.interpolate(x, size=sides, mode="bilinear", align_corners=False)
        rows, columns = x.shape[-2:]
        x = functional.pad(x, (0, -columns % STRIDE, 0, -rows % STRIDE), mode="replicate")
        logits = self.net(x.contiguous(memory_format=torch.channels_last)).float()[..., :rows, :columns]
        if scale > 1:
            logits = functional.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
        return logits


def spec(name: str) -> ModelSpec:
    """The baseline called ``name``.

    Raises:
        UserError: There is none; the message offers the nearest abbreviation, found by full names too.
    """
    return MODELS[known_model(name)]


def build(name: str, defect_types: int, pretrained: bool = False, seed: int = 0) -> Segmenter:
    """A fresh baseline with K + 1 output channels.

    Args:
        name: A key of :data:`MODELS`.
        defect_types: K; the background is channel 0.
        pretrained: Start the encoder from ImageNet weights, which are downloaded on first use.
        seed: Fixes the initial weights; torch's global generator is left as it was.

    Raises:
        UserError: The name is unknown, or there are no such weights, or they cannot be fetched.
    """
    model = spec(name)
    if pretrained and not model.pretrained:
        raise UserError(f"model '{name}' has no ImageNet weights: set pretrained to false")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            net = model.make(defect_types + 1, "imagenet" if pretrained else None)
        except OSError as error:
            raise UserError(
                f"model '{name}': the ImageNet weights cannot be fetched ({_first_line(error)}); "
                "go online once, or set pretrained to false"
            ) from error
    return Segmenter(net, model.min_side).to(memory_format=torch.channels_last)


def parameter_count(model: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(math.prod(weight.shape) for weight in model.parameters() if weight.requires_grad)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
