"""Runs of the true commands, in processes that can be stopped, looked at and killed.

Loading torch takes longer than the tiny stages that are disturbed here. So most runs are forks of this process, which
has loaded everything and computed nothing, and which then call the command line's ``main``; some are fresh commands.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import psutil

from defectlib.runtime import REPOSITORY

TIMEOUT = 600  # seconds after which a run counts as one that does not finish
POLL = 0.002


class Run:
    """A process and all that it started.

    Args:
        process: Id of the process.
        folder: Where its stdout and stderr are.
    """

    def __init__(self, process: int, folder: Path) -> None:
        self.process, self.folder = process, folder
        self.status: int | None = None

    @property
    def ended(self) -> bool:
        """Whether it has ended; ``status`` is then the exit status, negative for a signal."""
        if self.status is None:
            found, status = os.waitpid(self.process, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if found else None
        return self.status is not None

    def wait(self) -> int:
        """The exit status, once it has ended; what does not end is killed."""
        end = time.monotonic() + TIMEOUT
        while not self.ended:
            if time.monotonic() > end:
                self.kill()
            time.sleep(POLL)
        return self.status

    def stop(self) -> list[psutil.Process]:
        """Halt it with all that it started, so that what is on disk stays as it is."""
        head = psutil.Process(self.process)
        head.suspend()
        members = [head, *head.children(recursive=True)]
        for member in members[1:]:
            _send(member, signal.SIGSTOP)
        return members

    def kill(self, head_alone: bool = False) -> None:
        """SIGKILL to all of it; or to its first process alone, so that the others learn of it by themselves."""
        members = self.stop()
        for member in members[1:]:
            _send(member, signal.SIGCONT if head_alone else signal.SIGKILL)
        _send(members[0], signal.SIGKILL)
        _, status = os.waitpid(self.process, 0)
        self.status = os.waitstatus_to_exitcode(status)

    @property
    def out(self) -> str:
        """What it wrote to stdout."""
        return (self.folder / "stdout").read_text()

    @property
    def err(self) -> str:
        """What it wrote to stderr."""
        return (self.folder / "stderr").read_text()


def _send(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def environment(store: Path, **others: str) -> dict[str, str]:
    """Of a run: its store, one thread, nothing said."""
    words = {
        "DEFECTLIB_STORE": str(store),
        "OMP_NUM_THREADS": "1",
        "DEFECTLIB_QUIET": "1",
        "DEFECTLIB_DATA": os.devnull,
    }
    return words | others


def fresh(words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Run:
    """``python -m defectlib WORDS`` as anybody starts it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "defectlib", *words],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    process.returncode = 0  # this module waits for it, not the object
    return Run(process.pid, folder)


def forked(words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Run:
    """The same command in a fork of this process; see :func:`warm`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("stdout", "stderr"):
        (folder / name).write_text("")  # there from the first moment on
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    return Run(process, folder) if process else _become(words, folder, variables)


def _become(words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
    """Be that command, and end with it."""
    status = 1
    try:
        os.setsid()
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_APPEND), descriptor)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))
        os.environ.update(variables)
        os.chdir(REPOSITORY)
        sys.argv = ["defectlib", *words]
        from defectlib import cli

        cli.main()
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


#: What the commands load, so that forks need not.
LOADED = (
    "defectlib.cli", "defectlib.defectgen.training", "defectlib.defectgen.synthesis", "defectlib.segmentation.training",
    "defectlib.segmentation.evaluation", "defectlib.experiments.own", "defectlib.publishing.runner",
    "defectlib.data.verify", "defectlib.defectgen.crops", "defectlib.defectgen.measures.crop_copies",
)  # fmt: skip


def warm() -> None:
    """Load everything and compute nothing: threads would not outlive a fork."""
    for name in LOADED:
        import_module(name)
    import torch

    from defectlib import runtime

    torch.set_num_threads(1)
    runtime.git_commit()
