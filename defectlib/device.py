"""torch as this project uses it: which device, which arithmetic, explicit generators."""

from __future__ import annotations

import torch

from defectlib.errors import UserError
from defectlib.runtime import child_seed


def resolve_device(name: str = "auto") -> str:
    """``cpu`` or ``cuda``, from ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: ``cuda`` is asked for and this machine has none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' is asked for, but torch sees no CUDA device here; use 'cpu' or 'auto'")
    if name not in ("cpu", "cuda"):
        raise UserError(f"unknown device '{name}': known are auto, cpu, cuda")
    return name


def configure(device: str) -> torch.device:
    """Set every arithmetic flag in one place and return the torch device.

    CPU: oneDNN as it is. CUDA: TF32 for convolutions and products, algorithms chosen once per shape.

    Raises:
        UserError: See :func:`resolve_device`; plans ask the machine, not torch, whether it has a GPU.
    """
    device = resolve_device(device)
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    return torch.device(device)


def generator(root: int, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for the purpose called ``names`` (see :func:`defectlib.runtime.child_seed`)."""
    return torch.Generator(device).manual_seed(child_seed(root, *names))


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """Mixed precision as the settings ask: ``fp32`` (off) or ``bf16``."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == "bf16")
