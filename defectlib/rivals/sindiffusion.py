"""SinDiffusion (Wang et al., 2022): one diffusion model of one image, at one scale, whose net sees patches of it.

Its net is the family that Defect-Gen takes its small one from: a U-Net with no attention and no middle block. So it
needs no code of its own here. It is a small denoiser that is trained on a single image
(:attr:`defectlib.settings.DenoiserTraining.image`) and samples alone.
"""

from __future__ import annotations

import torch

from defectlib.defectgen.denoiser import LADDER, Denoiser
from defectlib.defectgen.diffusion import schedule
from defectlib.device import generator
from defectlib.settings import DenoiserTraining, Synthesis, T

T_RECONSTRUCTED = 500  # as much noise as image: how far a pair is noised, to see whether the net knows it

Row = tuple[str, str, str, str]


def rows(settings: Synthesis) -> tuple[Row, ...]:
    """Of the paper and its authors' code, what is done here, and why where that is less: (what, paper, here, why)."""
    training, size = settings.small, settings.data.size
    net = training.net
    blocks, widths = LADDER[net.receptive_field]
    ours = f"U-Net, width {' '.join(str(net.channels * k) for k in widths)}, residual blocks {blocks}"
    share = "the same share of the image, as near as nets come"
    return (
        ("input", "RGB, 256 px", f"RGB and one-hot mask, {size} px", "pairs are compared"),
        ("scales", "one", "same", ""),
        (
            "network",
            "U-Net, width 64 128 256, residual blocks 1, no attention, no middle block",
            ours,
            "smaller images",
        ),
        ("receptive field", "101 px of 256", f"{net.receptive_field} px of {size}", share),
        *diffusion_rows(settings, training, "50,000 steps, batch 16, learning rate 0.0005, EMA 0.9999", "minutes"),
    )


def diffusion_rows(settings: Synthesis, training: DenoiserTraining, theirs: str, cost: str) -> tuple[Row, ...]:
    """The rows that all diffusion has; ``theirs`` is the paper's training, ``cost`` what ours takes on a CPU."""
    how = f"{training.steps:,} steps, batch {training.batch}, learning rate {training.lr:g}, EMA {training.ema:g}"
    return (
        ("noise", "1,000 timesteps, linear schedule", f"{T:,} timesteps, cosine schedule", "as all diffusion here"),
        ("loss", "squared error of the noise", "squared error of image and mask", "as all diffusion here"),
        ("training", theirs, how, f"{cost} on a CPU"),
        ("sampling", "1,000 calls", f"{settings.num_inference_steps:,} calls ({settings.sampler})", "seconds on a CPU"),
    )


@torch.no_grad()
def reconstruct(denoiser: Denoiser, pair: torch.Tensor) -> torch.Tensor:
    """``pair`` (1, C, H, W) in [-1, 1] as the net tells it, in one call, from what half noise leaves of it."""
    epsilon = torch.randn(pair.shape, generator=generator(0, "reconstruct"))
    x_t = schedule().add_noise(pair, epsilon, torch.tensor([T_RECONSTRUCTED]))
    return denoiser(x_t, T_RECONSTRUCTED)
