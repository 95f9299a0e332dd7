"""Content-addressed artifacts on disk: built once, published by one rename, never half. Loads no torch.

Layout below the root::

    STAGE/KEY/            a finished artifact: its files and provenance.json
    work/STAGE-KEY/       one being made; what it keeps under unfinished/ (checkpoints) lets it go on after a kill
    locks/STAGE-KEY.lock  held by the process that works on it, or removes it
    broken/STAGE-KEY-…/   one whose files no longer match its provenance, moved aside

``provenance.json`` is written last, so a directory without it is never read as an artifact. It holds the digest of
every file and of itself: what changed since is not served, and is made again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from defectlib import reading, runtime
from defectlib.errors import UserError, shown
from defectlib.settings import STAGES, Stage, parse

#: Fills the directory (third argument) with the artifact of the settings, given its inputs' directories by name.
Runner = Callable[[Any, Mapping[str, Path], Path], None]

PROVENANCE = "provenance.json"
SEAL = "sha256"  # of the rest of the provenance, under this name in it
UNFINISHED = "unfinished"
SHIPPED = runtime.PACKAGE_ROOT / "pretrained"

#: What a disk without file locks, such as some that are shared over a network, answers to a request for one.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}

logger = logging.getLogger(__name__)


def default_root() -> Path:
    """``$DEFECTLIB_STORE``, else ``build/store`` of the checkout, else the user's cache folder."""
    if root := os.environ.get("DEFECTLIB_STORE"):
        return runtime.path_of(root).absolute()
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
        """The finished artifact's directory, or None. A damaged one of ours counts as absent; nothing is written.

        Raises:
            UserError: A shipped artifact is damaged.
        """
        own = self._place(settings)
        if own.is_dir() and self._fault(own) is None:
            return own
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
        goes on from what it left under ``unfinished/``. A damaged artifact is moved aside.

        Raises:
            UserError: The store cannot be written to, or its disk has no file locks.
        """
        if found := self.find(settings):
            return found
        inputs = {name: self.build(stage, runners) for name, stage in settings.inputs().items()}
        name = f"{settings.stage}-{settings.key()}"
        with locked(self.root / "locks" / f"{name}.lock", f"{name}: another process is at work on it; waiting for it"):
            if found := self.find(settings):
                return found
            self._set_aside(self._place(settings))
            work = _made(self.root / "work" / name)
            if _damage(work):  # else it was cut off between its last file and the name it was to have
                _clear_but_unfinished(work)
                _make(settings, runners[settings.stage], inputs, work)
            return self._publish(settings, work)

    def _place(self, settings: Stage) -> Path:
        return self.root / settings.stage / settings.key()

    def _publish(self, settings: Stage, work: Path) -> Path:
        shutil.rmtree(work / UNFINISHED, ignore_errors=True)
        final = self._place(settings)
        _made(final.parent)
        work.rename(final)
        self._checked.add(final)
        return final

    def _fault(self, artifact: Path) -> str | None:
        """See :func:`_damage`; each artifact is read once per process."""
        if artifact in self._checked:
            return None
        fault = _damage(artifact)
        if fault is None:
            self._checked.add(artifact)
        return fault

    def _set_aside(self, artifact: Path) -> None:
        """Move a damaged artifact out of the way, under its lock: nobody else is making it, or moving it."""
        if not artifact.is_dir():
            return
        fault = _damage(artifact)
        target = _made(self.root / "broken") / f"{artifact.parent.name}-{artifact.name}-{secrets.token_hex(4)}"
        artifact.rename(target)
        logger.warning("%s: %s; moved to %s and made again", artifact, fault, target)


def _make(settings: Stage, runner: Runner, inputs: Mapping[str, Path], work: Path) -> None:
    """Fill ``work``, the provenance last; what is under ``unfinished/`` stays until all is there."""
    resumed = (work / UNFINISHED).exists()
    started = time.monotonic()
    runner(settings, inputs, work)
    seconds = round(time.monotonic() - started, 1)
    record = provenance(settings) | {"wall_seconds": seconds, "resumed": resumed, "files": digests(work)}
    write_provenance(work, record)


def _damage(artifact: Path) -> str | None:
    """What is wrong with the files of ``artifact``, or None."""
    try:
        record = json.loads((artifact / PROVENANCE).read_text())
        if changed_since_sealed(record):
            return f"{PROVENANCE} has changed since it was written"
        recorded, present = record["files"], digests(artifact)
        changed = [name for name, digest in recorded.items() if present.get(name) != digest]
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        return f"{PROVENANCE} cannot be read ({error})"
    if not changed:
        return None
    return f"'{changed[0]}' {'has changed since it was written' if changed[0] in present else 'is missing'}"


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


def write_provenance(artifact: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a finished artifact, sealed."""
    write_atomically(artifact / PROVENANCE, json.dumps(sealed(record), indent=1))


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """``record``, of JSON values, with their SHA-256 under :data:`SEAL`."""
    whole = {name: value for name, value in record.items() if name != SEAL}
    return whole | {SEAL: hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()}


