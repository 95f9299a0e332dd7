"""The segmentation baselines of the paper (§4.1, Table 2), by the paper's abbreviations.

Every network is wrapped into a :class:`Segmenter`: raw pixels in, logits of the same height and width out, whatever
the size. A new baseline is one entry of :data:`MODELS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import segmentation_models_pytorch as smp
import torch
from torch import nn
from torch.nn import functional

from defectlib.errors import UserError
from defectlib.segmentation.bisenet import BiSeNetV2
from defectlib.segmentation.hrnet import HRNet
from defectlib.segmentation.mask2former import Mask2Former, Queries
from defectlib.segmentation.mask_transformer import ViTSegmenter
from defectlib.segmentation.pspnet import PSPNet
from defectlib.segmentation.unet import UNet
from defectlib.settings import MODEL_NAMES, PRETRAINABLE, known_model

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
        family: What Fig. 8 compares.
        make: Builds the bare network from the number of output channels and whether its encoder starts from ImageNet.
        min_side: Pixels. Smaller inputs are enlarged bilinearly until their shorter side has this length, and the
            logits are brought back. A network whose finest output has stride 4, 8 or 16 cannot see a scratch one
            pixel wide in an image of 64 px; in the paper's images, of several hundred pixels, it can.
        auxiliary: Weight of the loss of each head that serves training alone.
    """

    name: str
    family: Literal["CNN", "Transformer"]
    make: Callable[[int, bool], nn.Module]
    min_side: int = STRIDE
    auxiliary: float = 0.0

    @property
    def title(self) -> str:
        """The paper's full name."""
        return MODEL_NAMES[self.name]


def _unet(outputs: int, pretrained: bool) -> nn.Module:
    return UNet(outputs)


def _deeplab(outputs: int, pretrained: bool) -> nn.Module:
    return smp.DeepLabV3Plus("resnet18", encoder_weights="imagenet" if pretrained else None, classes=outputs)


def _bisenet(outputs: int, pretrained: bool) -> nn.Module:
    return BiSeNetV2(outputs)


def _segformer(outputs: int, pretrained: bool) -> nn.Module:
    return smp.Segformer("mit_b0", encoder_weights="imagenet" if pretrained else None, classes=outputs)


_SPECS = (
    ModelSpec("UNet", "CNN", _unet),
    ModelSpec("PSP", "CNN", PSPNet, min_side=128, auxiliary=0.4),
    ModelSpec("DL", "CNN", _deeplab, min_side=128),
    ModelSpec("HR", "CNN", HRNet, min_side=128),
    ModelSpec("Bise", "CNN", _bisenet, min_side=128, auxiliary=1.0),
    ModelSpec("V-T", "Transformer", ViTSegmenter, min_side=256),
    ModelSpec("M-B0", "Transformer", _segformer, min_side=128),
    ModelSpec("M2F", "Transformer", Mask2Former, min_side=96),
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
        x, sides = self._shown(images)
        return _brought_back(self.net(x), x, sides, images)

    def heads(self, images: torch.Tensor) -> list[torch.Tensor] | list[Queries]:
        """What the loss is of: the logits of :meth:`forward`, then those of heads that serve training alone.

        Of :class:`~defectlib.segmentation.mask2former.Mask2Former`: what its queries say, layer by layer.
        """
        x, sides = self._shown(images)
        found = self.net.heads(x) if hasattr(self.net, "heads") else [self.net(x)]
        return [
            head.over_image(x, sides) if isinstance(head, Queries) else _brought_back(head, x, sides, images)
            for head in found
        ]

    def _shown(self, images: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """What the network is shown (N, 3, H', W'), and the height and width of it that are image, not padding."""
        height, width = images.shape[-2:]
        x = (images.float() - self.mean) / self.std
        scale = self.min_side / min(height, width)
        if scale > 1:
            sides = (round(height * scale), round(width * scale))
            x = functional.interpolate(x, size=sides, mode="bilinear", align_corners=False)
        rows, columns = x.shape[-2:]
        x = functional.pad(x, (0, -columns % STRIDE, 0, -rows % STRIDE), mode="replicate")
        return x.contiguous(memory_format=torch.channels_last), (rows, columns)


def _brought_back(logits: torch.Tensor, x: torch.Tensor, sides: tuple[int, int], images: torch.Tensor) -> torch.Tensor:
    """Logits of what the network was shown, at whatever stride, as float32 logits of the images."""
    logits = _resized(logits.float(), x.shape[-2:])[..., : sides[0], : sides[1]]
    return _resized(logits, images.shape[-2:])


def _resized(logits: torch.Tensor, sides: torch.Size) -> torch.Tensor:
    if logits.shape[-2:] == sides:
        return logits
    return functional.interpolate(logits, size=tuple(sides), mode="bilinear", align_corners=False)


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
    if pretrained and name not in PRETRAINABLE:
        raise UserError(f"model '{name}' has no ImageNet weights: set pretrained to false")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            net = model.make(defect_types + 1, pretrained)
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
