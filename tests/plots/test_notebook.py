"""What a notebook's cell becomes: run in a real kernel, and built into a page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

CELLS = {
    "figure": "from defectlib.plots import paper, ratios, style, tables\nstyle.use()\nratios.figure8(paper.figure8())",
    "table": "tables.plain(paper.table4(), 'tab-four', 'Gains in <b> words.', notes=['The rule.'])",
    "glue": "from defectlib.plots.glue import glue\nglue('gain', 55.55 - 51.58, '+.2f')",
}
#: As in the book's configuration.
CONF = """
extensions = ["myst_nb"]
numfig = True
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_mime_priority_overrides = [("html", "text/markdown", 0)]
"""
PROSE = "# Page\n\n{numref}`tab-four`; the gain is {glue:text}`results.ipynb::gain:s` points.\n"


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> Path:
    notebook = new_notebook(
        cells=[new_markdown_cell("# Results"), *(new_code_cell(source, id=name) for name, source in CELLS.items())]
    )
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    path = tmp_path_factory.mktemp("source") / "results.ipynb"
    nbformat.write(notebook, path)
    return path


def outputs(path, cell):
    (found,) = [c.outputs for c in nbformat.read(path, as_version=4).cells if c.id == cell]
    return found


def test_a_returned_figure_is_shown_once(executed):
    shown = outputs(executed, "figure")
    assert [output.output_type for output in shown] == ["execute_result"]
    assert len(shown[0].data["image/png"]) > 10_000


def test_a_table_has_a_form_for_the_book_and_one_for_jupyter(executed):
    (shown,) = outputs(executed, "table")
    assert set(shown.data) == {"text/plain", "text/html", "text/markdown"}


def test_a_glued_number_shows_nothing_in_the_notebook(executed):
    (shown,) = outputs(executed, "glue")
    assert dict(shown.data) == {"application/papermill.record/text/plain": "'+3.97'"}
    assert shown.metadata["scrapbook"]["name"] == "gain"


def test_the_book_numbers_the_table_and_cites_the_number(executed, tmp_path):
    pytest.importorskip("myst_nb")
    executed.with_name("conf.py").write_text(CONF)
    executed.with_name("index.md").write_text(PROSE + "\n```{toctree}\nresults\n```\n")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "-n", "-q", str(executed.parent), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    prose, page = ((tmp_path / name).read_text() for name in ("index.html", "results.html"))
    assert re.sub(r"<[^>]+>", "", prose).count("Table 1; the gain is +3.97 points.") == 1
    assert 'id="tab-four"' in page
    assert "Gains in &lt;b&gt; words." in page
    assert page.count("64.09") == 1  # the form for Jupyter is not in the page as well
    assert page.index("</table>") < page.rindex("The rule.")
