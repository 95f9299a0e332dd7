"""Checkpoints of a training in progress: safetensors for the tensors, its metadata for the rest, one atomic file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Protocol

import torch
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

FILE = "checkpoint.safetensors"


class Resumable(Protocol):
    """A training state: a network, its optimiser and averaged weights, the steps done and the loss curve so far."""

    denoiser: torch.nn.Module
    optimizer: torch.optim.Optimizer
    ema: EMAModel
    step: int
    losses: list[dict[str, float]]


def write_checkpoint(directory: Path, state: Resumable) -> None:
    """Replace the checkpoint in ``directory``; a kill at any moment leaves the old one or the new one."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {f"net.{name}": value for name, value in state.denoiser.state_dict().items()}
    tensors |= {f"ema.{i}": value for i, value in enumerate(state.ema.shadow_params)}
    for i, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": value for name, value in moments.items()}
    about = {"step": state.step, "ema_step": state.ema.optimization_step, "losses": state.losses}
    partial = directory / f".{FILE}.{os.getpid()}"
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_file(copies, partial, metadata={"about": json.dumps(about)})
    partial.replace(directory / FILE)


def read_checkpoint(directory: Path, state: Resumable) -> bool:
    """Bring ``state`` to where the checkpoint in ``directory`` left off; False, and nothing changed, if there is none.

    A checkpoint that cannot be read (cut in half by a full disk, say) is as good as none: training starts again.
    """
    path = directory / FILE
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return False
    _restore(state, tensors, about)
    return True


def _restore(state: Resumable, tensors: dict[str, torch.Tensor], about: dict) -> None:
    device = next(state.denoiser.parameters()).device
    state.denoiser.load_state_dict({n.removeprefix("net."): v for n, v in tensors.items() if n.startswith("net.")})
    for i, shadow in enumerate(state.ema.shadow_params):
        shadow.data.copy_(tensors[f"ema.{i}"])
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, i, moment = name.split(".", 2)
            moments.setdefault(int(i), {})[moment] = value.to(device)
    state.optimizer.load_state_dict(state.optimizer.state_dict() | {"state": moments})
    state.ema.optimization_step = about["ema_step"]
    state.step, state.losses = about["step"], about["losses"]
