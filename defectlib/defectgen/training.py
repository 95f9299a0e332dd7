"""Training of one denoiser: mean squared error, averaged weights, checkpoints that resume to the same result.

Every random draw of step k comes from a seed derived from (seed, purpose, k), so a checkpoint needs no generator
state, and a resumed run makes the same steps as one that was never cut off.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from torch import nn

from defectlib import runtime
from defectlib.checkpoint import read_checkpoint, write_checkpoint
from defectlib.data.encode import IMAGE_CHANNELS, channels, encode, stack
from defectlib.data.loading import load_one_or_all
from defectlib.data.sample import Sample
from defectlib.defectgen.crops import Crops
from defectlib.defectgen.denoiser import Denoiser, as_gray, build_denoiser, start_from
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.journal import NOTHING, Journal, keep
from defectlib.defectgen.team import Team, launched_team, run_together
from defectlib.device import autocast, compiled, configure, generator, upload
from defectlib.settings import DenoiserTraining, T
from defectlib.store import UNFINISHED, write_atomically
from defectlib.training import check_losses
from defectlib.weights import check_finite, check_trained, readable

WARMUP = 100  # steps at most over which the learning rate rises
LOG_EVERY = 10  # steps between two points of the loss curve


def run(settings: DenoiserTraining, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: train on the training images of ``settings.data``, or on one of them, and fill ``out``.

    With ``net/`` and ``losses.json``, and, where the settings ask for them, ``log/`` and ``samples/``; see
    :mod:`defectlib.defectgen.journal`.
    """
    samples = load_one_or_all(settings.data, settings.image)
    denoiser, losses = train(settings, samples, out / UNFINISHED, inputs.get("base"))
    check_trained(denoiser.state_dict(), settings.lr)
    denoiser.save_pretrained(out / "net")
    write_atomically(out / "losses.json", json.dumps(losses))
    keep(out / UNFINISHED, out)


def load_denoiser(artifact: Path) -> Denoiser:
    """The averaged weights of a finished training, in float32 and evaluation mode.

    Raises:
        UserError: A file is missing, cut short or of another network.
    """
    with readable(artifact, "denoiser"):
        denoiser = Denoiser.from_pretrained(artifact / "net", torch_dtype=torch.float32, use_safetensors=True)
        check_finite(denoiser.state_dict())
    return denoiser.eval()


@dataclass
class _State:
    """What a checkpoint holds, and the denoiser as it is called in training: compiled, or joined to a team's."""

    denoiser: Denoiser
    network: nn.Module
    optimizer: torch.optim.AdamW
    ema: EMAModel
    step: int = 0
    losses: list[dict[str, float]] = field(default_factory=list)
    running: list[torch.Tensor | float] = field(default_factory=list)  # losses since the last point of the curve

    def write(self, directory: Path) -> None:
        progress = {"step": self.step, "ema_step": self.ema.optimization_step, "losses": self.losses}
        progress["running"] = self.running
        write_checkpoint(directory, self.denoiser, self.optimizer, progress, self.ema.shadow_params)

    def read(self, directory: Path) -> None:
        like = {"step": 0, "ema_step": 0, "losses": []}
        if progress := read_checkpoint(directory, self.denoiser, self.optimizer, self.ema.shadow_params, like=like):
            self.step, self.losses = progress["step"], progress["losses"]
            self.running = progress.get("running", [])  # older checkpoints have none
            self.ema.optimization_step = progress["ema_step"]


def train(
    settings: DenoiserTraining, samples: tuple[Sample, ...], unfinished: Path, base: Path | None = None
) -> tuple[Denoiser, list[dict[str, float]]]:
    """Train on ``samples`` alone, going on from the checkpoint in ``unfinished`` if there is one.

    ``base`` is the artifact of ``settings.base``, where there is one.

    Returns:
        The denoiser with its averaged weights, and the loss curve: ``step``, ``loss``, ``seconds`` since the start
        (interruptions left out).

    Raises:
        UserError: The device, or as many of it as the settings ask for, is not there; or the training diverged.
    """
    device = configure(settings.device)
    if settings.processes > 1:
        # They leave a checkpoint of the last step; going on from it, nothing is left to be done here.
        if runtime.launched() > 1:
            team = launched_team(device.type)
            team.hear((settings.model_dump_json(), str(unfinished), base and str(base)))
            _train(team, settings, samples, unfinished, base)
        else:
            run_together(settings.processes, device, _train, settings, samples, unfinished, base)
    state = _train(Team(), settings, samples, unfinished, base)
    state.ema.copy_to(state.denoiser.parameters())
    return state.denoiser.to(memory_format=torch.contiguous_format), state.losses


