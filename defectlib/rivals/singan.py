"""SinGAN (Rott Shaham, Dekel, Michaeli, ICCV 2019): a pyramid of patch GANs that learns from a single image–mask pair.

Scale 0 is the coarsest here (the paper counts the other way). From its noise z_n scale n makes (§2.1, eq. 1–3)

    x_0 = G_0(σ_0 z_0),    x_n = up(x_{n-1}) + G_n(σ_n z_n + up(x_{n-1})).

Each is trained when those below it are done and stand still, on the WGAN-GP loss over patches and on the
reconstruction of the training pair from the noise (z*, 0, …, 0) (§2.2, eq. 4–6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from defectlib.device import configure, generator
from defectlib.rivals.adversarial import descend, initialise, optimise, reason, seen
from defectlib.settings import RivalTraining

LAYERS = 5  # convolutions of 3 × 3 in a generator or critic: a receptive field of 11 pixels of its scale
FACTOR = 3 / 4  # between the sides of two scales, about
COARSEST = 25  # pixels a side of scale 0
WIDEN_EVERY, WIDEST = 4, 128  # scales after which layers are twice as wide, and how wide they get
INNER = 3  # steps of the critic, then as many of the generator, per training step
PENALTY = 0.1  # λ of the gradient penalty
RECONSTRUCTION = 10.0  # α
AMPLITUDE = 0.1  # σ_n as a share of the reconstruction's RMSE below
RATE = 5e-4  # learning rate of the release
DECAY_AT, DECAY = 0.8, 0.1  # share of a scale's steps after which the learning rate falls, and to what


def scales(size: int) -> list[int]:
    """Pixels a side of each scale, coarsest first, the last ``size``; by a factor as near 3/4 as fits (paper §2.2)."""
    steps = max(1, round(math.log(COARSEST / size, FACTOR))) if size > COARSEST else 0
    return [round(size * (COARSEST / size) ** (1 - n / steps)) for n in range(steps)] + [size]


class SinGAN(nn.Module):
    """The generators and critics of all scales, and what their noise is.

    Attributes:
        sides: Pixels a side of each scale, coarsest first.
        fixed_noise: z* (1, C, H_0, H_0).
        amplitudes: σ (scales,).
    """

    def __init__(self, channels: int, size: int, width: int, draw: torch.Generator) -> None:
        super().__init__()
        self.sides = scales(size)
        widths = [min(width * 2 ** (n // WIDEN_EVERY), WIDEST) for n in range(len(self.sides))]
        self.generators = nn.ModuleList(patch_network(channels, wide, channels) for wide in widths)
        self.critics = nn.ModuleList(patch_network(channels, wide, 1) for wide in widths)
        self.register_buffer("fixed_noise", torch.randn(1, channels, *[self.sides[0]] * 2, generator=draw))
        self.register_buffer("amplitudes", torch.ones(len(self.sides)))

    def forward(self, noises: Sequence[torch.Tensor]) -> torch.Tensor:
        """x_n (1, C, H_n, H_n) from (z_0, …, z_n); gradients reach G_n alone."""
        return self.refine(noises[-1], self.below(noises[:-1]))

    @torch.no_grad()
    def below(self, noises: Sequence[torch.Tensor]) -> torch.Tensor:
        """What the scale after those of ``noises`` adds to: up(x_{n-1}) (1, C, H_n, H_n), zeros at scale 0."""
        if not noises:
            return torch.zeros_like(self.fixed_noise)
        return functional.interpolate(self(noises), size=(self.sides[len(noises)],) * 2, mode="bicubic")

    def refine(self, noise: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        """x_n from z_n and :meth:`below`, all (1, C, H_n, H_n)."""
        n = self.sides.index(noise.shape[-1])
        # Zeros stand around the whole input and none come in between the layers, as in the release.
        padded = functional.pad(self.amplitudes[n] * noise + below, (LAYERS,) * 4)
        return below + self.generators[n](padded).tanh()

    def draw(self, draw: torch.Generator, scale: int) -> list[torch.Tensor]:
        """Noise (z_0, …) up to ``scale``."""
        channels = self.fixed_noise.shape[1]
        noises = (torch.randn(1, channels, side, side, generator=draw) for side in self.sides[: scale + 1])
        return [noise.to(self.fixed_noise.device) for noise in noises]

    def fixed(self, scale: int) -> list[torch.Tensor]:
        """The noise that the training pair is reconstructed from, (z*, 0, …) up to ``scale``."""
        shape = self.fixed_noise.shape[:2]
        above = (self.fixed_noise.new_zeros(*shape, side, side) for side in self.sides[1 : scale + 1])
        return [self.fixed_noise, *above]


def rows(settings: RivalTraining, size: int) -> tuple[tuple[str, str, str, str], ...]:
    """Of the paper and its authors' code, what is done here, and why where that is less: (what, paper, here, why)."""
    sides = scales(size)
    factor = f"{(sides[0] / sides[-1]) ** (1 / max(1, len(sides) - 1)):.2f}"
    training = f"{settings.steps:,} steps per scale, learning rate {settings.lr:g}, a tenth of it for the last fifth"
    return (
        ("input", "RGB, 250 px at most", f"RGB and one-hot mask, {size} px", "pairs are compared"),
        ("scales", "9 at 250 px, factor 0.75, from 25 px", f"{len(sides)}, factor {factor}, from {sides[0]} px", ""),
        ("networks", "5 convolutions of 3 × 3", "same", ""),
        ("receptive field", "11 px of each scale", "same", ""),
        ("normalisation", "batch; of running averages once trained", "of each image, always", "samples are as trained"),
        ("width", "32, doubled every 4 scales", f"{settings.channels}, by the same rule", ""),
        ("adversarial loss", "WGAN-GP over patches, λ = 0.1", "same", ""),
        ("reconstruction loss", "squared error, α = 10", "same", ""),
        ("noise amplitude", "0.1 of the reconstruction's error below", "same", ""),
        ("updates per step", "3 of the critic, 3 of the generator", "same", ""),
        ("training", f"2,000 steps per scale, learning rate {RATE:g}, likewise", training, reason(settings.lr, RATE)),
    )


