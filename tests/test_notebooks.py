"""Every notebook keeps the house's form: title, one parameters cell, thin cells, executed, no widget state."""

import ast

import nbformat
import pytest

from defectlib.experiments import plans
from defectlib.publishing.parameters import declared
from defectlib.runtime import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
MOST_LINES = 20


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_folder_and_the_plans_name_the_same_notebooks():
    assert tuple(path.stem for path in NOTEBOOKS) == plans.NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_form(path):
    notebook = read(path)
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("(")  # a label that other pages can refer to
    assert sum(line.startswith("# ") for line in first.source.splitlines()) == 1
    tagged = [cell for cell in code(notebook) if "parameters" in cell.metadata.get("tags", ())]
    assert len(tagged) == 1
    assert tagged[0] is code(notebook)[0]
    assert "\nparameters.check_injected()\n" in code(notebook)[1].source
    for cell in code(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= MOST_LINES, cell.source
        nodes = list(ast.walk(ast.parse(cell.source)))
        assert not any(isinstance(node, ast.ClassDef) for node in nodes), cell.source
        assert sum(isinstance(node, ast.FunctionDef) for node in nodes) <= 1, cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_of_a_whole_run_without_widget_state(path):
    notebook = read(path)
    assert "widgets" not in notebook.metadata
    assert all(cell.execution_count for cell in code(notebook))
    errors = [out for cell in code(notebook) for out in cell.outputs if out.output_type == "error"]
    assert errors == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pictures_have_a_caption_and_words_for_those_who_do_not_see_them(path):
    for cell in code(read(path)):
        if any("image/png" in out.get("data", {}) for out in cell.outputs):
            about = cell.metadata["mystnb"]
            assert about["figure"]["name"].startswith("fig-")
            assert len(about["figure"]["caption"]) > 20
            assert len(about["image"]["alt"]) > 20


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_default_profile_is_smoke_and_every_parameter_is_explained(path):
    parameters = declared(path)
    assert parameters["profile"].default == "smoke"
    source = code(read(path))[0].source
    assert all("#" in line for line in source.splitlines() if line.strip())
