"""Under each numbered result of a page a line: under which profile, when and from which commit it was made, and as CSV.

Lines are added to the staged notebook alone, as the box at the end of a page is (see ``staging``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from defectlib import runtime

#: Where tables stand as CSV, in the metadata of an output (``defectlib.plots.tables.CSV``).
CSV = "text/csv"
_LABEL = re.compile(r"[a-z][a-z0-9-]*")  # what a label may be that becomes a file's name
_TABLE = re.compile(r"^`{3,}\{(?:table|list-table)\}.*\n:name: (\S+)$", re.MULTILINE)


def annotate(notebook: NotebookNode, record: Mapping[str, Any], folder: Path) -> None:
    """Put a line under every numbered result of ``notebook``, and its tables as files ``NAME.csv`` into ``folder``.

    Args:
        notebook: Executed; changed in place.
        record: What the runner left in its metadata.
        folder: Beside where the notebook will be written; made if need be.
    """
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        names = results(cell)
        if names:
            files = _write(tables(cell), folder)
            cells.append(nbformat.v4.new_markdown_cell(_line(record, folder.name, files), id=f"line-{names[0]}"[:64]))
    notebook.cells = cells


def results(cell: NotebookNode) -> list[str]:
    """Labels of the numbered figures and tables among the outputs of ``cell``."""
    if cell.cell_type != "code":
        return []
    shown = [output.get("data", {}) for output in cell.outputs]
    labels = [label for data in shown for label in _TABLE.findall(data.get("text/markdown", ""))]
    figure = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
    pictured = any(kind.startswith("image/") for data in shown for kind in data)
    return [figure, *labels] if figure and pictured else labels


def tables(cell: NotebookNode) -> dict[str, str]:
    """CSV texts by the label of their table."""
    found: dict[str, str] = {}
    for output in cell.outputs:
        found |= output.get("metadata", {}).get(CSV, {})
    return found


def anchor(record: Mapping[str, Any]) -> str:
    """The label of a page's box."""
    return f"provenance-{Path(record['notebook']).stem}"


def _write(texts: Mapping[str, str], folder: Path) -> list[str]:
    texts = {f"{name}.csv": text for name, text in texts.items() if _LABEL.fullmatch(name)}
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    return list(texts)


def _line(record: Mapping[str, Any], folder: str, files: list[str]) -> str:
    parts = [
        f"Made {record['finished'][:10]}, profile {record['parameters'].get('profile', 'none')}, "
        f"commit {runtime.short_commit(record['commit'])}",
        f"{{ref}}`provenance <{anchor(record)}>`",
        *(f"{{download}}`{'CSV' if len(files) == 1 else file} <{folder}/{file}>`" for file in files),
    ]
    return f":::{{div}} result-line\n{' · '.join(parts)}\n:::"