def build(settings: RivalTraining, channels: int, size: int) -> SinGAN:
    """Fresh networks for pairs of ``channels`` channels and ``size`` pixels a side."""
    module = SinGAN(channels, size, settings.channels, generator(settings.seed, "fixed noise"))
    initialise(module, settings.seed)
    return module


def train(
    module: SinGAN, settings: RivalTraining, x: torch.Tensor, good: torch.Tensor | None, unfinished: Path
) -> list[dict[str, float]]:
    """Train ``module`` on pair number ``settings.image`` of ``x``, going on from the checkpoint in ``unfinished``.

    Args:
        x: float (N, C, H, H) in [-1, 1].
        good: Not needed.

    Returns:
        The loss curve: ``step`` over all scales, ``scale``, ``loss_critic`` without its penalty, ``loss_penalty``,
        ``loss_adversarial`` and ``loss_reconstruction`` (the mean squared error).

    Raises:
        UserError: There is no such pair.
    """
    pair = seen(settings, x)
    device = configure(settings.device)
    training = _Training(module.to(device), settings, pair.to(device))
    total = settings.steps * len(module.sides)
    return optimise(module, settings, total, training.step, training.rate, unfinished)


@torch.no_grad()
def sample(
    module: SinGAN, settings: RivalTraining, generators: list[torch.Generator], good: torch.Tensor | None = None
) -> torch.Tensor:
    """One pair per generator, from noise at all scales; pair k depends on ``generators[k]`` alone.

    Returns:
        float (n, C, H, H) in [-1, 1].
    """
    top = len(module.sides) - 1
    return torch.cat([module(module.draw(draw, top)) for draw in generators]).clamp(-1, 1)


@torch.no_grad()
def reconstruct(module: SinGAN) -> torch.Tensor:
    """The training pair (1, C, H, H) in [-1, 1], as it comes from (z*, 0, …, 0)."""
    return module(module.fixed(len(module.sides) - 1)).clamp(-1, 1)


