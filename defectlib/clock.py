"""How long something takes, told fairly: with the device waited for, and on as many threads as asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


def clocked(work: Callable[[], object], device: torch.device) -> float:
    """Seconds from the call of ``work`` until ``device`` has finished all that it was given."""
    _finish(device)
    started = time.perf_counter()
    work()
    _finish(device)
    return time.perf_counter() - started


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def accelerator(device: torch.device) -> str:
    """The GPU's name; empty on a CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else ""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads of the CPU meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
