"""`make book` where nothing has changed: what it takes to find that out.

Left out where there is no finished book of the profile: this must not build one. The floor is Snakemake's own start.
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
    if not _finished():
        raise UserError(f"no finished book of profile {PROFILE}: run make book first")
    ways = {"ours": lambda: _run("make", "-s", "book", f"PROFILE={PROFILE}"), "floor": _snakemake_alone}
    seconds = by_turns(ways, 1 if tiny else ROUNDS, warm_up=0)
    floor = Floor(min(seconds["floor"]), "Snakemake's start")
    yield Finding("book", "make book, nothing changed", "book", f"profile {PROFILE}", seconds["ours"], floor=floor)


def _finished() -> bool:
    if not (REPOSITORY / "build" / "_build" / "html" / "index.html").is_file():
        return False
    command = [*_SNAKEMAKE, "--dry-run", "--cores", "all", "--nolock", "--rerun-triggers", "mtime"]
    run = _run(*command, "--config", f"profile={PROFILE}", "jobs=2", check=False)
    return run.returncode == 0 and "Nothing to be done" in run.stdout + run.stderr


_SNAKEMAKE = (sys.executable, "-m", "snakemake")


def _snakemake_alone() -> object:
    return _run(*_SNAKEMAKE, "--version")


def _run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    quiet = os.environ | {"DEFECTLIB_QUIET": "1"}
    return subprocess.run(command, cwd=REPOSITORY, env=quiet, check=check, capture_output=True, text=True)
