"""Seeds, provenance and progress: what every stage needs and no stage should write again. Loads no torch."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

import defectlib
from defectlib.errors import UserError

PACKAGE_ROOT = Path(defectlib.__file__).parent
#: The checkout this package runs from; for an installed package, the folder that holds it.
REPOSITORY = PACKAGE_ROOT.parent
#: Whether this package runs from a checkout; then everything made stays below it.
IN_CHECKOUT = (REPOSITORY / "pyproject.toml").is_file()
#: Packages whose versions can change a result.
RECORDED_PACKAGES = (
    "torch", "torchvision", "diffusers", "segmentation-models-pytorch", "timm", "transformers", "onnxruntime", "numpy",
    "pillow", "scikit-image", "opencv-python-headless",
)  # fmt: skip


def cache_home() -> Path:
    """The user's cache folder for this package."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "defectlib"


def made(folder: Path) -> Path:
    """``folder``, made if need be.

    Raises:
        UserError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise UserError(f"{folder}: cannot be made ({error.strerror}); name another place") from error
    return folder


def path_of(text: str | Path) -> Path:
    """The path that a person wrote, ``~`` being their home; one of nobody stands for itself, and is then not found."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 (a Path would raise)


def data_home() -> Path:
    """Where published datasets lie, each in a folder of its name: ``$DEFECTLIB_DATA``, else ``data`` of the checkout,
    else below the user's cache folder.
    """
    if home := os.environ.get("DEFECTLIB_DATA"):
        return path_of(home).absolute()
    return REPOSITORY / "data" if IN_CHECKOUT else cache_home() / "data"


def child_seed(root: int, *names: str | int) -> int:
    """The seed that ``root`` gives to the purpose called ``names``, in [0, 2**63).

    Seeds of different purposes are unrelated, so adding a random draw in one place moves nothing elsewhere.
    """
    text = json.dumps([root, *names]).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def numpy_generator(root: int, *names: str | int) -> np.random.Generator:
    """A numpy generator for the purpose called ``names`` (see :func:`child_seed`)."""
    return np.random.Generator(np.random.PCG64(child_seed(root, *names)))


def launched() -> int:
    """How many processes ``accelerate launch`` or ``torchrun`` has started for one command; 1 where neither has."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@cache
def git_commit() -> str:
    """The checkout's commit, with ``+changes`` where files differ from it, or ``unknown`` outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def short_commit(commit: str) -> str:
    """A commit as people write it, with what is said of changes after it."""
    return re.sub(r"^([0-9a-f]{7})[0-9a-f]+", r"\1", commit)


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", "-C", str(REPOSITORY), *arguments], check=True, capture_output=True, text=True)
    return run.stdout.strip()


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a result; absent ones are left out."""
    versions = {name: _version(name) for name in RECORDED_PACKAGES}
    present = {name: found for name, found in versions.items() if found}
    return {"defectlib": defectlib.__version__, "python": platform.python_version()} | present


@cache  # all of a package's metadata are parsed for it, which is most of what an artifact costs the store
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def machine() -> str:
    """The processor and the number of cores this process may use, in words."""
    return f"{_processor()}, {cores()} cores"


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def now() -> str:
    """The time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


report: Callable[[dict[str, Any]], None] | None = None
"""Takes what a process that works for another one has to say: lines, and the states of its progress bars."""


def progress(total: int, what: str, initial: int = 0, unit: str = "step") -> tqdm:
    """A progress bar: what is being done, n of N, time left.

    On a terminal it redraws in place. In a log it prints a line every ten seconds, so that logs stay readable.
    """
    terminal = sys.stderr.isatty()
    if report is not None:
        return _Reported(total=total, desc=what, initial=initial, unit=unit, mininterval=1, leave=False)
    return tqdm(
        total=total,
        desc=what,
        initial=initial,
        unit=unit,
        dynamic_ncols=terminal,
        mininterval=0.2 if terminal else 10,
        delay=0.5 if terminal else 10,  # what is done sooner needs no bar
        file=sys.stderr if terminal else _Lines(sys.stderr),
        disable=is_quiet(),
        leave=False,
    )


class _Reported(tqdm):
    """A bar whose state goes to :data:`report` each time it would be drawn."""

    def display(self, *_: Any, **__: Any) -> None:
        """Send steps, seconds and what the loop says of itself (its loss)."""
        state = self.format_dict
        report({name: state[name] for name in ("n", "total", "initial", "elapsed", "postfix")})


def say(message: str) -> None:
    """One line on standard error about what is being done."""
    if report is not None:
        report({"say": message})
    elif not is_quiet():
        print(message, file=sys.stderr, flush=True)


def is_quiet() -> bool:
    """Whether ``DEFECTLIB_QUIET`` asks for no progress."""
    return os.environ.get("DEFECTLIB_QUIET") == "1"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Lines:
    """A stream for logs: each state of a progress bar becomes a line of its own, however many processes write."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        """Write ``text`` as one line, without what redraws a terminal; nothing if nothing else is left."""
        if shown := text.strip("\r\n "):
            self.stream.write(f"{shown}\n")

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()


def batches(count: int, size: int) -> Iterator[range]:
    """Consecutive index ranges of at most ``size`` that cover ``range(count)``."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))
