"""Checkpoints of a training in progress: safetensors for the tensors, its metadata for the rest, one atomic file.

The metadata hold a digest of all that is in the file: a bit that turned on the disk must not become other weights.

Tensors go to the file in the plain layout and come back in that of the weights they belong to (channels last, say): a
fused optimiser walks weight and moments in memory order.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from defectlib import runtime
from defectlib.errors import one_line, shown
from defectlib.weights import check_finite, check_trained

FILE = "checkpoint.safetensors"


def write_checkpoint(
    directory: Path,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Mapping[str, Any],
    averages: Sequence[torch.Tensor] = (),
) -> None:
    """Replace the checkpoint in ``directory``; a kill at any moment leaves the old one or the new one.

    Args:
        progress: What else is to be found again, as JSON: the steps done, the loss curve.
        averages: Averaged weights, in the order of the network's parameters.

    Raises:
        UserError: A number is NaN or infinite.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tensors = _held(network, averages)
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": value for name, value in moments.items()}
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    check_trained(copies, optimizer.defaults["lr"])
    about = json.dumps(dict(progress))
    # One writer at a time, under the store's lock: what a kill leaves half written, the next checkpoint overwrites.
    partial = directory / f".{FILE}"
    try:
        save_file(copies, partial, metadata={"about": about, "sha256": _digest(about, copies)})
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(directory / FILE)
    finally:
        partial.unlink(missing_ok=True)


def read_checkpoint(
    directory: Path,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    averages: Sequence[torch.Tensor] = (),
    *,
    like: Mapping[str, Any] = MappingProxyType({"step": 0}),
) -> dict[str, Any] | None:
    """Bring network, optimiser and averages to where the checkpoint in ``directory`` left off; its ``progress``.

    None, and nothing changed, if there is none. One that cannot be read (cut in half by a full disk, say), is not what
    was written, holds NaN or infinity, or was written of something else is as good as none: training starts again.

    Args:
        like: Progress at the start: what a checkpoint must say, and of what kind.
    """
    if not (directory / FILE).exists():
        return None
    try:
        progress, tensors = _read(directory / FILE)
        _check_progress(progress, like)
        _check_tensors(tensors, network, averages)
        check_finite(tensors)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        runtime.say(one_line(f"{directory / FILE}: damaged ({error}); training starts again"))
        return None
    network.load_state_dict(_below("net.", tensors))
    for i, average in enumerate(averages):
        average.data.copy_(tensors[f"ema.{i}"])
    for i, weight in enumerate(network.parameters()):
        moments = _below(f"optimizer.{i}.", tensors)
        optimizer.state[weight] = {name: _like(weight, value) for name, value in moments.items()}
    return progress


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Progress and tensors of a checkpoint.

    Raises:
        ValueError: They are not what was written.
    """
    if not path.is_file():
        raise ValueError("no plain file")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    # Checkpoints written before there were digests have none.
    if "sha256" in metadata and metadata["sha256"] != _digest(metadata["about"], tensors):
        raise ValueError("its content has changed since it was written")
    return json.loads(metadata["about"]), tensors


def _check_progress(progress: Any, like: Mapping[str, Any]) -> None:
    """Refuse, by a ValueError, what is not the progress of such a training."""
    if not isinstance(progress, dict):
        raise ValueError("it says no progress")
    for name, first in like.items():
        if type(progress.get(name)) is not type(first):
            raise ValueError(f"'{name}' of its progress is {shown(progress.get(name))}")
        if isinstance(first, int) and progress[name] < 0:
            raise ValueError(f"'{name}' of its progress is below 0")


def _check_tensors(
    tensors: Mapping[str, torch.Tensor], network: torch.nn.Module, averages: Sequence[torch.Tensor]
) -> None:
    """Refuse, by a ValueError, tensors of another network, or of an optimiser other than Adam and AdamW."""
    wanted = _held(network, averages)
    for i, weight in enumerate(network.parameters()):
        if _below(f"optimizer.{i}.", tensors):  # those that stood still so far have no moments
            moments = {"step": torch.empty(()), "exp_avg": weight, "exp_avg_sq": weight}
            wanted |= {f"optimizer.{i}.{name}": value for name, value in moments.items()}
    for name in sorted(wanted.keys() ^ tensors.keys()):
        raise ValueError(f"'{name}' is {'missing' if name in wanted else 'of nothing that is trained'}")
    for name, value in wanted.items():
        found = tensors[name]
        if (found.dtype, found.shape) != (value.dtype, value.shape):
            kinds = [f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in (found, value)]
            raise ValueError(f"'{name}' is {kinds[0]} where {kinds[1]} is trained")


def _held(network: torch.nn.Module, averages: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """What a checkpoint holds beside moments, by name."""
    tensors = {f"net.{name}": value for name, value in network.state_dict().items()}
    return tensors | {f"ema.{i}": value for i, value in enumerate(averages)}


def _digest(about: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over ``about`` and the name, type, shape and values of every tensor."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _like(weight: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """``value`` where ``weight`` is, and laid out as it is; a count of steps has no layout."""
    return torch.empty_like(weight).copy_(value) if value.ndim else value.to(weight.device)
