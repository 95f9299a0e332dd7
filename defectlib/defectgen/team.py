"""Several processes that train one net: each works on its share of every batch, accelerate averages the gradients.

All of them draw the same batch from the same seeds, and each takes its share of it. So N processes train on the images,
the noise and the timesteps that one would train on, and end in the same weights up to rounding.

There are two roads to a team: a training starts its processes itself, on one machine (:func:`run_together`), or
``accelerate launch`` has started them, on one machine or several, and the first gives the word (:func:`launched_team`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import cache
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from accelerate.utils.other import get_free_port
from torch import nn
from torch.multiprocessing import ProcessRaisedException, SimpleQueue, get_context, spawn

from defectlib.errors import UserError


class Team:
    """The place of a process among those that train one net; made without arguments, it works alone.

    Args:
        accelerator: Joins this process to the others; None if there are none.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self.accelerator = accelerator
        self.size = accelerator.num_processes if accelerator else 1
        self.rank = accelerator.process_index if accelerator else 0

    @property
    def writes(self) -> bool:
        """Whether this is the one process that writes files."""
        return self.rank == 0

    def join(self, network: nn.Module) -> nn.Module:
        """``network``, whose gradients are averaged over the processes as they are computed; the weights are shared."""
        self.joined = self.accelerator.prepare_model(network) if self.accelerator else network
        return self.joined

    def own_parts(self, batch: torch.Tensor, parts: int) -> tuple[torch.Tensor, ...]:
        """The process's share of ``batch`` (N, ...), in ``parts`` equal parts; N is a multiple of size × parts."""
        return batch.chunk(self.size)[self.rank].chunk(parts)

    def hold_back(self) -> AbstractContextManager:
        """While this lasts, gradients add up here and are not yet averaged with those of the others."""
        return self.accelerator.no_sync(self.joined) if self.accelerator else nullcontext()

    def hear(self, word: Any = None) -> Any:
        """What the first process says; each must ask, and the first brings its ``word``."""
        return broadcast_object_list([word])[0]

    def mean(self, value: float) -> float:
        """The mean of ``value`` over the processes; each must ask."""
        if self.accelerator is None:
            return value
        tensor = torch.tensor(value, dtype=torch.float32, device=self.accelerator.device)
        return self.accelerator.reduce(tensor, "mean").item()


def check_processes(device: torch.device, count: int) -> None:
    """Refuse more processes than there are GPUs.

    Raises:
        UserError: There are fewer.
    """
    if device.type == "cuda" and count > (found := torch.cuda.device_count()):
        raise UserError(f"setting 'processes' is {count}, but torch sees {found} CUDA device(s) here; use at most that")


@cache
def launched_team(device: str) -> Team:
    """The place of this process among those that ``accelerate launch`` has started; they may wait for days.

    Args:
        device: Kind of device; on ``cuda`` each process has a GPU of its own.
    """
    patience = InitProcessGroupKwargs(timeout=timedelta(days=30))
    return Team(Accelerator(cpu=device == "cpu", mixed_precision="no", kwargs_handlers=[patience]))


def run_together(count: int, device: torch.device, work: Callable[..., None], *arguments: Any) -> None:
    """Run ``work(team, *arguments)`` in ``count`` processes of this machine, and wait for them.

    They end when this process does, however it ends.

    Args:
        device: Kind of device; on ``cuda`` each process has a GPU of its own.
        work: A function of a module, since a new process has to find it by name.

    Raises:
        UserError: There are fewer GPUs, or one of the processes raised it.
    """
    check_processes(device, count)
    threads = max(1, torch.get_num_threads() // count)
    errors = get_context("spawn").SimpleQueue()
    try:
        spawn(_member, (count, get_free_port(), device.type, threads, errors, work, arguments), nprocs=count)
    except ProcessRaisedException:
        if errors.empty():
            raise
        raise UserError(errors.get()) from None


def _member(
    rank: int,
    count: int,
    port: int,
    device: str,
    threads: int,
    errors: SimpleQueue,
    work: Callable[..., None],
    arguments: tuple,
) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    network = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": threads}
    os.environ.update({name: str(value) for name, value in (place | network).items()})
    if rank:
        os.environ["DEFECTLIB_QUIET"] = "1"  # one progress bar is enough
    torch.set_num_threads(threads)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="no")  # the training casts as its settings say
    try:
        work(Team(accelerator), *arguments)
    except UserError as error:
        errors.put(str(error))
        raise
    finally:
        accelerator.end_training()
