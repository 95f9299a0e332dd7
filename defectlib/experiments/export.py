"""From the store to a folder of the user's: whole or not at all, and never over what is there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from defectlib.errors import UserError
from defectlib.store import check_room, whole_folder, write_atomically


def check_target(out: Path) -> None:
    """Refuse a target that holds something, before hours are spent on what would go there.

    Raises:
        UserError: ``out`` is there and not an empty folder, or its parent is not there.
    """
    check_room(out)
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out.absolute().parent}: no such folder; make it first")


def copy_dataset(pairs: Path, out: Path, beside: Mapping[str, str] | None = None) -> None:
    """Copy the dataset folder ``pairs`` to ``out``, with the files ``beside``; whole or not at all."""
    check_target(out)
    with whole_folder(out) as partial:
        shutil.copytree(pairs, partial, dirs_exist_ok=True)
        for name, content in (beside or {}).items():
            write_atomically(partial / name, content)
