"""One artifact built by the processes that ``accelerate launch`` has started: the first builds, all of them train."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from defectlib import runtime
from defectlib.engine import RUNNERS
from defectlib.errors import UserError
from defectlib.settings import DenoiserTraining, Stage
from defectlib.store import Store


def build(settings: Stage, store: Store) -> Path | None:
    """The artifact of ``settings``, made together with what it needs; None in every process but the first.

    Raises:
        UserError: Its nets are not trained by as many processes as there are, or cannot be trained; the first process
            alone says so.
    """
    from defectlib.defectgen.team import launched_team
    from defectlib.defectgen.training import serve

    first = os.environ.get("RANK", "0") == "0"
    if not first:
        os.environ["DEFECTLIB_QUIET"] = "1"  # one progress bar is enough
    try:
        _check(settings)
        team = launched_team(getattr(settings, "device", "cpu"))
        artifact = store.build(settings, RUNNERS) if first else serve(team)
    except UserError:
        if first:
            raise
        sys.exit(2)
    if first:
        team.hear(None)
    team.accelerator.end_training()
    return artifact


def _check(settings: Stage) -> None:
    here = runtime.launched()
    asked = {training.processes for training in _denoisers(settings)}
    if asked != {here}:
        found = ", ".join(map(str, sorted(asked))) or "of no net"
        raise UserError(
            f"setting 'processes' is {found}, but {here} processes were launched to train; make the two equal, "
            "or start one process"
        )


def _denoisers(settings: Stage) -> Iterator[DenoiserTraining]:
    if isinstance(settings, DenoiserTraining):
        yield settings
    for stage in settings.inputs().values():
        yield from _denoisers(stage)
