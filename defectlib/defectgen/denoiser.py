"""The two denoisers x_t, t → x_0 and what each output pixel can see of its input (paper §3.4.2).

Both are diffusers U-Nets. The large one has several resolutions, attention and a middle block, so every output sees
the whole image. The small one has neither attention nor a middle block: its receptive field is a property of its
layers, and is asked for in pixels.

The release's nets and ours as the ``gpu`` profile asks for them, in weights and biases, with the channels of the
release's configuration files (9 and 6); tests/defectgen/test_paper_setting.py computes both sides layer by layer:

    ================================  ===========  ===========
    kind of layer                      large net    small net
    ================================  ===========  ===========
    the release                       125,385,481   98,213,382
    lowest resolution, on the way up            0   +6,490,368
    ours                              125,385,481  104,703,750
    ================================  ===========  ===========

At its lowest resolution, diffusers' U-Net joins the last features of the way down to those they are made of, also
where no middle block lies between: the first residual block on the way up takes in twice the channels (a 3×3
convolution, a shortcut and a normalisation the wider). The release's small net does not join them there. The field
of view stays the same. Normalisation groups differ too (8 here, 32 there), which takes no parameters.
"""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin, UNet2DModel
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional

from defectlib.data.encode import IMAGE_CHANNELS
from defectlib.defectgen.diffusion import schedule
from defectlib.settings import LargeNet, Padding, Prediction, SmallNet

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
    """A U-Net whose output is turned into x_0, with an optional folding of pixels into channels around it.

    Args:
        channels: Channels of x.
        widths: Channels per resolution, highest first.
        blocks: Residual blocks per resolution on the way down; one more on the way up.
        attention: Resolutions (0 = highest) with self-attention.
        middle: Whether the lowest resolution has a middle block (with attention).
        fold: Pixel-unshuffle factor; every length inside, and the receptive field, grows by it.
        scale_shift: Whether the timestep scales the features of a residual block as well as shifting them.
        padding: What the 3×3 convolutions see beyond the border.
        prediction: What the U-Net predicts: x_0, or of the image v = √ᾱ_t ε - √(1 - ᾱ_t) x_0 (Salimans & Ho, 2022),
            which keeps grain, and x_0 of the mask, which has none: with v there masks are speckled.
        gray: Whether red, green and blue are one channel three times, in x_t (see :func:`as_gray`) and x_0.
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
        scale_shift: bool = False,
        padding: Padding = "zeros",
        prediction: Prediction = "x0",
        gray: bool = False,
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
            resnet_time_scale_shift="scale_shift" if scale_shift else "default",
            attention_head_dim=16,
            norm_num_groups=8,
            attn_norm_num_groups=8,  # in the middle block too, where diffusers would leave it out with scale_shift
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.padding_mode = padding
        self.register_buffer("alphas_cumprod", schedule().alphas_cumprod.clone(), persistent=False)

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
        output = functional.pixel_shuffle(self.unet(folded, timestep).sample, self.config.fold)
        if self.config.gray:
            image = output[:, :IMAGE_CHANNELS].mean(dim=1, keepdim=True)
            output = as_gray(torch.cat([image, output[:, 1:]], dim=1))
        if self.config.prediction == "x0":
            return output
        signal = self.alphas_cumprod[timestep].view(-1, 1, 1, 1)  # ᾱ_t
        image = signal.sqrt() * x_t[:, :IMAGE_CHANNELS] - (1 - signal).sqrt() * output[:, :IMAGE_CHANNELS]
        return torch.cat([image, output[:, IMAGE_CHANNELS:]], dim=1)


def as_gray(x: torch.Tensor) -> torch.Tensor:
    """``x`` (N, C, H, W) with its first channel in place of all three of the image, noise included."""
    return torch.cat([x[:, :1].expand(-1, IMAGE_CHANNELS, -1, -1), x[:, IMAGE_CHANNELS:]], dim=1)


def large_denoiser(net: LargeNet, channels: int, gray: bool = False) -> Denoiser:
    """The denoiser p_θ, which sees the whole image."""
    return Denoiser(
        channels=channels,
        widths=net.channels,
        blocks=net.blocks,
        attention=net.attention,
        middle=True,
        fold=net.fold,
        scale_shift=net.scale_shift,
        padding=net.padding,
        gray=gray,
    )


def small_denoiser(net: SmallNet, channels: int, gray: bool = False) -> Denoiser:
    """The denoiser p_φ, which sees ``net.receptive_field`` pixels a side."""
    blocks, multipliers = LADDER[net.receptive_field]
    widths = tuple(net.channels * m for m in multipliers)
    return Denoiser(channels, widths, blocks, padding=net.padding, prediction=net.prediction, gray=gray)


def build_denoiser(net: LargeNet | SmallNet, channels: int, seed: int, gray: bool = False) -> Denoiser:
    """A fresh denoiser; the same settings, channels and seed give the same weights."""
    build = large_denoiser if isinstance(net, LargeNet) else small_denoiser
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(net, channels, gray)


def start_from(base: Denoiser, denoiser: Denoiser) -> None:
    """Give ``denoiser`` the weights of a ``base`` that knows one defect type, every type of its own those of that one.

    All types together weigh in the first layer as much as the one did.
    """
    types = denoiser.config.channels - IMAGE_CHANNELS - 1
    weights = base.state_dict()
    with torch.no_grad():
        first = _by_channel(weights["unet.conv_in.weight"].movedim(1, 0), base, types)  # (C, fold², …)
        first[-types:] /= types
        weights["unet.conv_in.weight"] = first.flatten(0, 1).movedim(0, 1)
        for name in ("unet.conv_out.weight", "unet.conv_out.bias"):
            weights[name] = _by_channel(weights[name], base, types).flatten(0, 1)
    denoiser.load_state_dict(weights)


def _by_channel(values: torch.Tensor, base: Denoiser, types: int) -> torch.Tensor:
    """(C·fold², …) of the base as (C', fold², …) with the last channel, its one defect type, ``types`` times."""
    values = values.unflatten(0, (base.config.channels, base.config.fold**2))
    return torch.cat([values[:-1], values[-1:].expand(types, *values.shape[1:])]).clone()
