"""Notebook files: read, written whole, and judged by whether every cell ran."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from defectlib import runtime
from defectlib.errors import UserError, one_line, shown
from defectlib.reading import read_text
from defectlib.settings import NotebookRun, Stage
from defectlib.store import write_atomically

#: Where, in a notebook's metadata, the runner leaves how it was executed.
RECORD = "defectlib"
#: What it says, and the type of each.
_RECORDED = {
    "notebook": str, "parameters": dict, "commit": str, "machine": str, "finished": str, "wall_seconds": int | float
}  # fmt: skip


def read(path: Path) -> NotebookNode:
    """The notebook in ``path``.

    Raises:
        UserError: There is no such file, it is not a valid notebook, or what the runner left in it was changed.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such notebook; give a .ipynb file")
    text = read_text(path, "a notebook", "give a .ipynb file")
    try:
        notebook = nbformat.convert(nbformat.reader.reads(text), 4)
        nbformat.validate(notebook)
    # What looks like a notebook leads nbformat to raise almost anything (KeyError, AttributeError, RecursionError...).
    except Exception as error:
        reason = one_line((str(error).strip() or type(error).__name__).splitlines()[0][:200])
        raise UserError(f"{path}: this is not a notebook that can be read; give a .ipynb file ({reason})") from error
    if RECORD in notebook.metadata and (fault := _record_fault(notebook.metadata[RECORD])):
        raise UserError(f"{path}: how it was executed cannot be read ({fault}); run it again")
    return notebook


def _record_fault(record: Any) -> str | None:
    """What is wrong with what the runner left in a notebook, or None."""
    if not isinstance(record, dict):
        return "it is no table"
    wrong = [name for name, kind in _RECORDED.items() if not isinstance(record.get(name), kind)]
    return f"'{wrong[0]}' is {shown(record.get(wrong[0]))}" if wrong else None


def write(notebook: NotebookNode, path: Path) -> None:
    """Write ``path`` in one step: a reader sees the old file or the new one."""
    write_atomically(path, nbformat.writes(notebook) + "\n")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Cells with code in them; blank ones are never executed and do not count."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def fault(notebook: NotebookNode) -> str | None:
    """Why the notebook is not fit for the book (a code cell failed or never ran), or None."""
    cells = code_cells(notebook)
    for number, cell in enumerate(cells, 1):
        expected = "raises-exception" in cell.metadata.get("tags", ())
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if errors and not expected:
            return f"code cell {number} of {len(cells)} failed ({errors[0].ename}: {errors[0].evalue})"
        if cell.execution_count is None:
            return f"code cell {number} of {len(cells)} has not run"
    return None


# As stages ----------------------------------------------------------------------------------------------------------


def run_of(name: str, parameters: Mapping[str, Any], reads: Iterable[Stage]) -> NotebookRun:
    """The settings of a run of the notebook ``name``: outputs as committed are not among what it depends on."""
    cells = read(runtime.REPOSITORY / "notebooks" / f"{name}.ipynb").cells
    content = json.dumps([[cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in cells])
    digest = hashlib.sha256(content.encode()).hexdigest()
    return NotebookRun(
        notebook=name, parameters=dict(parameters), cells=digest, code=source_digest(), reads=tuple(reads)
    )


@cache
def source_digest() -> str:
    """SHA-256 over both packages, the claims and the reference results: what notebooks depend on."""
    files = [path for package in ("defectlib", "defectclick") for path in (runtime.REPOSITORY / package).rglob("*.py")]
    files += runtime.PACKAGE_ROOT.glob("plots/*.json")
    book = runtime.REPOSITORY / "book"
    return digest_of([*files, book / "claims.yaml", *(book / "reference").rglob("*.json")])


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents of files of the checkout."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(runtime.REPOSITORY)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