def serve(team: Team) -> None:
    """Take part in every training that the first process begins, until it says that there will be no more."""
    while word := team.hear():
        settings = DenoiserTraining.model_validate_json(word[0])
        samples = load_one_or_all(settings.data, settings.image)
        _train(team, settings, samples, Path(word[1]), word[2] and Path(word[2]))


def _train(
    team: Team, settings: DenoiserTraining, samples: tuple[Sample, ...], unfinished: Path, base: Path | None
) -> _State:
    """Make the steps that are left to be made; in a team, this process's share of each."""
    device = configure(settings.device)
    batches = _Batches(settings, samples, device)
    state = _start(settings, batches, device, team, base)
    state.read(unfinished)
    bar = runtime.progress(settings.steps, f"{settings.net.kind} net, {samples[0].product}", initial=state.step)
    journal = Journal(settings if team.writes else settings.model_copy(update=NOTHING), unfinished, state.step)
    clock = time.monotonic() - (state.losses[-1]["seconds"] if state.losses else 0)
    with bar, closing(journal):
        while state.step < settings.steps:
            state.running.append(_step(settings, state, batches, team))
            bar.update()
            last = state.step == settings.steps
            logs = state.step % LOG_EVERY == 0 or last
            saves = team.size > 1 if last else state.step % settings.checkpoint_every == 0
            if logs or saves:
                # Read now and not at each step, so that the host prepares the next one while a GPU works on this.
                state.running = [team.mean(float(value)) for value in state.running]
                check_losses(state.running, state.step, settings.lr)
            if logs:
                loss = sum(state.running) / len(state.running)
                seconds = round(time.monotonic() - clock, 1)
                state.losses.append({"step": state.step, "loss": loss, "seconds": seconds})
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                journal.log(state.step, loss, learning_rate(settings, state.step - 1))
                state.running.clear()
            journal.sample(state.step, state.denoiser, state.ema, batches.shape)
            if saves and team.writes:
                state.write(unfinished)
    return state


def _start(
    settings: DenoiserTraining, batches: _Batches, device: torch.device, team: Team, base: Path | None
) -> _State:
    cuda = device.type == "cuda"
    seed = runtime.child_seed(settings.seed, "init")
    denoiser = build_denoiser(settings.net, channels(batches.defect_types), seed, batches.gray)
    if base is not None:
        start_from(load_denoiser(base), denoiser)
    denoiser.to(device).train()
    if cuda:
        denoiser.to(memory_format=torch.channels_last)  # what tensor cores read convolutions in
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    ema = EMAModel(denoiser.parameters(), decay=settings.ema, foreach=cuda)
    return _State(denoiser, compiled(team.join(denoiser), device, settings.steps), optimizer, ema)


class _Batches:
    """Batches of x_0 by step number: crops of images that may be of any size, or whole images, kept on the device.

    Attributes:
        shape: Height and width of x_0.
        gray: Whether no image has colour, and the noise shall have none either.
    """

    def __init__(self, settings: DenoiserTraining, samples: tuple[Sample, ...], device: torch.device) -> None:
        self.settings, self.device = settings, device
        self.defect_types = len(samples[0].classes)
        self.gray = settings.gray_noise and all((s.image == s.image[..., :1]).all() for s in samples)
        if settings.crop is None:
            self.x_0 = encode(*stack(samples), self.defect_types).to(device)
            self.shape = tuple(self.x_0.shape[2:])
        else:
            self.crops = Crops(samples, settings.crop, settings.crop_by)
            self.shape = (settings.crop, settings.crop)

    def __call__(self, step: int) -> torch.Tensor:
        """x_0 (N, C, H, W) of training step ``step``, the whole batch."""
        draw = generator(self.settings.seed, "order", step)
        if self.settings.crop is not None:
            crops = (upload(part, self.device) for part in self.crops.draw(self.settings.batch, draw))
            x_0 = encode(*crops, self.defect_types)
        else:
            chosen = torch.randint(len(self.x_0), (self.settings.batch,), generator=draw)
            x_0 = self.x_0[upload(chosen, self.device)]
        if self.settings.flips:
            for axis in (2, 3):
                flipped = upload(torch.rand(len(x_0), generator=draw) < 0.5, self.device)
                x_0 = torch.where(flipped.view(-1, 1, 1, 1), x_0.flip(axis), x_0)
        return x_0


