"""What trainings share: the check that a loss is still a number, and a loop that resumes and keeps the loss curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from defectlib import runtime
from defectlib.checkpoint import read_checkpoint, write_checkpoint
from defectlib.settings import ClickerTraining, OracleTraining, SegmenterTraining
from defectlib.weights import diverged

LOSS_POINTS = 200
"""About how many points of the loss curve are kept."""


def check_losses(losses: Sequence[float], step: int, lr: float) -> None:
    """Refuse to go on with losses that are NaN or infinite.

    On a GPU, reading a loss waits for it: call this where losses are read anyway, for the curve or a checkpoint.

    Args:
        losses: Of the latest steps, up to ``step``, counted from 1.
        lr: The learning rate that the settings ask for.

    Raises:
        UserError: One is not finite.
    """
    for k, loss in enumerate(losses, start=step - len(losses) + 1):
        if not math.isfinite(loss):
            raise diverged(f"the loss of step {k} is {loss}", lr)


def make_steps(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: SegmenterTraining | OracleTraining | ClickerTraining,
    step: Callable[[int], float],
    what: str,
    unfinished: Path,
    points: int = LOSS_POINTS,
) -> list[list[float]]:
    """Make the steps that the checkpoint under ``unfinished`` leaves to be made.

    Args:
        step: Makes step k, counted from 0; returns its loss.
        what: Is trained, for the progress bar.
        points: About how many of the loss curve are kept.

    Returns:
        The loss curve as [step, loss] pairs.

    Raises:
        UserError: The loss is not finite.
    """
    begin = {"step": 0, "losses": []}
    progress = read_checkpoint(unfinished, model, optimizer, like=begin) or begin
    start, losses = progress["step"], progress["losses"]
    every = max(1, settings.steps // points)
    with runtime.progress(settings.steps, f"training {what}", initial=start) as bar:
        for k in range(start, settings.steps):
            value = step(k)
            check_losses([value], k + 1, settings.lr)
            if k % every == 0 or k == settings.steps - 1:
                losses.append([k, round(value, 6)])
                bar.set_postfix(loss=f"{value:.4f}", refresh=False)
            bar.update()
            if (k + 1) % settings.checkpoint_every == 0 and k + 1 < settings.steps:
                write_checkpoint(unfinished, model, optimizer, {"step": k + 1, "losses": losses})
    return losses
