from __future__ import annotations

import csv

import nbformat

from defectlib.publishing import results
from defectlib.publishing.runner import run_notebook
from tests.publishing.conftest import new_notebook

TABLE = "import pandas as pd\nfrom defectlib.plots import tables\n"
TABLE += "frame = pd.DataFrame({'size (px)': [1 / 3, None]}, index=pd.Index(['a', 'b, c'], name='row'))\n"
TABLE += "tables.plain(frame, 'tab-x', 'Some numbers')"


def executed(*outputs: dict) -> nbformat.NotebookNode:
    """A notebook of one cell with these outputs."""
    notebook = new_notebook("1")
    cell = notebook.cells[-1]
    cell.outputs = [nbformat.v4.new_output("display_data", data) for data in outputs]
    return notebook


def lines(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if "result-line" in cell.source]


def test_what_is_no_table_has_no_line(tmp_path):
    notebook = executed({"text/markdown": "| a |\n|---|\n| 1 |"}, {"image/png": "iVBORw0KGgo="})
    results.annotate(notebook, tmp_path / "tables")
    assert lines(notebook) == []
    assert not (tmp_path / "tables").exists()


def test_a_table_is_there_as_csv_with_all_its_digits(written, tmp_path):
    path = tmp_path / "run" / "05_page.ipynb"
    run_notebook(written(TABLE), path, {})
    notebook = nbformat.read(path, as_version=4)
    results.annotate(notebook, tmp_path / "tables")
    (line,) = lines(notebook)
    assert "{download}`CSV <tables/tab-x.csv>`" in line
    assert notebook.cells[-1].source == line  # under the table
    nbformat.validate(notebook)
    with (tmp_path / "tables" / "tab-x.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["row", "size (px)"], ["a", str(1 / 3)], ["b, c", ""]]


def test_two_tables_of_one_cell_are_told_apart(tmp_path):
    bodies = [f"```{{table}} Caption\n:name: tab-{name}\n\n| a |\n|---|\n| 1 |\n```" for name in "xy"]
    notebook = executed(*({"text/markdown": body} for body in bodies))
    for output, name in zip(notebook.cells[-1].outputs, "xy", strict=True):
        output.metadata = {results.CSV: {f"tab-{name}": "a\n1\n"}}
    results.annotate(notebook, tmp_path / "tables")
    (line,) = lines(notebook)
    assert "{download}`tab-x.csv <tables/tab-x.csv>`" in line
    assert "{download}`tab-y.csv <tables/tab-y.csv>`" in line


def test_a_name_that_is_no_label_writes_no_file(tmp_path):
    notebook = executed({"text/markdown": "```{table} Caption\n:name: tab-x\n\n| a |\n|---|\n| 1 |\n```"})
    notebook.cells[-1].outputs[0].metadata = {results.CSV: {"../../outside": "a\n"}}
    results.annotate(notebook, tmp_path / "deep" / "er")
    assert list(tmp_path.rglob("*.csv")) == lines(notebook) == []
