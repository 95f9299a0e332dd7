"""`make book` where nothing has changed: what it takes to find that out.

Left out where there is no finished book of the profile: this must not build one. The floor is the command's start.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.harness import Finding, Floor, by_turns
from defectlib.errors import UserError
from defectlib.runtime import REPOSITORY

ROUNDS = 3
PROFILE = "cpu"


def run(tiny: bool) -> Iterator[Finding]:
    """The book of the default profile.

    Raises:
        UserError: It is not built, or not up to date.
    """
    book = (sys.executable, "-m", "defectlib", "book", "--profile", PROFILE)
    if "\n0 to be made" not in f"\n{_run(*book, '--dry-run').stdout}":
        raise UserError(f"no finished book of profile {PROFILE}: run make book first")
    ways = {
        "ours": lambda: _run("make", "-s", "book", f"PROFILE={PROFILE}"),
        "floor": lambda: _run(*book[:3], "--help"),
    }
    seconds = by_turns(ways, 1 if tiny else ROUNDS, warm_up=0)
    floor = Floor(min(seconds["floor"]), "the command's start")
    yield Finding("book", "make book, nothing changed", "book", f"profile {PROFILE}", seconds["ours"], floor=floor)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    quiet = os.environ | {"DEFECTLIB_QUIET": "1"}
    return subprocess.run(command, cwd=REPOSITORY, env=quiet, check=True, capture_output=True, text=True)
