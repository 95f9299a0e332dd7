"""Training of one denoiser: mean squared error on x_0, averaged weights, checkpoints that resume to the same result.

Every random draw of step k comes from a seed derived from (seed, purpose, k), so a checkpoint needs no generator
state, and a resumed run makes the same steps as one that was never cut off.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel

from defectlib import runtime
from defectlib.config import DenoiserTraining
from defectlib.data.encode import IMAGE_CHANNELS, channels, encode, stack
from defectlib.data.loading import load_train
from defectlib.data.sample import Sample
from defectlib.defectgen.checkpoint import read_checkpoint, write_checkpoint
from defectlib.defectgen.crops import Crops
from defectlib.defectgen.denoiser import Denoiser, build_denoiser
from defectlib.defectgen.diffusion import T, schedule
from defectlib.device import autocast, configure, generator
from defectlib.store import UNFINISHED, write_atomically

WARMUP = 100  # steps at most over which the learning rate rises
LOG_EVERY = 10  # steps between two points of the loss curve


def run(settings: DenoiserTraining, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: train on the training images of ``settings.data``; leaves ``net/`` and ``losses.json`` in ``out``."""
    samples = load_train(settings.data)
    denoiser, losses = train(settings, samples, out / UNFINISHED)
    denoiser.save_pretrained(out / "net")
    write_atomically(out / "losses.json", json.dumps(losses))


def load_denoiser(artifact: Path) -> Denoiser:
    """The averaged weights of a finished training, in float32 and evaluation mode."""
    return Denoiser.from_pretrained(artifact / "net", torch_dtype=torch.float32).eval()


@dataclass
class _State:
    """What a checkpoint holds."""

    denoiser: Denoiser
    optimizer: torch.optim.AdamW
    ema: EMAModel
    step: int = 0
    losses: list[dict[str, float]] = field(default_factory=list)


def train(
    settings: DenoiserTraining, samples: tuple[Sample, ...], unfinished: Path
) -> tuple[Denoiser, list[dict[str, float]]]:
    """Train on ``samples`` alone, going on from the checkpoint in ``unfinished`` if there is one.

    Returns:
        The denoiser with its averaged weights, and the loss curve: ``step``, ``loss``, ``seconds`` since the start
        (interruptions left out).
    """
    device = configure(settings.device)
    state = _start(settings, len(samples[0].classes), device)
    read_checkpoint(unfinished, state)
    batches = _Batches(settings, samples, device)
    what = f"{settings.net.kind} net, {samples[0].product}"
    bar = runtime.progress(settings.steps, what, initial=state.step)
    clock = time.monotonic() - (state.losses[-1]["seconds"] if state.losses else 0)
    running: list[float] = []
    with bar:
        while state.step < settings.steps:
            running.append(_step(settings, state, batches, device))
            bar.update()
            if state.step % LOG_EVERY == 0 or state.step == settings.steps:
                loss = sum(running) / len(running)
                seconds = round(time.monotonic() - clock, 1)
                state.losses.append({"step": state.step, "loss": loss, "seconds": seconds})
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                running.clear()
            if state.step % settings.checkpoint_every == 0 and state.step < settings.steps:
                write_checkpoint(unfinished, state)
    state.ema.copy_to(state.denoiser.parameters())
    return state.denoiser, state.losses


def _start(settings: DenoiserTraining, defect_types: int, device: torch.device) -> _State:
    seed = runtime.child_seed(settings.seed, "init")
    denoiser = build_denoiser(settings.net, channels(defect_types), seed).to(device).train()
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    return _State(denoiser, optimizer, EMAModel(denoiser.parameters(), decay=settings.ema))


class _Batches:
    """Batches of x_0 by step number, from images that are decoded once and stay on the device as uint8."""

    def __init__(self, settings: DenoiserTraining, samples: tuple[Sample, ...], device: torch.device) -> None:
        self.settings = settings
        self.device = device
        self.defect_types = len(samples[0].classes)
        if settings.crop is None:
            self.x_0 = encode(*stack(samples), self.defect_types).to(device)
        else:
            self.crops = Crops(samples, settings.crop)

    def __call__(self, step: int) -> torch.Tensor:
        """x_0 (N, C, H, W) of training step ``step``."""
        draw = generator(self.settings.seed, "order", step)
        if self.settings.crop is not None:
            return encode(*self.crops.draw(self.settings.batch, draw), self.defect_types).to(self.device)
        return self.x_0[torch.randint(len(self.x_0), (self.settings.batch,), generator=draw)]


def _step(settings: DenoiserTraining, state: _State, batches: _Batches, device: torch.device) -> float:
    for group in state.optimizer.param_groups:
        group["lr"] = settings.lr * learning_rate_factor(state.step, settings.steps)
    x_0 = batches(state.step)
    noise = generator(settings.seed, "noise", state.step)
    t = torch.randint(T, (len(x_0),), generator=noise).to(device)
    epsilon = torch.randn(x_0.shape, generator=noise).to(device)
    x_t = _SCHEDULE.add_noise(x_0, epsilon, t)
    with autocast(device, settings.dtype):
        prediction = state.denoiser(x_t, t)
    loss = reconstruction_loss(prediction.float(), x_0, settings.mask_weight)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.denoiser.parameters(), 1.0)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.ema.step(state.denoiser.parameters())
    state.step += 1
    return loss.item()


def reconstruction_loss(prediction: torch.Tensor, x_0: torch.Tensor, mask_weight: float) -> torch.Tensor:
    """Mean over all values of (prediction - x_0)², the mask channels weighted by ``mask_weight``."""
    squared = (prediction - x_0).square()
    image, mask = squared[:, :IMAGE_CHANNELS], squared[:, IMAGE_CHANNELS:]
    return (image.sum() + mask_weight * mask.sum()) / squared.numel()


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear rise over the first steps (a tenth of the training, 100 at most), then a cosine to zero."""
    warmup = min(WARMUP, max(1, steps // 10))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


_SCHEDULE = schedule()