def changed_since_sealed(record: Mapping[str, Any]) -> bool:
    """Whether a record is another than that which was sealed; one made before there were seals never is."""
    return SEAL in record and record[SEAL] != sealed(record)[SEAL]


def read_provenance(artifact: Path) -> dict[str, Any]:
    """The record of a finished artifact."""
    return json.loads((artifact / PROVENANCE).read_text())


def settings_of(record: Mapping[str, Any]) -> Stage:
    """The settings object that a provenance record, or a ``{stage, settings}`` pair in a file, describes.

    Raises:
        UserError: The stage is unknown or the settings are not valid for it.
    """
    name, values = record.get("stage"), record.get("settings", {})
    if not isinstance(name, str) or name not in STAGES:
        raise UserError(f"no stage is called {shown(name)}: known are {', '.join(STAGES)}")
    if not isinstance(values, dict):
        raise UserError(f"the settings of stage '{name}' must be a table of names and values, found {shown(values)}")
    return parse(STAGES[name], values)


def read_settings(path: Path) -> Stage:
    """The settings in a JSON file ``{stage, settings}``, such as ``defectlib plan --json`` lists.

    Raises:
        UserError: The file is not JSON, or its content describes no stage.
    """
    advice = "`defectlib plan --json` shows what it should hold"
    content = reading.read_json(path, advice)
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold a table with 'stage' and 'settings'; {advice}")
    try:
        return settings_of(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of every file below ``directory`` but the provenance and what is unfinished, by relative path."""
    unfinished = directory / UNFINISHED
    files = sorted(
        path
        for path in directory.rglob("*")
        if path.is_file() and path != directory / PROVENANCE and unfinished not in path.parents
    )
    return {path.relative_to(directory).as_posix(): _sha256(path) for path in files}


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``path`` so that a reader, or a power cut, sees the old content or the new and nothing between."""
    _write_parts(path, content.encode() if isinstance(content, str) else content)


def _write_parts(path: Path, *parts: bytes) -> None:
    if path.exists() and not path.is_file():  # a rename would put a file in the place of a device
        raise UserError(f"{path}: is a folder or a special file; name another place")
    partial = unfinished_name(path)
    try:
        with partial.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def unfinished_name(path: Path) -> Path:
    """Where to write what shall become ``path``: a hidden place beside it, of no other process on any machine."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which becomes ``folder`` when the block ends; where the block fails, nothing is left.

    Raises:
        UserError: See :func:`check_room`; another process may have been sooner.
    """
    check_room(folder)
    partial = unfinished_name(folder)
    try:
        partial.mkdir(parents=True)
        yield partial
        try:
            partial.rename(folder)  # in the place of an empty one, too
        except OSError:
            check_room(folder)
            raise
    except shutil.Error as error:  # holds a line for every file; the first says what is the matter
        raise OSError(error.args[0][0][2]) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_room(folder: Path) -> None:
    """Refuse a new folder where something is already, by a UserError."""
    if folder.is_symlink():  # it would have to make room for what is written
        raise UserError(f"{folder}: is a link; name a folder that is none")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already and not empty; name another folder or remove it")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sealed(path: Path, content: bytes) -> None:
    """Write ``path`` atomically, with what :func:`read_sealed` needs to see that it is what was written."""
    _write_parts(path, content, hashlib.sha256(content).digest())


def read_sealed(path: Path) -> bytes | None:
    """What :func:`write_sealed` was given; None if there is no such file, or one that was changed or cut short."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    size = hashlib.sha256().digest_size
    content, seal = data[:-size], data[-size:]
    return content if hashlib.sha256(content).digest() == seal else None


def _made(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _refused(directory, error)
    return directory


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock file ``path``; it is free again when this process ends, however it ends.

    Args:
        path: Its folder is made.
        busy: What is said while another process is waited for.

    Raises:
        UserError: It cannot be written, or its disk has no file locks.
    """
    lock = FileLock(_made(path.parent) / path.name, fallback_to_soft=False)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            runtime.say(busy)
            lock.acquire()
    except OSError as error:
        _refused(path.parent, error)
    try:
        yield
    finally:
        lock.release()


def _refused(directory: Path, error: OSError) -> NoReturn:
    if error.errno == errno.ENOSPC:  # another folder on the same disk would not help
        raise error
    if error.errno in _NO_LOCKS:
        reason = f"the disk of {directory} has no file locks ({error.strerror})"
        raise UserError(f"{reason}; set DEFECTLIB_STORE to a disk that has them, such as a local one") from error
    reason = f"cannot write to {directory} ({error.strerror})"
    raise UserError(f"{reason}; set DEFECTLIB_STORE to a folder you own") from error


def _clear_but_unfinished(work: Path) -> None:
    for path in work.iterdir():
        if path.name != UNFINISHED:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
