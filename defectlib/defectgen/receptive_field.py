"""What one output pixel sees of the input: by theory, by gradients, in a trained net, and through normalisation.

Group normalisation divides by statistics of the whole image, so a net of convolutions reaches further than its
receptive field. Here both are told apart: with the statistics frozen the field is exactly the one that the layers give
(Luo et al., 2016, measure how much of it a net uses); with live statistics what comes from beyond is the leak.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.upsampling import Upsample2D
from torch import nn

from defectlib.data.encode import encode, stack
from defectlib.data.loading import load_train
from defectlib.defectgen.denoiser import Denoiser, build_denoiser
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.training import load_denoiser
from defectlib.device import configure, generator
from defectlib.settings import RECEPTIVE_FIELDS, ReceptiveField, SmallNet, T
from defectlib.store import write_atomically

HELD = 0.95  # share of the gradient that the effective field holds


def run(settings: ReceptiveField, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: ``receptive_field.json`` with the measures, ``effective.npy`` with the maps of :func:`measure`."""
    denoiser = load_denoiser(inputs["denoiser"]).to(configure(settings.device)).requires_grad_(False)
    samples = load_train(settings.denoiser.data)
    chosen = np.linspace(0, len(samples) - 1, min(settings.images, len(samples))).astype(int)
    x_0 = encode(*stack([samples[i] for i in chosen]), len(samples[0].classes)).to(denoiser.device)
    measures, maps = measure(denoiser, x_0, settings.timesteps, settings.seed)
    np.save(out / "effective.npy", maps)
    write_atomically(out / "receptive_field.json", json.dumps(measures, indent=1))


