"""What the workflow has to do: the stages that notebooks need, each once, and the receipts that stand for them.

A receipt is a small file that says where an artifact is. The workflow engine knows receipts alone; artifacts and
checkpoints live in the store, where its clean-up of unfinished outputs cannot reach them. Before each run the receipts
are made to agree with the store, so an artifact that was deleted is built again and one that is there never is.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defectlib import reading, runtime
from defectlib.config import Stage
from defectlib.errors import UserError
from defectlib.profiles import load_profile
from defectlib.publishing import notebooks
from defectlib.store import PROVENANCE, Store, settings_of, unfinished_name


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
        shown = getattr(data, "product", None) or getattr(getattr(data, "root", None), "name", None)
        parts += ["on", shown] if shown else []
        return " ".join([settings.stage, *(part for part in parts if part), f"[{settings.key()}]"])


def receipt_path(settings: Stage, folder: Path) -> Path:
    """Where the receipt of an artifact stands."""
    return folder / "receipts" / settings.stage / f"{settings.key()}.json"


def check_receipt(path: Path, plan: Path) -> None:
    """Make the folder of a receipt that is to be written.

    Raises:
        UserError: It cannot be made, or what stands at ``path`` is not to be written over: no file, or ``plan``.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is a folder or a special file; name a file for the receipt")
    if path.exists() and path.samefile(plan):
        raise UserError(f"{path}: is the file of settings itself; name another for the receipt")
    runtime.made(path.parent)


def write_receipt(path: Path, settings: Stage, artifact: Path) -> None:
    """Say in ``path`` where the artifact is, dated as the artifact is, so that nothing seems newer than it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"stage": settings.stage, "key": settings.key(), "artifact": str(artifact)}
    _write(path, json.dumps(record, indent=1) + "\n")
    made = min((artifact / PROVENANCE).stat().st_mtime_ns, time.time_ns())  # not ahead of a clock that was set back
    os.utime(path, ns=(made, made))


def date_back(folder: Path) -> None:
    """Date by now what lies ahead of the clock in ``folder``: a clock was set back.

    Else all that is made before the clock gets there would seem older than what it is made of, and be made again.
    """
    now = time.time_ns()
    for place in ("receipts", "plans", "notebooks"):
        for path in (folder / place).rglob("*"):
            if path.is_file() and path.stat().st_mtime_ns > now:
                os.utime(path, ns=(now, now))


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


def written(folder: Path, name: str) -> Job:
    """The job ``STAGE/KEY`` as :func:`collect` wrote it down, for a process that is to do it and nothing else.

    Such a process looks nothing up in the store, so it waits for all that the stage is made from.

    Raises:
        UserError: The plan is not there, or holds no settings.
    """
    plan = folder / "plans" / f"{name}.json"
    if not plan.is_file():
        raise UserError(f"{plan}: is not there; run the workflow again, in a folder that all its machines share")
    settings = read_plan(plan)
    inputs = tuple(receipt_path(stage, folder) for stage in settings.inputs().values())
    return Job(settings, inputs, receipt_path(settings, folder), plan)


def read_plan(path: Path) -> Stage:
    """The settings in a file such as :func:`collect` writes.

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


def write_if_changed(path: Path, content: Any) -> None:
    """Write ``content`` as JSON, unless that is what stands there: the file's date says when it last changed."""
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, text)


def _write(path: Path, text: str) -> None:
    """As a whole, for who reads meanwhile; not secured against a power cut, since every run compares and mends it.

    A plan of two thousand jobs would wait half a minute for the disk.
    """
    partial = unfinished_name(path)
    partial.write_text(text)
    partial.replace(path)


def write_notebook_plan(path: Path, notebook: str, values: Mapping[str, Any], stages: Iterable[Stage]) -> None:
    """Write down what a notebook's outputs depend on besides code: its cells and, of the profile, what it reads.

    That is the keys of its stages; the whole profile where it has none. Outputs as committed are not among it, so
    that refreshing them makes nothing run again.

    Args:
        path: The file to write.
        notebook: Name of the notebook.
        values: Its parameters, ``profile`` among them.
        stages: What it builds with them.
    """
    cells = notebooks.read(runtime.REPOSITORY / "notebooks" / f"{notebook}.ipynb").cells
    content = {
        "cells": [[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in cells],
        "parameters": dict(values),
        "profile": [stage.key() for stage in stages] or load_profile(values["profile"]).model_dump(mode="json"),
    }
    write_if_changed(path, content)


# What a job takes ---------------------------------------------------------------------------------------------------

#: Seconds that one step of a training, or one network call for one pair, may take on a device. They set limits, not
#: expectations: a job that runs into its limit goes on from its last checkpoint when it is tried again.
STEP, CALL = {"cpu": 4.0, "cuda": 0.5}, {"cpu": 1.0, "cuda": 0.1}
START = 30
"""Minutes for everything else: loading libraries and data, evaluating, measuring."""


def device(settings: Stage) -> str:
    """Where the stage itself (not what it is made from) runs: what judges, where the judging network was trained."""
    judges = (getattr(settings, name, None) for name in ("segmenter", "oracle"))
    return next((stage.device for stage in (settings, *judges) if hasattr(stage, "device")), "cpu")


def gpus(settings: Stage) -> int:
    """How many GPUs the stage itself runs on."""
    return getattr(settings, "processes", 1) if device(settings) == "cuda" else 0


def memory(settings: Stage) -> int:
    """Main memory in MB: libraries, decoded images and pinned batches; on CUDA the libraries alone take some GB."""
    return 16_000 * gpus(settings) or 4_000


def minutes(settings: Stage) -> int:
    """The longest that a job may take before it is stopped, where something stops jobs."""
    on = device(settings)
    steps = getattr(settings, "steps", 0)
    calls = getattr(settings, "count", 0) * getattr(settings, "num_inference_steps", 1)
    return START + math.ceil((steps * STEP[on] + calls * CALL[on]) / 60)


def source_digest() -> str:
    """SHA-256 over the package, the claims and the numbers of record: what notebooks depend on."""
    files = [*runtime.PACKAGE_ROOT.rglob("*.py"), *runtime.PACKAGE_ROOT.glob("report/*.json")]
    book = runtime.REPOSITORY / "book"
    files += [book / "claims.yaml", *(book / "reference").rglob("*.json")]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(runtime.REPOSITORY)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
