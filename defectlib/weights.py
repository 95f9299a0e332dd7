"""Trained networks read from files that anyone may have changed: the weights they were made for, or one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file
from torch import nn

from defectlib.errors import UserError


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
