"""Notebook files: read, written whole, and judged by whether every cell ran."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from defectlib.errors import UserError
from defectlib.store import write_atomically

#: Where, in a notebook's metadata, the runner leaves how it was executed.
RECORD = "defectlib"


def read(path: Path) -> NotebookNode:
    """The notebook in ``path``.

    Raises:
        UserError: There is no such file, or it is not a notebook.
    """
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such notebook") from error
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError, IsADirectoryError) as error:
        raise UserError(f"{path}: this is not a notebook that can be read; give a .ipynb file") from error


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
