"""Notebooks for these tests, written by code: what they hold is seen where they are used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

#: A label with mathematics, and pictures behind a slider that needs no kernel.
SLIDER = """
import io
import ipywidgets as widgets
from PIL import Image
pictures = []
for level in (40, 120, 200):
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (level, level, level)).save(file, "PNG")
    pictures.append(widgets.Image(value=file.getvalue(), format="png", width=64))
stack = widgets.Stack(pictures, selected_index=0)
slider = widgets.IntSlider(value=0, min=0, max=2, description=r"\\(u\\)")
_ = widgets.jslink((slider, "value"), (stack, "selected_index"))
widgets.VBox([slider, stack])
"""


def new_notebook(*cells: str, title: str = "A page", parameters: str = "") -> nbformat.NotebookNode:
    """A notebook with a title, a `parameters` cell where given, and code cells."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells.append(nbformat.v4.new_markdown_cell(f"# {title}", id="title"))
    if parameters:
        cell = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}, id="parameters")
        notebook.cells.append(cell)
    notebook.cells += [nbformat.v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(cells)]
    return notebook


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a notebook below ``tmp_path`` and gives its path."""

    def write(*cells: str, name: str = "05_page", **rest: str) -> Path:
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(new_notebook(*cells, **rest), path)
        return path

    return write
