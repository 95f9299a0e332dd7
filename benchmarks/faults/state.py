"""A store seen from outside: which artifacts it would serve, whether they are whole, and what is being made.

Nothing here asks the store's own code whether an artifact is right.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

#: Folders of a store that hold no artifacts.
ASIDE = {"work", "locks", "broken", "examples", "splits"}
#: What two equal runs may say differently, in JSON: when, how long, where.
VOLATILE = {
    "finished", "wall_seconds", "seconds", "resumed", "files", "sha256", "_name_or_path", "made", "root", "split",
    "artifact", "commit", "made_from",
}  # fmt: skip


def artifacts(store: Path) -> dict[str, Path]:
    """Directories that look finished, by ``STAGE/KEY``."""
    found = (path for stage in store.glob("*") if stage.name not in ASIDE for path in stage.glob("*"))
    return {f"{path.parent.name}/{path.name}": path for path in found}


def results(store: Path) -> dict[str, str]:
    """Digest of every artifact's content, less what tells when and where it was made."""
    return {name: content(path) for name, path in artifacts(store).items()}


def content(folder: Path) -> str:
    """Digest of what is in a folder, or of a file, less what tells when and where it was made."""
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    record = folder / "provenance.json"
    lines = [f"{path.relative_to(folder)} {_content(path)}" for path in files if path != record]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _content(path: Path) -> str:
    if path.suffix == ".json":
        data = json.dumps(_lasting(json.loads(path.read_text())), sort_keys=True).encode()
    elif path.suffix == ".ipynb":
        data = json.dumps(_outputs(json.loads(path.read_text()))).encode()
    elif path.suffix == ".npz":  # dates its members
        with np.load(path, allow_pickle=False) as arrays:
            data = b"".join(f"{name} {arrays[name].shape}".encode() + arrays[name].tobytes() for name in arrays.files)
    else:
        data = path.read_bytes()
    return hashlib.sha256(data).hexdigest()


def _lasting(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _lasting(item) for name, item in value.items() if name not in VOLATILE}
    return [_lasting(item) for item in value] if isinstance(value, list) else value


def _outputs(notebook: Mapping[str, Any]) -> list[Any]:
    """Sources, and what cells printed and drew, of an executed notebook; widgets have names drawn at random."""
    kinds = ("text/plain", "image/png", "text/markdown")
    shown = [
        [output.get("text", ""), *(output.get("data", {}).get(kind, "") for kind in kinds)]
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        if output.get("name") != "stderr" and "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
    ]
    return [[cell["source"] for cell in notebook["cells"]], shown]


def faults(store: Path, expected: Mapping[str, str]) -> list[str]:
    """What a reader of the store would be served that is wrong: not what its record says, or not what it should be."""
    return [
        f"{name}: {fault}" for name, path in artifacts(store).items() for fault in _faults(path, expected.get(name))
    ]


def _faults(artifact: Path, expected: str | None) -> Iterator[str]:
    try:
        recorded = json.loads((artifact / "provenance.json").read_text())["files"]
    except (OSError, ValueError, KeyError) as error:
        yield f"its provenance cannot be read ({error})"
        return
    for name, digest in recorded.items():
        path = artifact / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            yield f"{name} is not what its record says"
    if expected is not None and content(artifact) != expected:
        yield "differs from that of an undisturbed run"


def in_progress(store: Path) -> dict[str, Any] | None:
    """The stage that a process is in the middle of, and what of it is on disk; None if there is none.

    In the middle: its working directory is there, its lock is held, and its artifact is not published.
    """
    for work in sorted((store / "work").glob("*")):
        stage, _, key = work.name.rpartition("-")
        if _held(store / "locks" / f"{work.name}.lock") and not (store / stage / key).exists():
            return {"stage": stage, "key": key, "published": len(artifacts(store)), **_left(work / "unfinished")}
    return None


def _held(lock: Path) -> bool:
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False


def _left(unfinished: Path) -> dict[str, Any]:
    """The step of the checkpoint, the pairs that are journaled."""
    found: dict[str, Any] = {}
    if (unfinished / "checkpoint.safetensors").exists():
        found["checkpoint"] = checkpoint_step(unfinished / "checkpoint.safetensors")
    if batches := [path.stem.split("-") for path in unfinished.glob("[0-9]*-*.npz")]:
        found["pairs"] = sum(int(size) for _, size in batches)
    if half := [path.name for path in unfinished.glob(".*")]:
        found["half written"] = half
    return found


def checkpoint_step(path: Path) -> int | str:
    """Steps done in a checkpoint."""
    try:
        with safe_open(path, framework="np") as file:
            return json.loads(file.metadata()["about"])["step"]
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        return f"cannot be read ({error})"
