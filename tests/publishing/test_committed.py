from __future__ import annotations

import pytest

from defectlib.publishing import PublishingError, notebooks
from defectlib.publishing.committed import WIDGET_VIEW, refresh
from tests.publishing.conftest import SLIDER

FIGURE = "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])"


def test_two_refreshes_give_the_same_bytes_and_nothing_of_the_run(written, monkeypatch):
    monkeypatch.setenv("DEFECTLIB_QUIET", "0")
    source = written(SLIDER, FIGURE, "steps", parameters="steps: int = 2")
    text = source.read_text()
    refresh([source])
    first = source.read_bytes()
    refresh([source])
    assert source.read_bytes() == first
    notebook = notebooks.read(source)
    assert notebooks.fault(notebook) is None
    assert notebook.metadata.keys() == {"kernelspec", "language_info"}
    assert "version" not in notebook.metadata.language_info
    assert all(WIDGET_VIEW not in output.get("data", {}) for output in notebook.cells[2].outputs)
    assert "image/png" in notebook.cells[3].outputs[0].data
    assert notebook.cells[4].outputs[0].data["text/plain"] == "2"
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in notebooks.nbformat.reads(text, 4).cells]
    assert [dict(cell.metadata) for cell in notebook.cells] == [{}, {"tags": ["parameters"]}, {}, {}, {}]


def test_a_notebook_that_fails_is_left_as_it_was(written):
    source = written("1 / 0")
    before = source.read_bytes()
    with pytest.raises(PublishingError, match="ZeroDivisionError"):
        refresh([source])
    assert source.read_bytes() == before
