"""Figure 3 where densities can be computed: what a DDPM makes of a few numbers drawn from a known distribution.

In one dimension the deterministic reverse process (DDIM, η = 0, every one of the T timesteps) carries the line of noise
to the line of samples. The normal mass between two points of noise lies, afterwards, between their images: so the
density of the samples is known without drawing one, up to the spacing of the points.

A finite set of points is a mixture of Gaussians without width. So the best denoiser of a training set, which is a
softmax over its points, and the best denoiser of the true distribution are one formula (:meth:`Mixture.denoise`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from diffusers.models.embeddings import get_timestep_embedding
from torch import nn

from defectlib import runtime
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.training import learning_rate_factor
from defectlib.device import generator
from defectlib.settings import Density, T
from defectlib.store import write_atomically

#: x_t of float64 (N,) and t to the prediction of x_0, (N,).
Denoise = Callable[[torch.Tensor, int], torch.Tensor]

#: Standard deviation of the Gaussian that every density is seen through, as points have none.
RESOLUTION = 0.04
RADIUS = 0.1  # what counts as close to a training point
SPAN = 3.5  # densities are given on [-SPAN, SPAN]
_PLACES = 1201
_EDGES, _FARTHEST = 2001, 6.0  # points of noise, and how far out they lie
_NARROWEST = 1e-6  # what a piece that fell into one point is widened to
_BATCH, _RATE, _WIDTH, _EMBEDDING = 1024, 3e-3, 96, 16
_DEVIATION = 1.0  # of the data, roughly
_FREQUENCIES = (3.0, 6.0, 12.0, 24.0, 48.0)  # of waves over x_t that the small net sees


@dataclass(frozen=True)
class Mixture:
    """A mixture of K Gaussians on the line.

    Args:
        weights: (K,) of sum 1.
        means: (K,).
        deviations: (K,); zeros for a set of points.
    """

    weights: torch.Tensor
    means: torch.Tensor
    deviations: torch.Tensor

    def density(self, x: torch.Tensor) -> torch.Tensor:
        """At each of ``x`` (N,)."""
        return self._log_parts(x, self.means, self.deviations**2).exp().sum(dim=1)

    def cumulative(self, x: torch.Tensor) -> torch.Tensor:
        """The mass below each of ``x`` (N,)."""
        return torch.special.ndtr((x[:, None] - self.means) / self.deviations) @ self.weights

    def blurred(self, deviation: float) -> Mixture:
        """Seen through a Gaussian of this standard deviation."""
        return Mixture(self.weights, self.means, (self.deviations**2 + deviation**2).sqrt())

    def draw(self, count: int, draws: torch.Generator) -> torch.Tensor:
        """Samples (count,)."""
        k = torch.multinomial(self.weights, count, replacement=True, generator=draws)
        noise = torch.randn(count, generator=draws, dtype=torch.float64)
        return self.means[k] + self.deviations[k] * noise

    def denoise(self, x_t: torch.Tensor, t: int) -> torch.Tensor:
        """E[x_0 | x_t], which no denoiser can do better than in the mean square; of points, a softmax over them."""
        signal, noise = _levels()[t]
        variances = (signal * self.deviations) ** 2 + noise**2
        share = self._log_parts(x_t, signal * self.means, variances).softmax(dim=1)
        means = self.means + signal * self.deviations**2 / variances * (x_t[:, None] - signal * self.means)
        return (share * means).sum(dim=1)

    def _log_parts(self, x: torch.Tensor, means: torch.Tensor, variances: torch.Tensor) -> torch.Tensor:
        """Logarithm of each component's weighted density (N, K)."""
        squared = (x[:, None] - means) ** 2 / variances
        return self.weights.log() - 0.5 * (squared + (2 * math.pi * variances).log())


#: The true distribution of Figure 3: two modes, one broad and one narrow.
TRUTH = Mixture(*torch.tensor([[0.6, 0.4], [-0.8, 1.1], [0.6, 0.3]], dtype=torch.float64))


def points(values: torch.Tensor) -> Mixture:
    """The empirical distribution of ``values`` (K,)."""
    return Mixture(torch.full_like(values, 1 / len(values)), values, torch.zeros_like(values))


class PointDenoiser(nn.Module):
    """A small multilayer perceptron x_t, t → x_0 on the line.

    As in Karras et al. 2022 ("Elucidating the Design Space", §5) it learns what to add to the best linear prediction,
    in the units in which that is wrong. The loss stays the mean squared error on x_0; without this, the little that is
    left to predict at low noise would be lost in the rounding of a large output.
    """

    def __init__(self) -> None:
        super().__init__()
        sizes = (1 + 2 * len(_FREQUENCIES) + _EMBEDDING, _WIDTH, _WIDTH, _WIDTH)
        layers = [(nn.Linear(i, o), nn.SiLU()) for i, o in pairwise(sizes)]
        self.layers = nn.Sequential(*(part for layer in layers for part in layer), nn.Linear(_WIDTH, 1))
        self.register_buffer("signal_and_noise", torch.tensor(_levels(), dtype=torch.float32))

    def forward(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The prediction of x_0 (N,) from x_t (N,) at t (N,)."""
        signal, noise = self.signal_and_noise[t].unbind(dim=1)
        deviation = ((signal * _DEVIATION) ** 2 + noise**2).sqrt()
        phases = x_t[:, None] * torch.tensor(_FREQUENCIES)
        seen = [(x_t / deviation)[:, None], phases.sin(), phases.cos(), get_timestep_embedding(t, _EMBEDDING)]
        linear = signal * _DEVIATION**2 / deviation**2 * x_t
        return linear + noise * _DEVIATION / deviation * self.layers(torch.cat(seen, dim=1))[:, 0]

    @torch.no_grad()
    def denoise(self, x_t: torch.Tensor, t: int) -> torch.Tensor:
        """The same as :data:`Denoise`."""
        return self(x_t.float(), torch.full((len(x_t),), t)).to(x_t.dtype)


def fit(values: torch.Tensor, steps: int, seed: int = 0) -> PointDenoiser:
    """A denoiser trained as the large ones are: mean squared error on x_0, t uniform, this package's schedule.

    Args:
        values: Training samples (K,).
        steps: Of the optimiser; each draws 1024 samples, and noise for each.
        seed: Of the weights and of every draw.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(runtime.child_seed(seed, "init"))
        network = PointDenoiser()
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps))
    draws, forward = generator(seed, "density"), schedule()
    for _ in range(steps):
        x_0 = values[torch.randint(len(values), (_BATCH,), generator=draws)].float()
        t = torch.randint(T, (_BATCH,), generator=draws)
        x_t = forward.add_noise(x_0, torch.randn(_BATCH, generator=draws), t)
        (network(x_t, t) - x_0).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        decay.step()
    return network


