"""torch as this project uses it: which device, which arithmetic, explicit generators."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import TypeVar

import torch

from defectlib.errors import UserError
from defectlib.runtime import child_seed, say

Network = TypeVar("Network", bound=Callable)

COMPILE_FROM = 2000
"""Steps from which on a network is compiled for CUDA: compiling costs a minute or two before the first step."""


def configure(name: str) -> torch.device:
    """The torch device called ``name``, ``cpu`` or ``cuda``, with every arithmetic flag set, here alone.

    CPU: oneDNN as it is. CUDA: TF32 for convolutions and products, algorithms chosen once per shape.

    Raises:
        UserError: ``cuda``, where torch sees none. (Plans ask the machine, not torch, whether it has a GPU.)
    """
    if name == "cuda":
        if not torch.cuda.is_available():
            raise UserError(
                "device 'cuda' is asked for, but torch sees no CUDA device here; use 'cpu', or install torch with CUDA"
            )
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    return torch.device(name)


def generator(root: int, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for the purpose called ``names`` (see :func:`defectlib.runtime.child_seed`)."""
    return torch.Generator(device).manual_seed(child_seed(root, *names))


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """Mixed precision as the settings ask: ``fp32`` (off) or ``bf16``."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == "bf16")


def upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """``tensor`` on ``device``; towards a GPU through pinned memory, so that the host need not wait for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def compiled(network: Network, device: torch.device, steps: int) -> Network:
    """``network``, or a method of one, compiled where ``steps`` of it on ``device`` are worth it; weights are shared.

    On a CPU it never is (60 to 180 s for a gain of 10 to 20 %). torch writes its CUDA kernels with Triton, which needs
    a C compiler: where either is missing, the network is used as it is.
    """
    if device.type != "cuda" or steps < COMPILE_FROM:
        return network
    if not has_compiler():
        say("training without torch.compile, which needs Triton and a C compiler (gcc or clang)")
        return network
    return torch.compile(network, dynamic=False)


def has_compiler() -> bool:
    """Whether torch.compile can work on CUDA: it writes kernels with Triton, which needs a C compiler."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    return importlib.util.find_spec("triton") is not None and compiler is not None
