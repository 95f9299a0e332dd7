"""What trains baselines and oracles alike: a loop that resumes and keeps the loss curve, and one line for bad files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file
from torch import nn

from defectlib import runtime
from defectlib.checkpoint import read_checkpoint, write_checkpoint
from defectlib.config import OracleTraining, SegmenterTraining
from defectlib.errors import UserError

LOSS_POINTS = 200
"""About how many points of the loss curve are kept."""


def make_steps(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: SegmenterTraining | OracleTraining,
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
        UserError: The loss stopped being a number.
    """
    progress = read_checkpoint(unfinished, model, optimizer) or {"step": 0, "losses": []}
    start, losses = progress["step"], progress["losses"]
    every = max(1, settings.steps // points)
    with runtime.progress(settings.steps, f"training {what}", initial=start) as bar:
        for k in range(start, settings.steps):
            value = step(k)
            if not math.isfinite(value):
                raise UserError(f"training diverged: the loss of step {k} is {value}; set a lower lr")
            if k % every == 0 or k == settings.steps - 1:
                losses.append([k, round(value, 6)])
                bar.set_postfix(loss=f"{value:.4f}", refresh=False)
            bar.update()
            if (k + 1) % settings.checkpoint_every == 0 and k + 1 < settings.steps:
                write_checkpoint(unfinished, model, optimizer, {"step": k + 1, "losses": losses})
    return losses


def load_weights(model: nn.Module, path: Path) -> None:
    """Give ``model`` the tensors of a safetensors file.

    Raises:
        ValueError: It is no plain file, or a tensor holds numbers of another kind, NaN or infinity.
        RuntimeError: Names or shapes are not the model's.
    """
    if not path.is_file():
        raise ValueError(f"{path.name} is no plain file")
    weights = load_file(path)
    for name, own in model.state_dict().items():
        value = weights.get(name, own)  # what is missing is told below
        if value.is_floating_point() != own.is_floating_point():
            raise ValueError(f"{path.name}: '{name}' holds {value.dtype}, not {own.dtype}")
        if not torch.isfinite(value).all():
            raise ValueError(f"{path.name}: '{name}' holds numbers that are not finite")
    model.load_state_dict(weights)


@contextmanager
def readable(artifact: Path, what: str) -> Iterator[None]:
    """Turn whatever goes wrong while a trained model is read into one line.

    Raises:
        UserError: A file of ``artifact`` is missing, cut short or of another network.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        reason = str(error).partition("\n")[0].rstrip(": ")
        raise UserError(f"{artifact}: not a readable {what} ({reason}); delete it and train again") from error
