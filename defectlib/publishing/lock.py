"""One process at a time where two would write the same files, such as the pages of the book."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from defectlib import runtime


@contextmanager
def alone(path: Path, busy: str) -> Iterator[None]:
    """Do what follows while no other process does; one that was killed stands in nobody's way.

    Args:
        path: A file to lock; its folder is made.
        busy: What is said while another process is waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        runtime.say(busy)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
