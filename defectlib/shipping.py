"""From what was trained here to what comes with the package: weights in half precision, provenance kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from defectlib.settings import Stage
from defectlib.store import SHIPPED, digests, read_provenance, unfinished_name, write_atomically, write_provenance


def ship(settings: Stage, artifact: Path, shelf: Path = SHIPPED) -> Path:
    """Copy a finished artifact to ``shelf``, where it is found by settings and data whatever the machine.

    Weights are rounded to half precision: half the size, for samples that differ by less than one grey level.
    """
    target = shelf / settings.stage / settings.key(any_machine=True)
    if artifact == target:
        return target
    partial = unfinished_name(target)
    try:
        shutil.copytree(artifact, partial)
        for weights in partial.rglob("*.safetensors"):
            _round(weights)
        for config in partial.rglob("config.json"):
            _forget_where_it_came_from(config)
        record = read_provenance(artifact) | {"shipped_as": "float16", "files": digests(partial)}
        write_provenance(partial, record)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _round(weights: Path) -> None:
    """Rewrite a file of tensors with those of floats in half precision."""
    with safe_open(weights, framework="pt") as file:
        about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    halves = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    if infinite := [name for name, value in halves.items() if not torch.isfinite(value).all()]:
        raise ValueError(f"{weights}: beyond half precision: {', '.join(infinite)}")
    save_file(halves, weights, metadata=about)


def _forget_where_it_came_from(config: Path) -> None:
    """Drop the path of the artifact, which diffusers notes: it says nothing on another machine."""
    values = json.loads(config.read_text())
    if values.pop("_name_or_path", None) is not None:
        write_atomically(config, json.dumps(values, indent=2) + "\n")
