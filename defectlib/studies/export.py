"""From the store to a folder of the user's: whole or not at all, and never over what is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from defectlib.errors import UserError
from defectlib.store import write_atomically


def check_target(out: Path) -> None:
    """Refuse a target that holds something, before hours are spent on what would go there.

    Raises:
        UserError: ``out`` is there and not an empty folder, or its parent is not there.
    """
    if out.is_symlink():  # it would have to make room for what is written
        raise UserError(f"{out}: is a link; name a folder that is none")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is there already and not empty; name another folder or remove it")
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out.absolute().parent}: no such folder; make it first")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``out`` when the block ends; where the block fails, nothing is left.

    Raises:
        UserError: See :func:`check_target`.
    """
    check_target(out)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except shutil.Error as error:  # holds a line for every file; the first says what is the matter
        raise OSError(error.args[0][0][2]) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def copy_dataset(pairs: Path, out: Path, beside: Mapping[str, str] | None = None) -> None:
    """Copy the dataset folder ``pairs`` to ``out``, with the files ``beside``; whole or not at all."""
    with whole_folder(out) as partial:
        shutil.copytree(pairs, partial)
        for name, content in (beside or {}).items():
            write_atomically(partial / name, content)
