"""Real file systems that refuse: one that is full, one that cannot be written to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A disk of ``size`` (such as "128k") at the new folder ``place``; skips the test where none may be mounted."""
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def resize(place: Path, size: str) -> None:
    """Give a disk of :func:`small_disk` another size."""
    _mount("-o", f"remount,size={size}", str(place))


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """``folder``, in which nothing can be written for a while."""
    if os.geteuid():
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    _mount("--bind", str(folder), str(folder))  # permissions do not stop root
    try:
        _mount("-o", "remount,bind,ro", str(folder))
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    run = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip(f"a disk cannot be mounted here ({run.stderr.strip()})")
