"""`defectlib click` as a process of its own, with the method that needs no network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from defectlib.runtime import REPOSITORY


def started(
    images: Path,
    out: Path,
    classes: str,
    stderr: int | IO[str],
    browser: bool = False,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """The running tool; the first line it prints is its address. Without a terminal, as in a test run anywhere."""
    options = ["--classes", classes, "--method", "flood fill", "--browser" if browser else "--no-browser"]
    variables = {"DEFECTLIB_QUIET": "1", "PYTHONPATH": str(REPOSITORY)} | dict(environment or {})
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "defectlib", "click", str(images), str(out), *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=cwd,
        env=os.environ | variables,
    )  # fmt: skip
