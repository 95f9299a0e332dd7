"""DDPM (Ho et al., 2020): one diffusion model of all training images, whose net sees the whole image.

It is Defect-Gen's large net alone, u = 0, so it needs no code of its own.
"""

from __future__ import annotations

from defectlib.rivals.sindiffusion import Row, diffusion_rows
from defectlib.settings import Synthesis


def rows(settings: Synthesis) -> tuple[Row, ...]:
    """Of the paper, what is done here, and why where that is less: (what, paper, here, why)."""
    net = settings.large.net
    widths = " ".join(map(str, net.channels))
    ours = f"U-Net, width {widths}, residual blocks {net.blocks}, attention at {len(net.attention)} of the resolutions"
    folded = f", pixels folded {net.fold} × {net.fold}" if net.fold > 1 else ""
    return (
        ("input", "RGB, 256 px", f"RGB and one-hot mask, {settings.data.size} px", "pairs are compared"),
        ("scales", "one", "same", ""),
        ("network", "U-Net, 6 resolutions, residual blocks 2, attention at one", ours + folded, "smaller images"),
        ("receptive field", "the whole image", "same", ""),
        *diffusion_rows(
            settings, settings.large, "500,000 steps, batch 64, learning rate 0.00002, EMA 0.9999", "hours"
        ),
    )
