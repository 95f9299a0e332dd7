"""`defectlib click` as a process of its own, with the method that needs no network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO


def started(images: Path, out: Path, classes: str, stderr: int | IO[str]) -> subprocess.Popen[str]:
    """The running tool; the first line it prints is its address. Without a terminal, as in a test run anywhere."""
    command = ["click", str(images), str(out), "--classes", classes, "--method", "flood fill", "--no-browser"]
    return subprocess.Popen(
        [sys.executable, "-m", "defectlib", *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
        env=os.environ | {"DEFECTLIB_QUIET": "1"},
    )  # fmt: skip
