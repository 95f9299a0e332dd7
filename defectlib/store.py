"""Content-addressed artifacts on disk: built once, published by one rename, never half. Loads no torch.

Layout below the root::

    STAGE/KEY/            a finished artifact: its files and provenance.json
    work/STAGE-KEY/       one being made; what it keeps under unfinished/ (checkpoints) lets it go on after a kill
    locks/STAGE-KEY.lock  held by the process that works on it
    broken/STAGE-KEY-N/   one whose files no longer match its provenance, moved aside

``provenance.json`` is written last, so a directory without it is never read as an artifact.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from defectlib import runtime
from defectlib.config import STAGES, Stage, parse
from defectlib.errors import UserError

#: Fills the directory (third argument) with the artifact of the settings, given its inputs' directories by name.
Runner = Callable[[Any, Mapping[str, Path], Path], None]

PROVENANCE = "provenance.json"
UNFINISHED = "unfinished"
SHIPPED = runtime.PACKAGE_ROOT / "pretrained"

logger = logging.getLogger(__name__)


def default_root() -> Path:
    """``$DEFECTLIB_STORE``, else ``build/store`` of the checkout, else the user's cache folder."""
    if root := os.environ.get("DEFECTLIB_STORE"):
        return Path(root).expanduser().absolute()
    return runtime.REPOSITORY / "build" / "store" if runtime.IN_CHECKOUT else runtime.cache_home()


class Store:
    """Artifacts below ``root``, over a read-only layer of shipped ones.

    Args:
        root: Directory of the artifacts; made when first written to.
        shipped: Read-only artifacts, ``STAGE/KEY`` with keys that leave out the machine; None for no such layer.
    """

    def __init__(self, root: Path | None = None, shipped: Path | None = SHIPPED) -> None:
        self.root = root or default_root()
        self.shipped = shipped
        self._checked: set[Path] = set()

    def find(self, settings: Stage) -> Path | None:
        """The finished artifact's directory, or None. A damaged one of ours is moved aside and counts as absent.

        Raises:
            UserError: A shipped artifact is damaged.
        """
        own = self.root / settings.stage / settings.key()
        if (own / PROVENANCE).is_file():
            fault = self._fault(own)
            if fault is None:
                return own
            self._set_aside(own, fault)
        if self.shipped is not None:
            shipped = self.shipped / settings.stage / settings.key(any_machine=True)
            if (shipped / PROVENANCE).is_file():
                if fault := self._fault(shipped):
                    raise UserError(f"{shipped}: {fault}; this file is part of the package, install it again")
                return shipped
        return None

    def build(self, settings: Stage, runners: Mapping[str, Runner]) -> Path:
        """The artifact of ``settings``: found, or made together with what it needs.

        Many processes may ask for the same artifact; one works, the others wait for it. A run that was cut off
        goes on from what it left under ``unfinished/``.
        """
        if found := self.find(settings):
            return found
        inputs = {name: self.build(stage, runners) for name, stage in settings.inputs().items()}
        name = f"{settings.stage}-{settings.key()}"
        with FileLock(_made(self.root / "locks") / f"{name}.lock"):
            if found := self.find(settings):
                return found
            work = _made(self.root / "work" / name)
            _clear_but_unfinished(work)
            resumed = (work / UNFINISHED).exists()
            started = time.monotonic()
            runners[settings.stage](settings, inputs, work)
            return self._publish(settings, work, time.monotonic() - started, resumed)

    def _publish(self, settings: Stage, work: Path, seconds: float, resumed: bool) -> Path:
        shutil.rmtree(work / UNFINISHED, ignore_errors=True)
        record = provenance(settings) | {
            "wall_seconds": round(seconds, 1),
            "resumed": resumed,
            "files": digests(work),
        }
        write_atomically(work / PROVENANCE, json.dumps(record, indent=1))
        final = _made(self.root / settings.stage) / settings.key()
        work.rename(final)
        self._checked.add(final)
        return final

    def _fault(self, artifact: Path) -> str | None:
        """What is wrong with the files of ``artifact``, or None; each artifact is read once per process."""
        if artifact in self._checked:
            return None
        try:
            recorded = json.loads((artifact / PROVENANCE).read_text())["files"]
            present = digests(artifact)
        except (ValueError, KeyError, TypeError, OSError) as error:
            return f"{PROVENANCE} cannot be read ({error})"
        for name, digest in recorded.items():
            if present.get(name) != digest:
                return f"'{name}' is missing" if name not in present else f"'{name}' has changed since it was written"
        self._checked.add(artifact)
        return None

    def _set_aside(self, artifact: Path, fault: str) -> None:
        broken = _made(self.root / "broken")
        number = sum(1 for _ in broken.iterdir())
        target = broken / f"{artifact.parent.name}-{artifact.name}-{number}"
        artifact.rename(target)
        logger.warning("%s: %s; moved to %s and made again", artifact, fault, target)


def provenance(settings: Stage) -> dict[str, Any]:
    """How an artifact comes to be: settings, inputs, seed, code, packages, machine, time."""
    return {
        "stage": settings.stage,
        "version": settings.version,
        "key": settings.key(),
        "settings": settings.model_dump(mode="json"),
        "inputs": {name: stage.key() for name, stage in settings.inputs().items()},
        "seed": getattr(settings, "seed", None),
        "commit": runtime.git_commit(),
        "packages": runtime.package_versions(),
        "machine": runtime.machine(),
        "device": getattr(settings, "device", "cpu"),
        "finished": runtime.now(),
    }


def read_provenance(artifact: Path) -> dict[str, Any]:
    """The record of a finished artifact."""
    return json.loads((artifact / PROVENANCE).read_text())


def settings_of(record: Mapping[str, Any]) -> Stage:
    """The settings object that a provenance record, or a ``{stage, settings}`` pair in a file, describes.

    Raises:
        UserError: The stage is unknown or the settings are not valid for it.
    """
    stage = STAGES.get(record.get("stage", ""))
    if stage is None:
        raise UserError(f"no stage is called '{record.get('stage')}': known are {', '.join(STAGES)}")
    return parse(stage, dict(record.get("settings", {})))


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of every file below ``directory`` but the provenance, by relative path."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path != directory / PROVENANCE)
    return {path.relative_to(directory).as_posix(): _sha256(path) for path in files}


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``path`` so that a reader, or a power cut, sees the old content or the new and nothing between."""
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _made(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise UserError(
            f"cannot write to {directory} ({error.strerror}); set DEFECTLIB_STORE to a folder you own"
        ) from error
    return directory


def _clear_but_unfinished(work: Path) -> None:
    for path in work.iterdir():
        if path.name != UNFINISHED:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