# Parts --------------------------------------------------------------------------------------------------------------


def patch_network(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Five unpadded 3 × 3 convolutions, all but the last with normalisation and LeakyReLU (§2.1).

    The paper's is batch normalisation, over a batch of one image: each is normalised by itself.
    """
    layers: list[nn.Module] = []
    for k in range(LAYERS - 1):
        layers += [
            nn.Conv2d(width if k else inputs, width, 3, bias=False),
            nn.InstanceNorm2d(width, affine=True),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers, nn.Conv2d(width, outputs, 3))


def gradient_penalty(critic: nn.Module, real: torch.Tensor, fake: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """λ (‖∇ Σ critic(x)‖ − 1)² at a random point between ``real`` and ``fake`` (Gulrajani et al., 2017).

    The norm is taken over the channels of each pixel, and the square averaged over pixels, as the release does: so it
    means the same at every scale.
    """
    mix = torch.rand(len(real), 1, 1, 1, generator=draw).to(real.device)
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return PENALTY * (gradient.norm(dim=1) - 1).square().mean()


class _Training:
    """The steps of all scales, one scale after the other."""

    def __init__(self, module: SinGAN, settings: RivalTraining, pair: torch.Tensor) -> None:
        self.module, self.settings = module, settings
        self.pyramid = [
            functional.interpolate(pair, size=(side, side), mode="bicubic", antialias=True).clamp(-1, 1)
            for side in module.sides
        ]
        self.scale = -1

    def rate(self, step: int) -> float:
        return DECAY if step % self.settings.steps >= DECAY_AT * self.settings.steps else 1.0

    def step(self, optimizer: torch.optim.Adam, step: int) -> dict[str, torch.Tensor]:
        scale, since = divmod(step, self.settings.steps)
        if scale != self.scale:
            self._enter(scale, fresh=since == 0)
        draw = generator(self.settings.seed, "noise", step)
        for _ in range(INNER):
            noise, below, losses = self._critic_step(optimizer, draw)
        for _ in range(INNER):
            losses |= self._generator_step(optimizer, noise, below)
        return {"scale": torch.tensor(scale)} | losses

    def _enter(self, scale: int, fresh: bool) -> None:
        """Turn to a scale; when ``fresh``, with the weights of the one below and the noise that its error calls for."""
        module, self.scale = self.module, scale
        self.network, self.critic = module.generators[scale], module.critics[scale]
        self.real, self.fixed_noise = self.pyramid[scale], module.fixed(scale)[-1]
        self.fixed_below = module.below(module.fixed(scale)[:-1])
        if fresh and scale > 0:
            module.amplitudes[scale] = AMPLITUDE * functional.mse_loss(self.fixed_below, self.real).sqrt()
            for nets in (module.generators, module.critics):
                if nets[scale][0].weight.shape == nets[scale - 1][0].weight.shape:
                    nets[scale].load_state_dict(nets[scale - 1].state_dict())

    def _critic_step(
        self, optimizer: torch.optim.Adam, draw: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        *noises, noise = self.module.draw(draw, self.scale)
        below = self.module.below(noises)
        with torch.no_grad():
            fake = self.module.refine(noise, below)
        loss = self.critic(fake).mean() - self.critic(self.real).mean()
        penalty = gradient_penalty(self.critic, self.real, fake, draw)
        descend(optimizer, loss + penalty, self.critic.parameters())
        return noise, below, {"loss_critic": loss.detach(), "loss_penalty": penalty.detach()}

    def _generator_step(
        self, optimizer: torch.optim.Adam, noise: torch.Tensor, below: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        adversarial = -self.critic(self.module.refine(noise, below)).mean()
        again = self.module.refine(self.fixed_noise, self.fixed_below)
        error = functional.mse_loss(again, self.real)
        descend(optimizer, adversarial + RECONSTRUCTION * error, self.network.parameters())
        return {"loss_adversarial": adversarial.detach(), "loss_reconstruction": error.detach()}
