"""The outputs that are committed: every notebook executed at its defaults, less what changes from run to run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from nbformat import NotebookNode

from defectlib.publishing import notebooks, pictures
from defectlib.publishing.runner import run_notebook

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def refresh(sources: Iterable[Path]) -> None:
    """Execute each notebook at its own defaults and write its outputs back into it.

    Two refreshes of the same code give the same bytes. A notebook that fails is left as it was.
    """
    # Progress bars count seconds, and what data lies here is this machine's own; nbval runs without both too.
    os.environ |= {"DEFECTLIB_QUIET": "1", "DEFECTLIB_DATA": os.devnull}
    for source in sources:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / source.name
            run_notebook(source, target, {})
            notebooks.write(stripped(notebooks.read(target)), source)


def stripped(notebook: NotebookNode) -> NotebookNode:
    """``notebook`` (changed in place) without timings, paths, widget state and the version of the interpreter.

    Its pictures are as light as the book's.
    """
    pictures.lighten(notebook)
    for name in ("papermill", "widgets", notebooks.RECORD):
        notebook.metadata.pop(name, None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", ())]
    for cell in notebook.cells:
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if cell.metadata.get("tags") == []:  # papermill adds an empty list
            del cell.metadata["tags"]
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET_VIEW, None)
    return notebook
