"""What the two adversarial generators share: how weights start, one optimiser for all networks, a loop that resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

from defectlib import runtime
from defectlib.checkpoint import read_checkpoint, write_checkpoint
from defectlib.device import autocast, generator
from defectlib.errors import UserError
from defectlib.settings import RivalTraining
from defectlib.training import check_losses

LOG_EVERY = 10  # steps between two points of the loss curve
BETAS = (0.5, 0.999)  # of Adam, in the code of both papers

#: Makes step k, counted from 0, with the optimiser; returns its losses by name.
Step = Callable[[torch.optim.Adam, int], dict[str, torch.Tensor]]


def initialise(network: nn.Module, seed: int) -> None:
    """Weights as the code of both papers draws them: N(0, 0.02²), of normalisation N(1, 0.02²); biases are 0."""
    draw = generator(seed, "init")
    with torch.no_grad():
        for module in network.modules():
            normal = isinstance(module, nn.InstanceNorm2d)
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) or (normal and module.affine):
                module.weight.normal_(1.0 if normal else 0.0, 0.02, generator=draw)
                if module.bias is not None:
                    module.bias.zero_()


def seen(settings: RivalTraining, x: torch.Tensor) -> torch.Tensor:
    """Of all training pairs ``x`` (N, C, H, W) those that train: number ``settings.image`` alone, if it is set.

    Raises:
        UserError: There is no such pair.
    """
    if settings.image is None:
        return x
    if settings.image >= len(x):
        raise UserError(f"setting 'image' is {settings.image}, but training images are numbered 0 to {len(x) - 1}")
    return x[settings.image][None]


def optimise(
    network: nn.Module,
    settings: RivalTraining,
    steps: int,
    step: Step,
    rate: Callable[[int], float],
    unfinished: Path,
) -> list[dict[str, float]]:
    """Make the steps that the checkpoint in ``unfinished`` leaves to be made.

    One Adam holds the weights of all networks; those that :func:`descend` does not name stand still.

    Args:
        network: All that a checkpoint must hold besides the optimiser.
        steps: In all.
        rate: Factor of the learning rate at a step.

    Returns:
        The loss curve: ``step``, and the means over the steps since the last point.

    Raises:
        UserError: The training diverged.
    """
    device = next(network.parameters()).device
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr, betas=BETAS, fused=True)
    begin = {"step": 0, "losses": [], "pending": []}
    state = read_checkpoint(unfinished, network, optimizer, like=begin) or begin
    with runtime.progress(steps, settings.method, initial=state["step"]) as bar:
        while state["step"] < steps:
            optimizer.param_groups[0]["lr"] = settings.lr * rate(state["step"])
            with autocast(device, settings.dtype):
                losses = step(optimizer, state["step"])
            state["step"] += 1
            state["pending"].append(losses)
            logs = state["step"] % LOG_EVERY == 0 or state["step"] == steps
            saves = state["step"] % settings.checkpoint_every == 0
            if logs or saves:
                points = [{name: float(value) for name, value in point.items()} for point in state["pending"]]
                check_losses([sum(point.values()) for point in points], state["step"], settings.lr)
                state["pending"] = points
            if logs:
                state["losses"].append({"step": state["step"], **_means(points)})
                state["pending"] = []
            bar.update()
            if saves:
                write_checkpoint(unfinished, network, optimizer, state)
    return state["losses"]


def descend(optimizer: torch.optim.Adam, loss: torch.Tensor, weights: Iterable[nn.Parameter]) -> None:
    """One step down ``loss`` along ``weights`` alone."""
    optimizer.zero_grad()
    loss.backward(inputs=list(weights))
    optimizer.step()


def reason(rate: float, paper: float) -> str:
    """Why a training is shorter than its paper's, and what its learning rate has to do with it."""
    return f"minutes on a CPU{', by fewer and larger steps' if rate > paper else ''}"


def _means(points: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(point[name] for point in points) / len(points) for name in points[0]}
