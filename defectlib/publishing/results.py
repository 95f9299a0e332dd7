"""Under each numbered table of a page a link to it as CSV.

Links are added to the staged notebook alone, as the box at the end of a page is (see ``staging``).
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

#: Where tables stand as CSV, in the metadata of an output (``defectlib.plots.tables.CSV``).
CSV = "text/csv"
_LABEL = re.compile(r"[a-z][a-z0-9-]*")  # what a label may be that becomes a file's name


def annotate(notebook: NotebookNode, folder: Path) -> None:
    """Write the numbered tables of ``notebook`` as files ``NAME.csv`` into ``folder``, a link to each under it.

    Args:
        notebook: Executed; changed in place.
        folder: Beside where the notebook will be written; made if need be.
    """
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if files := _write(tables(cell), folder):
            cells.append(
                nbformat.v4.new_markdown_cell(_line(folder.name, files), id=f"line-{Path(files[0]).stem}"[:64])
            )
    notebook.cells = cells


def tables(cell: NotebookNode) -> dict[str, str]:
    """CSV texts by the label of their table."""
    found: dict[str, str] = {}
    for output in cell.get("outputs", ()):
        found |= output.get("metadata", {}).get(CSV, {})
    return found


def _write(texts: dict[str, str], folder: Path) -> list[str]:
    texts = {f"{name}.csv": text for name, text in texts.items() if _LABEL.fullmatch(name)}
    for file, text in texts.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    return list(texts)


def _line(folder: str, files: list[str]) -> str:
    links = [f"{{download}}`{'CSV' if len(files) == 1 else file} <{folder}/{file}>`" for file in files]
    return f":::{{div}} result-line\n{' · '.join(links)}\n:::"
