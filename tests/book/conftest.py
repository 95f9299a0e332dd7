"""One book and one browser for all tests of pages."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from playwright.sync_api import Browser

from defectlib.experiments import plans
from defectlib.publishing import notebooks, staging
from defectlib.publishing.runner import run_notebook
from defectlib.runtime import REPOSITORY
from defectlib.settings import Stage
from tests.book.pages import pages
from tests.book.visits import Tab, Visit, visit
from tests.publishing.conftest import new_notebook

#: A page that is made for these tests, with a slider whose label holds mathematics.
OWN_PAGE = "slider"
_SLIDER = """
import ipywidgets as widgets
drawing = "<svg xmlns='http://www.w3.org/2000/svg'><rect width='64' height='64' fill='{0}'/></svg>"
picture = '<img alt="A square that is {0}" width="64" src="data:image/svg+xml,' + drawing + '">'
stack = widgets.Stack([widgets.HTML(picture.format(colour)) for colour in ("navy", "teal", "olive")], selected_index=0)
slider = widgets.IntSlider(value=0, min=0, max=2, description=r"\\(u\\)")
_ = widgets.jslink((slider, "value"), (stack, "selected_index"))
widgets.VBox([slider, stack])
"""
_PANEL = re.compile(r"<(sliders?|list|button): ")  # how a panel of widgets is written in an output


def has_widgets(notebook: NotebookNode) -> bool:
    outputs = (output for cell in notebooks.code_cells(notebook) for output in cell.outputs)
    return any(_PANEL.match(output.get("data", {}).get("text/plain", "")) for output in outputs)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages: the committed notebooks as they are, but those with widgets executed, as they hold no state.

    `DEFECTLIB_BOOK` names a book that is already built, of whatever profile, to be looked at in its place.
    """
    if built := os.environ.get("DEFECTLIB_BOOK"):
        return Path(built).resolve()
    folder = tmp_path_factory.mktemp("book")
    sources = [_executed(path, folder) for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb"))]
    staging.stage([*sources, _own_page(folder)], folder / "stage", _plan)
    toc = folder / "stage" / "book" / "_toc.yml"
    content = yaml.safe_load(toc.read_text())
    content["parts"].append({"caption": "Tests", "chapters": [{"file": f"notebooks/{OWN_PAGE}"}]})
    toc.write_text(yaml.safe_dump(content))
    staging.build_html(folder / "stage", REPOSITORY / "_config.yml", folder / "html", folder / "book.log")
    return folder / "html"


def _plan(name: str, parameters: dict[str, object]) -> tuple[Stage, ...]:
    """What the playground reads, for the nets that its page samples with; of the others no box is looked at."""
    return plans.plan(name, parameters) if name == "06_playground" else ()


def _executed(path: Path, folder: Path) -> Path:
    if not has_widgets(notebooks.read(path)):
        return path
    run_notebook(path, folder / path.name, {})
    return folder / path.name


def _own_page(folder: Path) -> Path:
    source, executed = folder / "source.ipynb", folder / f"{OWN_PAGE}.ipynb"
    notebook = new_notebook(_SLIDER, title="Slider")
    notebook.cells.append(new_markdown_cell("The hand-over is at $u$."))
    notebooks.write(notebook, source)
    run_notebook(source, executed, {})
    return executed


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Tab:
    return Tab(browser)


@pytest.fixture(scope="module")
def visits(book: Path, tab: Tab) -> dict[str, Visit]:
    """What was found on every page, opened from disk, by its place in the book."""
    names = [str(path.relative_to(book)) for path in pages(book)]
    return {name: visit(tab, (book / name).as_uri(), whole=name == names[0]) for name in names}


@pytest.fixture(scope="module")
def served(book: Path) -> Iterator[str]:
    """Where the book is to be had over http."""
    handler = partial(_Quiet, directory=str(book))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""
