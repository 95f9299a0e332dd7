"""ResNet18-PSPNet (Zhao et al. 2017), dilated to stride 8, with the auxiliary head of its paper."""

from __future__ import annotations

import torch
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPDecoder
from segmentation_models_pytorch.encoders import get_encoder
from torch import nn

_CHANNELS = 512
_AUXILIARY_CHANNELS = 64


class PSPNet(nn.Module):
    """Encoder and pyramid pooling of segmentation-models-pytorch, whose own PSPNet ends the encoder after two stages.

    Here all four stages are kept, the last two dilated instead of strided, as in the paper and in mmsegmentation's
    configurations.

    Args:
        outputs: Number of output channels.
        pretrained: Start the encoder from ImageNet weights.
    """

    def __init__(self, outputs: int, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder = get_encoder("resnet18", weights="imagenet" if pretrained else None, output_stride=8)
        self.decoder = PSPDecoder(self.encoder.out_channels, out_channels=_CHANNELS)
        self.classifier = nn.Conv2d(_CHANNELS, outputs, 3, padding=1)
        self.auxiliary = nn.Sequential(
            nn.Conv2d(self.encoder.out_channels[-2], _AUXILIARY_CHANNELS, 3, padding=1, bias=False),
            nn.BatchNorm2d(_AUXILIARY_CHANNELS),
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Conv2d(_AUXILIARY_CHANNELS, outputs, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, outputs, H / 8, W / 8) of normalised images ``x`` (N, 3, H, W), sides multiples of 32."""
        return self.classifier(self.decoder(self.encoder(x)))

    def heads(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The logits of :meth:`forward`, and those of the head on the encoder's third stage."""
        features = self.encoder(x)
        return [self.classifier(self.decoder(features)), self.auxiliary(features[-2])]
