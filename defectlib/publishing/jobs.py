"""What the workflow has to do: the stages that notebooks need, each once, and the receipts that stand for them.

A receipt is a small file that says where an artifact is. The workflow engine knows receipts alone; artifacts and
checkpoints live in the store, where its clean-up of unfinished outputs cannot reach them. Before each run the receipts
are made to agree with the store, so an artifact that was deleted is built again and one that is there never is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defectlib import runtime
from defectlib.config import Stage
from defectlib.errors import UserError
from defectlib.profiles import PROFILES
from defectlib.publishing import notebooks
from defectlib.store import PROVENANCE, Store, settings_of, write_atomically


@dataclass(frozen=True)
class Job:
    """A stage to be built.

    Attributes:
        settings: What is to be built.
        inputs: Receipts it waits for; none where the artifact is there already.
        receipt: What the job writes.
        plan: File that holds the settings.
    """

    settings: Stage
    inputs: tuple[Path, ...]
    receipt: Path
    plan: Path

    @property
    def title(self) -> str:
        """What is built, in a few words for the log: ``segmenter unet-small on washer [KEY]``."""
        settings = self.settings
        parts = [getattr(settings, "model", None), getattr(getattr(settings, "net", None), "kind", None)]
        data = getattr(settings, "data", None)
        parts += [] if data is None else ["on", getattr(data, "product", None) or data.root.name]
        return " ".join([settings.stage, *(part for part in parts if part), f"[{settings.key()}]"])


def receipt_path(settings: Stage, folder: Path) -> Path:
    """Where the receipt of an artifact stands."""
    return folder / "receipts" / settings.stage / f"{settings.key()}.json"


def write_receipt(path: Path, settings: Stage, artifact: Path) -> None:
    """Say in ``path`` where the artifact is, dated as the artifact is, so that nothing seems newer than it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"stage": settings.stage, "key": settings.key(), "artifact": str(artifact)}
    write_atomically(path, json.dumps(record, indent=1) + "\n")
    time = (artifact / PROVENANCE).stat().st_mtime_ns
    os.utime(path, ns=(time, time))


def collect(stages: Iterable[Stage], store: Store, folder: Path) -> dict[str, Job]:
    """Jobs by ``STAGE/KEY``, for ``stages`` and whatever is missing below them; receipts are made to agree.

    Args:
        stages: What notebooks read, in any order, repeated or not.
        store: Where artifacts are looked up.
        folder: Directory of receipts and plans.
    """
    jobs: dict[str, Job] = {}
    waiting = list(stages)
    while waiting:
        settings = waiting.pop()
        name = f"{settings.stage}/{settings.key()}"
        if name in jobs:
            continue
        receipt = receipt_path(settings, folder)
        inputs = list(settings.inputs().values())
        if artifact := store.find(settings):
            inputs = []  # what an artifact was made from is not needed any more
            if not receipt.exists():
                write_receipt(receipt, settings, artifact)
        else:
            receipt.unlink(missing_ok=True)
        waiting += inputs
        plan = folder / "plans" / f"{name}.json"
        write_if_changed(plan, {"stage": settings.stage, "settings": settings.model_dump(mode="json")})
        jobs[name] = Job(settings, tuple(receipt_path(stage, folder) for stage in inputs), receipt, plan)
    return jobs


def read_plan(path: Path) -> Stage:
    """The settings in a file such as :func:`collect` writes.

    Raises:
        UserError: The file is not JSON, or its content describes no stage.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: is not JSON ({error}); `defectlib plan --json` shows what it should hold") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold a table with 'stage' and 'settings'")
    return settings_of(content)


def write_if_changed(path: Path, content: Any) -> None:
    """Write ``content`` as JSON, unless that is what stands there: the file's date says when it last changed."""
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)


def write_notebook_plan(folder: Path, name: str, profile: str, stages: Iterable[Stage]) -> None:
    """Write down what a notebook's outputs depend on besides code: its cells and, of the profile, what it reads.

    That is the settings of its stages; the whole profile where it has none. Outputs as committed are not among it, so
    that refreshing them makes nothing run again.
    """
    cells = notebooks.read(runtime.REPOSITORY / "notebooks" / f"{name}.ipynb").cells
    content = {
        "cells": [[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in cells],
        "profile": [stage.model_dump(mode="json") for stage in stages] or (PROFILES / f"{profile}.yaml").read_text(),
    }
    write_if_changed(folder / "plans" / "notebooks" / profile / f"{name}.json", content)


def needs_gpu(settings: Stage) -> bool:
    """Whether the stage itself (not what it is made from) runs on a GPU."""
    return getattr(settings, "device", "cpu") == "cuda"


def source_digest() -> str:
    """SHA-256 over the package's own code and tables and the book's numbers of record: what notebooks depend on."""
    files = [*runtime.PACKAGE_ROOT.rglob("*.py"), *runtime.PACKAGE_ROOT.glob("report/*.json")]
    files += (runtime.REPOSITORY / "book" / "reference").rglob("*.json")
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(runtime.REPOSITORY)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
