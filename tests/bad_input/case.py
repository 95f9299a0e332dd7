"""What a case of bad input is, how one is met by the true command line, and what it must not do."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import typer
from huggingface_hub import constants

from defectclick import serving
from defectlib import cli, cli_book
from defectlib.runtime import REPOSITORY

#: Makes the bad thing in a folder and says the command line that meets it.
Make = Callable[[Path], list[str]]
#: What is there while a case is met, and gives variables of the environment.
Around = Callable[[], AbstractContextManager[dict[str, str]]]


@dataclass(frozen=True)
class Case:
    """One malformed input.

    Attributes:
        entry: The command, or the kind of file, whose cases are counted together.
        name: Tells it from the others of its entry.
        says: What a regular expression finds in what is printed.
        make: Makes it.
        several: All that is wrong is listed at once, a line each; else there is one line.
        environment: Variables beside the usual ones; ``{place}`` stands for the folder.
        around: What must be there meanwhile, and its variables.
    """

    entry: str
    name: str
    says: str
    make: Make
    several: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    around: Around = lambda: nullcontext({})

    def __str__(self) -> str:
        return f"{self.entry}: {self.name}"


@dataclass(frozen=True)
class Met:
    """How a command ended.

    Attributes:
        status: Its exit status; 1 where it ended in a traceback.
        out: What it printed.
        err: What it said.
        changed: Files that were written, changed or removed.
        command: What was typed.
    """

    status: int
    out: str
    err: str
    changed: tuple[str, ...]
    command: tuple[str, ...]


#: Building the commands takes longer than most cases, and every call would build them again.
_COMMANDS = cache(typer.main.get_command)
#: All cases, in the order of their definition.
CASES: list[Case] = []


def bad(entry: str, name: str, says: str, make: Make, **rest: object) -> None:
    """Add a case to the catalogue."""
    CASES.append(Case(entry, name, says, make, **rest))


def meet(case: Case, place: Path) -> Met:
    """Make the bad thing below ``place``, run the command line in this process, and see what it did."""
    command = case.make(place)
    before = snapshot(place)
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        case.around() as further,
        surroundings(variables(case, place) | further, place),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        status = _run(command)
    said = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return Met(status, *said, _changes(before, snapshot(place)), tuple(command))


def meet_truly(case: Case, place: Path) -> Met:
    """Likewise, by a process of its own."""
    command = case.make(place)
    before = snapshot(place)
    with case.around() as further:
        own = variables(case, place) | further | {"PYTHONPATH": str(REPOSITORY)}
        words = [sys.executable, "-m", "defectlib", *command]
        run = subprocess.run(words, cwd=place, env=os.environ | own, capture_output=True, timeout=120, check=False)
    said = [stream.decode() for stream in (run.stdout, run.stderr)]
    return Met(run.returncode, *said, _changes(before, snapshot(place)), tuple(command))


def faults(case: Case, met: Met) -> list[str]:
    """What is against the way in which a command ended, one line each."""
    lines = met.err.splitlines()
    found = []
    if met.status != 2:
        found.append(f"ended with status {met.status}")
    if not met.err.endswith("\n") or (len(lines) != 1 and not (case.several and len(lines) > 1)):
        found.append(f"said {len(lines)} lines")
    if "Warning" in met.err:
        found.append("left a warning")
    if "Traceback" in met.err:
        found.append("left a traceback")
    if met.out:
        found.append("printed something")
    if not re.search(case.says, met.err):
        found.append(f"did not say {case.says!r}")
    if met.changed:
        found.append(f"touched {', '.join(met.changed)}")
    return found


def variables(case: Case, place: Path) -> dict[str, str]:
    """The variables of the environment under which a case is met."""
    own = {"DEFECTLIB_STORE": "{place}/store", "DEFECTLIB_DATA": "{place}/data", "DEFECTLIB_QUIET": "1"}
    offline = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    return {name: value.replace("{place}", str(place)) for name, value in (own | offline | case.environment).items()}


@contextmanager
def surroundings(environment: dict[str, str], place: Path) -> Iterator[None]:
    """The folder as the working directory, with a store and a book of its own; no page is served."""
    kept, folder = dict(os.environ), Path.cwd()
    book = {name: getattr(cli_book, name) for name in ("BUILD", "STAGE", "PAGES")}
    build, serve, endpoint = typer.main.get_command, serving.serve, constants.ENDPOINT
    typer.main.get_command = _COMMANDS
    serving.serve = _served
    os.environ |= environment
    constants.ENDPOINT = environment["HF_ENDPOINT"]  # which the library has read once and for all
    os.chdir(place)
    cli_book.BUILD = place / "build"
    cli_book.STAGE, cli_book.PAGES = place / "build" / "stage", place / "build" / "html"
    try:
        with warnings.catch_warnings():
            _warn_as_python_does()
            yield
    finally:
        typer.main.get_command, serving.serve, constants.ENDPOINT = build, serve, endpoint
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(kept)
        for name, value in book.items():
            setattr(cli_book, name, value)


def _served(*_: object, **__: object) -> None:
    raise AssertionError("a page would have been served, and nobody would ever end that")


def _warn_as_python_does() -> None:
    """Print warnings, as Python does where pytest does not collect them."""
    warnings.simplefilter("default")
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)
    warnings.showwarning = lambda *warning: print(warnings.formatwarning(*warning[:4]), file=sys.stderr)


def _run(command: list[str]) -> int:
    arguments, sys.argv = sys.argv, ["defectlib", *command]
    try:
        cli.main()
    except SystemExit as leaving:
        return int(leaving.code or 0)
    except BaseException:  # what a process would print before it ends
        traceback.print_exc()
        return 1
    finally:
        sys.argv = arguments
    return 0


def snapshot(place: Path) -> dict[str, str]:
    """Kind and content of everything below ``place``, by its path."""
    found = {}
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            path = Path(folder, name)
            found[os.path.relpath(path, place)] = _state(path)
    return found


def _state(path: Path) -> str:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"link to {os.readlink(path)}"  # noqa: PTH115 (a Path would fold what it holds)
    if not stat.S_ISREG(status.st_mode):
        return stat.filemode(status.st_mode)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _changes(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    """What differs, but for what is kept by design: empty folders and locks, and in the store splits that are whole."""
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return tuple(sorted(name for name in changed if name in before or not _is_kept_by_design(name, after[name])))


def _is_kept_by_design(name: str, state: str) -> bool:
    top, *rest = Path(name).parts
    if top not in ("store", "build"):
        return False
    return state.startswith("d") or name.endswith(".lock") or rest[:1] == ["splits"]
