"""The two denoisers x_t, t → x_0 and what each output pixel can see of its input (paper §3.4.2).

Both are diffusers U-Nets. The large one has several resolutions, attention and a middle block, so every output sees
the whole image. The small one has neither attention nor a middle block: its receptive field is a property of its
layers, and is asked for in pixels.
"""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin, UNet2DModel
from diffusers.configuration_utils import register_to_config
from torch.nn import functional

from defectlib.config import LargeNet, SmallNet

#: Receptive field in pixels → (residual blocks per resolution, width multiplier of each resolution).
#: A residual block has two 3×3 convolutions. The release's small net is the first row.
LADDER: dict[int, tuple[int, tuple[int, ...]]] = {
    157: (2, (1, 2, 4)),
    101: (1, (1, 2, 4)),
    69: (2, (1, 2)),
    45: (1, (1, 2)),
    25: (2, (1,)),
    17: (1, (1,)),
    9: (0, (1,)),
}


class Denoiser(ModelMixin, ConfigMixin):
    """A U-Net that predicts x_0, with an optional folding of pixels into channels around it.

    Args:
        channels: Channels of x.
        widths: Channels per resolution, highest first.
        blocks: Residual blocks per resolution on the way down; one more on the way up.
        attention: Resolutions (0 = highest) with self-attention.
        middle: Whether the lowest resolution has a middle block (with attention).
        fold: Pixel-unshuffle factor; every length inside, and the receptive field, grows by it.
    """

    @register_to_config
    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...],
        blocks: int,
        attention: tuple[int, ...] = (),
        middle: bool = False,
        fold: int = 1,
    ) -> None:
        super().__init__()
        levels = range(len(widths))
        self.unet = UNet2DModel(
            in_channels=channels * fold**2,
            out_channels=channels * fold**2,
            layers_per_block=blocks,
            block_out_channels=tuple(widths),
            down_block_types=tuple("AttnDownBlock2D" if i in attention else "DownBlock2D" for i in levels),
            up_block_types=tuple("AttnUpBlock2D" if i in attention else "UpBlock2D" for i in reversed(levels)),
            mid_block_type="UNetMidBlock2D" if middle else None,
            attention_head_dim=16,
            norm_num_groups=8,
        )

    @property
    def multiple(self) -> int:
        """Image sides must be multiples of this many pixels."""
        return self.config.fold * 2 ** (len(self.config.widths) - 1)

    def forward(self, x_t: torch.Tensor, timestep: torch.Tensor | int) -> torch.Tensor:
        """The prediction of x_0.

        Args:
            x_t: float (N, C, H, W), sides multiples of :attr:`multiple`.
            timestep: t in [0, T), one for all or one each (N,).

        Returns:
            float (N, C, H, W).
        """
        folded = functional.pixel_unshuffle(x_t, self.config.fold)  # (N, C·fold², H/fold, W/fold)
        return functional.pixel_shuffle(self.unet(folded, timestep).sample, self.config.fold)


def receptive_field(denoiser: Denoiser) -> float:
    """Theoretical receptive field in pixels a side; infinite with attention or a middle block, which see everything.

    A 3×3 convolution that works at scale s (in input pixels) adds 2s. Group normalisation is left out: its statistics
    reach further, but carry no position.
    """
    if denoiser.config.middle or denoiser.config.attention:
        return float("inf")
    blocks, levels = denoiser.config.blocks, len(denoiser.config.widths)
    # Two convolutions in each of `blocks` residual blocks down and `blocks + 1` up, and the input and output layers.
    convolutions = [2 * (2 * blocks + 1) for _ in range(levels)]
    convolutions[0] += 2
    # A down-sampling convolution reads at the finer scale; the one after up-sampling does too.
    for level in range(levels - 1):
        convolutions[level] += 2
    return denoiser.config.fold * (1 + sum(2 * n * 2**level for level, n in enumerate(convolutions)))


def large_denoiser(net: LargeNet, channels: int) -> Denoiser:
    """The denoiser p_θ, which sees the whole image."""
    return Denoiser(
        channels=channels,
        widths=net.channels,
        blocks=net.blocks,
        attention=net.attention,
        middle=True,
        fold=net.fold,
    )


def small_denoiser(net: SmallNet, channels: int) -> Denoiser:
    """The denoiser p_φ, which sees ``net.receptive_field`` pixels a side."""
    blocks, multipliers = LADDER[net.receptive_field]
    return Denoiser(channels=channels, widths=tuple(net.channels * m for m in multipliers), blocks=blocks)


def build_denoiser(net: LargeNet | SmallNet, channels: int, seed: int) -> Denoiser:
    """A fresh denoiser; the same settings, channels and seed give the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return large_denoiser(net, channels) if isinstance(net, LargeNet) else small_denoiser(net, channels)