def _step(settings: DenoiserTraining, state: _State, batches: _Batches, team: Team) -> torch.Tensor:
    """One step of the optimiser; the loss over this process's share of the batch."""
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(settings, state.step)
    x_0 = batches(state.step)
    # Drawn on the CPU, and for the whole batch: so the noise is the same on every device and in any team.
    noise = generator(settings.seed, "noise", state.step)
    t = torch.randint(T, (len(x_0),), generator=noise)
    epsilon = torch.randn(x_0.shape, generator=noise)
    if settings.gray_noise:
        gray = (x_0[:, 1:IMAGE_CHANNELS] == x_0[:, :1]).flatten(1).all(dim=1).cpu()
        epsilon = torch.where(gray.view(-1, 1, 1, 1), as_gray(epsilon), epsilon)
    parts = list(zip(*(team.own_parts(values, settings.accumulate) for values in (x_0, t, epsilon)), strict=True))
    losses = []
    for i, part in enumerate(parts, start=1):
        with team.hold_back() if i < len(parts) else nullcontext():
            loss = _loss(settings, state.network, *part) / len(parts)
            loss.backward()
        losses.append(loss.detach())
    torch.nn.utils.clip_grad_norm_(state.denoiser.parameters(), 1.0)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.ema.step(state.denoiser.parameters())
    state.step += 1
    return sum(losses)


def _loss(
    settings: DenoiserTraining, network: nn.Module, x_0: torch.Tensor, t: torch.Tensor, epsilon: torch.Tensor
) -> torch.Tensor:
    t = upload(t, x_0.device)
    x_t = _SCHEDULE.add_noise(x_0, upload(epsilon, x_0.device), t)
    with autocast(x_0.device, settings.dtype):
        prediction = network(x_t, t)
    # v - v̂ = (x̂_0 - x_0) / √(1 - ᾱ_t)
    weight = 1.0
    if settings.net.kind == "small" and settings.net.prediction == "v":
        weight = 1 / (1 - _SCHEDULE.alphas_cumprod.to(t.device)[t]).view(-1, 1, 1, 1)
    return reconstruction_loss(prediction.float(), x_0, settings.mask_weight, weight)


def reconstruction_loss(
    prediction: torch.Tensor, x_0: torch.Tensor, mask_weight: float, image_weight: torch.Tensor | float = 1
) -> torch.Tensor:
    """Mean over all values of (prediction - x_0)², those of the mask and of the image weighted.

    Args:
        prediction: Of x_0, float (N, C, H, W).
        x_0: The same shape.
        mask_weight: Of the mask channels.
        image_weight: Of the image channels, (N, 1, 1, 1) or one for all.
    """
    squared = (prediction - x_0).square()
    image, mask = image_weight * squared[:, :IMAGE_CHANNELS], squared[:, IMAGE_CHANNELS:]
    return (image.sum() + mask_weight * mask.sum()) / squared.numel()


def learning_rate(settings: DenoiserTraining, step: int) -> float:
    """The learning rate of step ``step``, counted from 0."""
    if settings.lr_schedule == "constant":
        return settings.lr
    return settings.lr * learning_rate_factor(step, settings.steps)


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear rise over the first steps (a tenth of the training, 100 at most), then a cosine to zero."""
    warmup = min(WARMUP, max(1, steps // 10))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


_SCHEDULE = schedule()
