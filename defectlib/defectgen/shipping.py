"""From a trained net to one that comes with the package: half precision, one file, its provenance kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from defectlib.config import DenoiserTraining
from defectlib.defectgen.training import load_denoiser
from defectlib.store import PROVENANCE, SHIPPED, digests, read_provenance, write_atomically


def ship_denoiser(settings: DenoiserTraining, artifact: Path, shelf: Path = SHIPPED) -> Path:
    """Copy a finished training to ``shelf``, where it is found by settings and data whatever the machine.

    Weights are rounded to half precision: half the size, for samples that differ by less than one grey level.
    """
    target = shelf / settings.stage / settings.key(any_machine=True)
    if artifact == target:
        return target
    partial = target.with_name(f".{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    load_denoiser(artifact).to(torch.float16).save_pretrained(partial / "net")
    _forget_where_it_came_from(partial / "net" / "config.json")
    shutil.copy(artifact / "losses.json", partial)
    record = read_provenance(artifact) | {"shipped_as": "float16", "files": digests(partial)}
    write_atomically(partial / PROVENANCE, json.dumps(record, indent=1))
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target


def _forget_where_it_came_from(config: Path) -> None:
    """Drop the path of the artifact, which diffusers notes: it says nothing on another machine."""
    values = json.loads(config.read_text())
    values.pop("_name_or_path", None)
    write_atomically(config, json.dumps(values, indent=2) + "\n")
