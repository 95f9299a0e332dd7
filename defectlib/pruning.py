"""What a store holds that nothing will ask for again: found, told, removed."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from defectlib.errors import UserError
from defectlib.settings import NotebookRun
from defectlib.store import PROVENANCE, changed_since_sealed, locked, settings_of

#: How the store calls what it makes; nothing with another name is touched.
_NAME = re.compile(r"[a-z_]+-[0-9a-f]{16}")


@dataclass(frozen=True)
class Leftover:
    """A file or folder of a store that nothing will ask for again.

    Attributes:
        path: Where it is.
        why: What it is, in words.
        size: In bytes, of all files in it.
        kept: It is what an interrupted run left, and too young to be removed.
    """

    path: Path
    why: str
    size: int
    kept: bool = False


def prune(root: Path, days: float, code: Callable[[], str], *, dry_run: bool = False) -> list[Leftover]:
    """Remove from a store what nothing will ask for again; what a process is at work on stays.

    That is: artifacts of settings, or of a version of a stage, that the code no longer has; damaged ones that were
    moved aside; what interrupted runs left; splits of datasets that are gone; lock files that nobody holds.

    Args:
        root: Of the store.
        days: What an interrupted run wrote to within so many days is kept: the same command would go on with it.
        code: The digest of the code that notebooks run with now; called if there is a notebook.
        dry_run: Remove nothing.

    Returns:
        What was found, lock files left out.
    """
    if not root.is_dir():
        return []
    busy = "another process prunes the store; waiting for it"
    with nullcontext() if dry_run else locked(root / "locks" / "prune.lock", busy):
        return _prune(root, days, code, dry_run)


def _prune(root: Path, days: float, code: Callable[[], str], dry_run: bool) -> list[Leftover]:
    artifacts = list(_artifacts(root))
    outdated = {
        f"{path.parent.name}-{path.name}": (path, why) for path, record in artifacts if (why := _outdated(record, code))
    }
    works = {path.name for path in (root / "work").glob("*")}
    locks = {path.stem for path in (root / "locks").glob("*.lock")}
    found = []
    for name in sorted(filter(_NAME.fullmatch, works | locks | outdated.keys())):
        with _unused(root / "locks" / f"{name}.lock", dry_run) as unused:
            if unused:
                leftovers = [_interrupted(work, days)] if (work := root / "work" / name).is_dir() else []
                if name in outdated:
                    path, why = outdated[name]
                    leftovers.append(Leftover(path, why, _size(path)))
                found += _removed(root, leftovers, dry_run)
    aside = [path for path in (root / "broken").glob("*") if _NAME.search(path.name)]
    rest = [Leftover(path, "damaged", _size(path)) for path in aside]
    rest += [Leftover(path, f"split of {data}, which is gone", _size(path)) for path, data in _stray(root, artifacts)]
    return found + _removed(root, rest, dry_run)


def _removed(root: Path, leftovers: list[Leftover], dry_run: bool) -> list[Leftover]:
    """``leftovers``, by now removed unless they are kept."""
    for path in [leftover.path for leftover in leftovers if not (dry_run or leftover.kept)]:
        aside = root / "broken" / f"{path.parent.name}-{path.name}-{secrets.token_hex(4)}"
        aside.parent.mkdir(exist_ok=True)
        path.rename(aside)  # so that nobody finds half of it, and a later call removes what this one could not
        shutil.rmtree(aside)
    return leftovers


def _artifacts(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What has the name and the record of an artifact, whole; what is damaged is moved aside when it is asked for."""
    for path in sorted(root.glob(f"*/*/{PROVENANCE}")):
        artifact = path.parent
        try:
            record = json.loads(path.read_text())
            named = (artifact.parent.name, artifact.name) == (record["stage"], record["key"])
            if named and not changed_since_sealed(record):
                yield artifact, record
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue


def _outdated(record: dict[str, Any], code: Callable[[], str]) -> str | None:
    """Why the code that there is now cannot ask for the artifact of ``record``, or None."""
    if record["stage"] == NotebookRun.stage:  # whose record does not hold all that its key is made from
        current = record["settings"]["code"] == code()
    else:
        try:
            current = settings_of(record).key() == record["key"]
        except UserError:
            return "of settings that there are no longer"
    return None if current else "made by other code than there is now"


def _interrupted(work: Path, days: float) -> Leftover:
    age = (time.time() - max(path.stat().st_mtime for path in (work, *work.rglob("*")))) / 86_400
    why = f"unfinished, last written to {age:.1f} days ago"
    return Leftover(work, why, _size(work), kept=age < days)


def _stray(root: Path, artifacts: list[tuple[Path, dict[str, Any]]]) -> Iterator[tuple[Path, Path]]:
    """Folders of splits that were made for datasets which are no longer where they were; and these datasets."""
    used: dict[Path, set[Path]] = {}
    for _, record in artifacts:
        for data in _folders(record["settings"]):
            used.setdefault(Path(data["root"], data["split"]).parent, set()).add(Path(data["root"]))
    for place, datasets in used.items():
        if place.parent == root / "splits" and place.is_dir() and not any(data.exists() for data in datasets):
            yield place, min(datasets)


def _folders(settings: Any) -> Iterator[dict[str, Any]]:
    """Every description of a dataset folder in settings."""
    if isinstance(settings, dict):
        if settings.get("kind") == "folder":
            yield settings
        settings = list(settings.values())
    for value in settings if isinstance(settings, list) else ():
        yield from _folders(value)


@contextmanager
def _unused(lock: Path, dry_run: bool) -> Iterator[bool]:
    """Whether no process holds ``lock``; none can while this lasts, and it is then removed."""
    if dry_run and not lock.exists():
        yield True
        return
    lock.parent.mkdir(exist_ok=True)
    held = FileLock(lock, fallback_to_soft=False)
    try:
        held.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
        if not dry_run:
            lock.unlink()  # who waits for it sees that, and takes a new one
    finally:
        held.release()


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
