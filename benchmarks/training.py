"""Training images per second of both denoisers: our step against that of the released loop, on the same nets.

The released loop's way: batches of 2, fp32, layer by layer, averaged weights one tensor after the other, the loss read
at every step. Ours is the step of :mod:`defectlib.defectgen.training` as the profile asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import torch

from benchmarks.harness import Finding, by_turns, devices, roofline
from defectlib.data.encode import encode, stack
from defectlib.data.loading import load_train
from defectlib.defectgen.denoiser import build_denoiser
from defectlib.defectgen.diffusion import schedule
from defectlib.device import COMPILE_FROM, configure, generator
from defectlib.experiments import throughput
from defectlib.experiments.throughput import denoiser_step
from defectlib.profiles import load_profile
from defectlib.settings import DenoiserTraining, T

GOAL = {"cpu": 1.3, "cuda": 3.0}
RELEASED_BATCH = 2
BATCH = {"cpu": 16, "cuda": 16}
"""Ours; the gpu profile has the paper's own 2 for the sake of its results."""
ADAM_STATE = 5
"""Times that every weight is read or written, at the least: weight, gradient, two moments, average."""


def run(tiny: bool) -> Iterator[Finding]:
    """Both nets on each device."""
    for device in map(configure, (device.type for device in devices())):
        profile = load_profile("smoke" if tiny else "cpu" if device.type == "cpu" else "gpu")
        data = profile.data("softgel")
        for settings in (profile.large_training(data), profile.small_training(data)):
            changes = {"device": device.type, "batch": BATCH[device.type], "steps": COMPILE_FROM}
            yield _compared(settings.model_copy(update=changes), device, tiny)


def _compared(settings: DenoiserTraining, device: torch.device, tiny: bool) -> Finding:
    samples = load_train(settings.data)
    x_0 = encode(*stack(samples), len(samples[0].classes)).to(device)
    ours, net = denoiser_step(settings, x_0, device)
    plain = released_step(settings, x_0, device)
    # A few of the small batches for one of ours, so that both are timed for about as long.
    times = max(1, settings.batch // RELEASED_BATCH // 2)
    ways = {"ours": ours, "plain": lambda: [plain() for _ in range(times)]}
    seconds = by_turns(ways, 2 if tiny else 9, device, warm_up=1 if tiny else 3)
    weights = sum(weight.nbytes for weight in net.parameters())
    each = throughput.PASSES_OF_A_STEP * throughput.operations_of_denoiser(
        settings.net, len(samples[0].classes), x_0.shape[-1]
    )
    return Finding(
        "training",
        f"{settings.net.kind} net, {x_0.shape[-1]} px",
        "image",
        f"batch {settings.batch}, {settings.dtype}, channels_last, fused",
        [value / settings.batch for value in seconds["ours"]],
        f"batch {RELEASED_BATCH}, fp32, as the release",
        [value / times / RELEASED_BATCH for value in seconds["plain"]],
        floor=roofline(each, ADAM_STATE * weights / settings.batch, device, settings.dtype),
        goal=GOAL[device.type],
        device=device.type,
    )


def released_step(settings: DenoiserTraining, x_0: torch.Tensor, device: torch.device) -> Callable[[], None]:
    """A step as the released loop makes it, each call the next one."""
    net = build_denoiser(settings.net, x_0.shape[1], seed=0).to(device).train()
    averages = [weight.detach().clone() for weight in net.parameters()]
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, foreach=False)
    noises, numbers = schedule(), count()

    def step() -> None:
        draw = generator(settings.seed, "released", next(numbers))
        batch = x_0[torch.randint(len(x_0), (RELEASED_BATCH,), generator=draw).to(device)]
        t = torch.randint(T, (RELEASED_BATCH,), generator=draw).to(device)
        epsilon = torch.randn(batch.shape, generator=draw).to(device)
        loss = (net(noises.add_noise(batch, epsilon, t), t) - batch).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for average, weight in zip(averages, net.parameters(), strict=True):
            average.mul_(settings.ema).add_(weight.detach(), alpha=1 - settings.ema)
        loss.item()

    return step