def reverse(denoise: Denoise, x: torch.Tensor) -> torch.Tensor:
    """Where the deterministic reverse process carries noise ``x`` (N,): T steps, samples (N,)."""
    levels = _levels()
    for t in reversed(range(T)):
        signal, noise = levels[t]
        x_0 = denoise(x, t)
        after_signal, after_noise = levels[t - 1] if t else (1.0, 0.0)
        x = after_signal * x_0 + after_noise * (x - signal * x_0) / noise
    return x


@dataclass(frozen=True)
class Pushed:
    """Where the normal distribution went: the mass of each of M pieces, and from where to where it now lies.

    A piece may have been turned round, and pieces may lie on each other; within one, the mass is spread evenly.

    Args:
        mass: (M,) of sum 1.
        low: (M,).
        high: (M,), greater than ``low``.
    """

    mass: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def cumulative(self, x: torch.Tensor) -> torch.Tensor:
        """The mass below each of ``x`` (N,)."""
        return ((x[:, None] - self.low) / (self.high - self.low)).clamp(0, 1) @ self.mass

    def density(self, x: torch.Tensor, deviation: float) -> torch.Tensor:
        """At each of ``x`` (N,), seen through a Gaussian of this standard deviation."""
        below_low, below_high = (torch.special.ndtr((x[:, None] - end) / deviation) for end in (self.low, self.high))
        return (below_low - below_high) @ (self.mass / (self.high - self.low))


def push_forward(denoise: Denoise) -> Pushed:
    """The exact distribution of the samples of ``denoise``, to the spacing of 2001 points of noise."""
    edges = torch.linspace(-_FARTHEST, _FARTHEST, _EDGES, dtype=torch.float64)
    mass = torch.special.ndtr(edges).diff()
    mapped = reverse(denoise, edges)
    low, high = torch.minimum(mapped[:-1], mapped[1:]), torch.maximum(mapped[:-1], mapped[1:])
    return Pushed(mass / mass.sum(), low, torch.maximum(high, low + _NARROWEST))


def run(settings: Density, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: ``density.json``, see :func:`measure`."""
    values = TRUTH.draw(settings.samples, generator(settings.seed, "training points"))
    exact = settings.denoiser == "optimum"
    denoise = points(values).denoise if exact else fit(values, settings.steps, settings.seed).denoise
    write_atomically(out / "density.json", json.dumps(measure(push_forward(denoise), values)))


def measure(learned: Pushed, values: torch.Tensor, truth: Mixture = TRUTH) -> dict:
    """The density of the samples beside the true one, both seen through a Gaussian of :data:`RESOLUTION`.

    Args:
        learned: The distribution of the samples.
        values: The training samples (K,).
        truth: What they were drawn from.

    Returns:
        ``places``, ``learned``, ``true``: the densities at each place.
        ``points``: the training samples.
        ``near``, ``true_near``: the mass within :data:`RADIUS` of a training sample.
        ``divergence``: Kullback–Leibler divergence of the learned density from the true one, in nats; at least 0.
        ``variation``: total variation distance, in [0, 1]: the mass that is in the wrong place.
        ``mass``: that of the learned density on all places: 1, if it is told whole.
    """
    places = torch.linspace(-SPAN, SPAN, _PLACES, dtype=torch.float64)
    ours, true = learned.density(places, RESOLUTION), truth.blurred(RESOLUTION).density(places)
    return {
        "places": places.tolist(),
        "learned": ours.tolist(),
        "true": true.tolist(),
        "points": values.tolist(),
        "near": mass_near(learned, values, RADIUS),
        "true_near": mass_near(truth, values, RADIUS),
        "divergence": float(torch.trapezoid(torch.special.xlogy(ours, ours / true), places)),
        "variation": float(torch.trapezoid((ours - true).abs(), places) / 2),
        "mass": float(torch.trapezoid(ours, places)),
    }


def mass_near(distribution: Mixture | Pushed, values: torch.Tensor, radius: float) -> float:
    """The mass within ``radius`` of any of ``values`` (K,); where two of them are close, counted once."""
    ordered = values.sort().values
    low = ordered - radius
    low[1:] = torch.maximum(low[1:], ordered[:-1] + radius)
    high = torch.maximum(low, ordered + radius)
    return float((distribution.cumulative(high) - distribution.cumulative(low)).sum())


@cache
def _levels() -> list[tuple[float, float]]:
    """The share of the signal and of the noise in x_t, by t."""
    cumulative = schedule().alphas_cumprod.double()
    return list(zip(cumulative.sqrt().tolist(), (1 - cumulative).sqrt().tolist(), strict=True))