def measure(denoiser: Denoiser, x_0: torch.Tensor, timesteps: Sequence[int], seed: int = 0) -> tuple[dict, np.ndarray]:
    """Everything about the field of one net, at the pixel in the middle of the image.

    Args:
        x_0: float (N, C, H, H), at least two different images; they are taken to each t with noise from ``seed``.
        timesteps: t at which the trained net is looked at.
        seed: Of the noise.

    Returns:
        Measures: ``theory``, pixels a side, None where it is the whole image; ``measured`` (height, width), the box of
        all pixels with a gradient, on a canvas that has room for it; ``reach``, distance in pixels from the middle to
        the farthest of them; ``side`` of the image; ``timesteps``; ``effective`` (T,), side of the square that holds
        95 % of the gradient, and ``effective_mean`` of the mean map; ``distances`` (D,); ``live`` and ``frozen``
        (T, D), see :func:`influence`; ``leak`` (T,), live influence from beyond the reach.
        And maps float32 (T, H, H): see :func:`effective_field`, each of sum 1.
    """
    side, theory = x_0.shape[-1], theoretical_field(denoiser)
    rows, columns = np.nonzero(gradient_support(denoiser, _canvas(denoiser, theory, side)))
    middle = _canvas(denoiser, theory, side) // 2
    reach = int(max(middle - min(rows.min(), columns.min()), max(rows.max(), columns.max()) - middle))
    distances = sorted({*range(0, side // 2, max(1, side // 16)), *({reach} if reach < side // 2 else ())})
    maps, live, frozen = [], [], []
    for t in timesteps:
        epsilon = torch.randn(x_0.shape, generator=generator(seed, "noise", t)).to(x_0.device)
        x_t = schedule().add_noise(x_0, epsilon, torch.tensor([t], device=x_0.device))
        maps.append(effective_field(denoiser, x_t, t))
        live.append(influence(denoiser, x_t, t, distances))
        frozen.append(influence(denoiser, x_t, t, distances, frozen=True))
    beyond = distances.index(reach) if reach in distances else None
    measures = {
        "theory": None if np.isinf(theory) else int(theory),
        "measured": [int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1],
        "reach": reach,
        "side": side,
        "timesteps": list(timesteps),
        "effective": [side_holding(one) for one in maps],
        "effective_mean": side_holding(np.mean(maps, axis=0)),
        "distances": distances,
        "live": live,
        "frozen": frozen,
        "leak": None if beyond is None else [row[beyond] for row in live],
    }
    return measures, np.stack(maps)


# Theory -------------------------------------------------------------------------------------------------------------


def theoretical_field(denoiser: Denoiser) -> float:
    """Receptive field in pixels a side, from the layers that a call goes through; infinite with attention."""
    called: list[nn.Module] = []
    layers = [module for module in denoiser.modules() if isinstance(module, nn.Conv2d | Upsample2D | Attention)]
    hooks = [layer.register_forward_pre_hook(lambda layer, _: called.append(layer)) for layer in layers]
    side = 2 * denoiser.multiple  # group normalisation refuses a single value
    try:
        with torch.no_grad():
            denoiser(torch.zeros(1, denoiser.config.channels, side, side, device=denoiser.device), 0)
    finally:
        for hook in hooks:
            hook.remove()
    return chain_field(called, denoiser.config.fold)


def chain_field(layers: Sequence[nn.Module], fold: int = 1) -> float:
    """Receptive field, in pixels a side, of layers called one after the other on pixels folded ``fold`` × ``fold``.

    A convolution of kernel k whose input has one value every s pixels adds (k - 1) s (Araujo et al., 2019). Layers
    beside the chain (1×1 shortcuts, skips) see less than it does and add nothing. Group normalisation is left out.
    """
    field = spacing = float(fold)
    for layer in layers:
        if isinstance(layer, Attention):
            return float("inf")
        if isinstance(layer, Upsample2D):
            spacing /= 2
        elif isinstance(layer, nn.Conv2d):
            field += (layer.kernel_size[0] - 1) * layer.dilation[0] * spacing
            spacing *= layer.stride[0]
    return field


def ladder() -> dict[int, tuple[int, int]]:
    """Of every small net, by the size it is asked for: the field by its layers and by its gradients, pixels a side.

    Neither depends on the number of channels, so the nets are narrow and fresh.
    """
    sizes = {}
    for size in RECEPTIVE_FIELDS:
        denoiser = build_denoiser(SmallNet(receptive_field=size, channels=8), channels=4, seed=0).eval()
        theory = int(theoretical_field(denoiser))
        rows, _ = np.nonzero(gradient_support(denoiser, _canvas(denoiser, theory, size)))
        sizes[size] = theory, int(np.ptp(rows)) + 1
    return sizes


# Measurement --------------------------------------------------------------------------------------------------------


@contextmanager
def frozen_statistics(denoiser: nn.Module, x_t: torch.Tensor, t: int) -> Iterator[None]:
    """Within it, every group normalisation is the affine map that it was for ``x_t`` at ``t``, whatever it is given.

    Mean and variance are those of ``x_t``, sample by sample, so the net gives the same output for ``x_t`` itself.
    """
    seen: dict[nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}

    def freeze(norm: nn.GroupNorm, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> torch.Tensor | None:
        grouped = inputs[0].reshape(len(inputs[0]), norm.num_groups, -1)
        if norm not in seen:
            variance, mean = torch.var_mean(grouped.detach(), dim=2, keepdim=True, correction=0)
            seen[norm] = mean, (variance + norm.eps).rsqrt()
        mean, scale = seen[norm]
        channel = (1, -1, *[1] * (inputs[0].dim() - 2))
        return ((grouped - mean) * scale).reshape_as(inputs[0]) * norm.weight.view(channel) + norm.bias.view(channel)

    norms = [module for module in denoiser.modules() if isinstance(module, nn.GroupNorm)]
    hooks = [norm.register_forward_hook(freeze) for norm in norms]
    try:
        with torch.no_grad():
            denoiser(x_t, t)
        yield
    finally:
        for hook in hooks:
            hook.remove()


def gradient_support(denoiser: Denoiser, side: int, t: int = T // 2) -> np.ndarray:
    """Which input pixels, bool (side, side), the output pixel in the middle depends on, with statistics frozen.

    The input is noise; a gradient may cancel between channels only by chance of no measure.
    """
    noise = torch.randn(1, denoiser.config.channels, side, side, generator=generator(0, "support"))
    x_t = noise.to(denoiser.device).requires_grad_()
    with frozen_statistics(denoiser, x_t, t):
        (gradient,) = torch.autograd.grad(denoiser(x_t, t)[0, :, side // 2, side // 2].sum(), x_t)
    return (gradient[0] != 0).any(dim=0).cpu().numpy()


def effective_field(denoiser: Denoiser, x_t: torch.Tensor, t: int) -> np.ndarray:
    """How much the output in the middle depends on each input pixel: float32 (H, W) of sum 1.

    The absolute derivative of every output channel by every input channel, with statistics frozen, summed over
    channels and images.

    Args:
        x_t: float (N, C, H, W).
        t: Its timestep.
    """
    x_t = x_t.detach().requires_grad_()
    total = torch.zeros(x_t.shape[-2:], device=x_t.device)
    with frozen_statistics(denoiser, x_t, t):
        middle = _middle(denoiser(x_t, t))
        for channel in middle.unbind(dim=1):
            (gradient,) = torch.autograd.grad(channel.sum(), x_t, retain_graph=True)
            total += gradient.abs().sum(dim=(0, 1))
    return (total / total.sum()).cpu().numpy()


def side_holding(field: np.ndarray, share: float = HELD) -> int:
    """Side in pixels, odd, of the smallest square around the middle that holds ``share`` of ``field`` (H, W)."""
    distance = _distance(*field.shape)
    held = np.bincount(distance.ravel(), weights=field.ravel().astype(np.float64)).cumsum()
    return 2 * int(np.searchsorted(held, share * held[-1])) + 1


@torch.no_grad()
def influence(
    denoiser: Denoiser, x_t: torch.Tensor, t: int, distances: Sequence[int], frozen: bool = False
) -> list[float]:
    """How much the output in the middle changes when everything beyond a distance becomes part of another image.

    What lies further than d from the middle (the larger of rows and columns) is taken from the next image of the
    batch. The root-mean-square change is given relative to the one when the whole input is exchanged, statistics live.

    Args:
        x_t: float (N, C, H, W), at least two different images.
        t: Its timestep.
        distances: Values of d in pixels.
        frozen: Whether normalisation keeps the statistics of ``x_t``.
    """
    other, before = x_t.roll(1, dims=0), _middle(denoiser(x_t, t))
    whole = _rms(before.roll(1, dims=0) - before)
    distance = torch.from_numpy(_distance(*x_t.shape[-2:])).to(x_t.device)
    with frozen_statistics(denoiser, x_t, t) if frozen else torch.no_grad():
        before = _middle(denoiser(x_t, t))
        changed = [_middle(denoiser(torch.where(distance > d, other, x_t), t)) for d in distances]
    return [_rms(after - before) / whole for after in changed]


def _canvas(denoiser: Denoiser, theory: float, side: int) -> int:
    """A side with room for the whole field, its place in the lattice of the lowest resolution, and the padding."""
    return side if np.isinf(theory) else denoiser.multiple * (int(theory) // denoiser.multiple + 4)


def _middle(x: torch.Tensor) -> torch.Tensor:
    return x[:, :, x.shape[-2] // 2, x.shape[-1] // 2]


def _distance(height: int, width: int) -> np.ndarray:
    rows, columns = np.abs(np.arange(height) - height // 2), np.abs(np.arange(width) - width // 2)
    return np.maximum(rows[:, None], columns[None])


def _rms(x: torch.Tensor) -> float:
    return float(x.double().square().mean().sqrt())
