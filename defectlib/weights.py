"""Trained networks in files: none is written that has diverged, and one that anyone may have changed is read as the
weights it was made for, or refused in one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import nn

from defectlib.errors import UserError
from defectlib.store import write_atomically


def diverged(what: str, lr: float) -> UserError:
    """The error that ends a training whose numbers are no longer finite; ``what`` says which."""
    return UserError(f"training diverged: {what} at a learning rate of {lr:g}; set a lower lr")


def check_finite(weights: Mapping[str, torch.Tensor]) -> None:
    """Raise a ValueError that names the first of ``weights`` to hold NaN or infinity, if one does."""
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"'{name}' holds numbers that are not finite")


def check_trained(weights: Mapping[str, torch.Tensor], lr: float) -> None:
    """Refuse to keep weights with NaN or infinity, trained at the learning rate ``lr``, by a UserError."""
    try:
        check_finite(weights)
    except ValueError as error:
        raise diverged(str(error), lr) from error


def save_weights(path: Path, weights: Mapping[str, torch.Tensor], lr: float) -> None:
    """Write ``weights``, trained at the learning rate ``lr``, as a safetensors file.

    Raises:
        UserError: A weight is NaN or infinite.
    """
    check_trained(weights, lr)
    write_atomically(path, save({name: value.detach().cpu().contiguous() for name, value in weights.items()}))


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file.

    Raises:
        ValueError: It is no plain file, or a tensor holds NaN or infinity.
    """
    if not path.is_file():
        raise ValueError(f"{path.name} is no plain file")
    weights = load_file(path)
    check_finite(weights)
    return weights


def load_weights(model: nn.Module, path: Path) -> None:
    """Give ``model`` the tensors of a safetensors file.

    Raises:
        ValueError: See :func:`read_weights`; or a tensor holds numbers of another kind.
        RuntimeError: Names or shapes are not the model's.
    """
    weights = read_weights(path)
    for name, own in model.state_dict().items():
        value = weights.get(name, own)  # what is missing is told below
        if value.is_floating_point() != own.is_floating_point():
            raise ValueError(f"{path.name}: '{name}' holds {value.dtype}, not {own.dtype}")
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
