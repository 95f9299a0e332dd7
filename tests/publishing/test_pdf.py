"""A small book, built with the configuration of the real one: its launch buttons, and its PDF by a real Chromium."""

from __future__ import annotations

import io
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from pypdf import PdfReader

from defectlib.errors import UserError
from defectlib.publishing import notebooks, pdf, repository, staging
from defectlib.publishing.runner import run_notebook
from defectlib.runtime import REPOSITORY
from tests.publishing.conftest import SLIDER, new_notebook
from tests.publishing.test_results import TABLE

CONFIG = REPOSITORY / "_config.yml"
CHAPTERS = ("05_first", "06_second")
PARTS = [{"caption": f"Part {name[-1]}", "chapters": [{"file": f"notebooks/{name}"}]} for name in CHAPTERS]
MATHS = "from IPython.display import Markdown\nMarkdown(r'The hand-over is at $u = 400$.')"


@pytest.fixture(scope="module")
def staged(tmp_path_factory) -> Path:
    """Two executed notebooks and a title page, as `stage` lays them out."""
    root = tmp_path_factory.mktemp("book") / "stage"
    shutil.copytree(REPOSITORY / "book" / "_assets", root / "book" / "_assets")
    (root / "book" / "references.bib").touch()
    (root / "book" / "intro.md").write_text(
        "# A small book\n\nIts second chapter is [this](../notebooks/06_second.ipynb).\n"
    )
    toc = {"format": "jb-book", "root": "book/intro", "parts": PARTS}
    (root / "book" / "_toc.yml").write_text(yaml.safe_dump(toc))
    (root / "notebooks").mkdir()
    for name in CHAPTERS:
        source, executed = root.parent / f"{name}.ipynb", root / "notebooks" / f"{name}.ipynb"
        cells = [MATHS, TABLE.replace("tab-x", f"tab-{name[3:]}"), SLIDER]
        notebook = new_notebook(*cells, title=f"The {name[3:]} chapter", parameters='profile: str = "cpu"')
        notebook.cells[3].metadata["mystnb"] = {"markdown_format": "myst"}
        notebooks.write(notebook, source)
        run_notebook(source, executed, {})
        page = notebooks.read(executed)
        record = page.metadata[notebooks.RECORD]
        staging.results.annotate(page, executed.parent / "tables")
        page.cells.append(staging.provenance_box(record, []))
        notebooks.write(page, executed)
    return root


@pytest.fixture(scope="module")
def document(staged) -> PdfReader:
    if shutil.which("chromium") is None:
        if os.environ.get("DEFECTLIB_NEEDS_CHROMIUM"):
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    out = pdf.build_pdf(staged, CONFIG, staged.parent / "book.pdf", staged.parent / "pdf.log")
    assert not (staged.parent / "book.pdf.partial").exists()
    return PdfReader(io.BytesIO(out.read_bytes()))


def text(document: PdfReader, number: int) -> str:
    """Of a page; what is set as one sign, such as fi, is told as two letters."""
    return " ".join(unicodedata.normalize("NFKC", document.pages[number - 1].extract_text()).split())


def test_the_title_page_says_how_the_notebooks_were_executed(document):
    first = text(document, 1)
    assert yaml.safe_load(CONFIG.read_text())["title"] in first
    assert "Profile cpu" in first
    assert "Commit " in first


def test_the_contents_give_the_page_on_which_each_chapter_begins(document):
    contents = text(document, 2)
    for chapter in ("A small book", "The first chapter", "The second chapter"):
        begins = [n for n in range(3, len(document.pages) + 1) if text(document, n).startswith(chapter)]
        assert len(begins) == 1
        assert f"{chapter} {begins[0]}" in contents
    assert contents.index("Part t") < contents.index("The first chapter") < contents.index("The second chapter")


def test_every_page_has_its_number_at_its_foot(document):
    for number in range(1, len(document.pages) + 1):
        assert text(document, number).endswith(str(number))


def test_what_a_screen_alone_can_use_is_left_out_and_the_rest_is_there(document):
    whole = " ".join(text(document, n) for n in range(1, len(document.pages) + 1))
    assert "Table 1 Some numbers" in whole
    assert "CSV" not in whole
    assert "Show code cell source" not in whole
    assert staging.BOX_TITLE in whole


def test_links_between_chapters_lead_within_the_document(document):
    """None leads to a file of this machine."""
    links = [note.get_object() for page in document.pages[2:] for note in page.get("/Annots", [])]
    assert links  # to the second chapter
    assert not [link["/A"]["/URI"] for link in links if "/URI" in link.get("/A", {})]


def test_the_book_has_launch_buttons_where_its_repository_is_known(staged, monkeypatch, tmp_path):
    known = repository.Repository("someone/defect-book", "0123abc")
    monkeypatch.setattr(repository, "find", lambda: known)
    staging.build_html(staged, CONFIG, tmp_path / "html", tmp_path / "book.log")
    page = BeautifulSoup((tmp_path / "html" / "notebooks" / "05_first.html").read_text(), "html.parser")
    links = {link.get("href") for link in page.select(".article-header-buttons a")}
    assert {known.colab("notebooks/05_first.ipynb"), known.binder("notebooks/05_first.ipynb")} <= links
    assert known.url in links
    assert "../_sources/notebooks/05_first.ipynb" in links  # the executed notebook, to be downloaded
    table = page.select_one(".result-line a.download")["href"]
    assert (tmp_path / "html" / "notebooks" / table).read_text().startswith("row,size (px)\n")


def test_without_a_staged_book_there_is_nothing_to_print(tmp_path):
    with pytest.raises(UserError, match=r"stage: nothing is staged there; build the book first, by `make book`"):
        pdf.build_pdf(tmp_path / "stage", CONFIG, tmp_path / "book.pdf", tmp_path / "log")


def test_without_chromium_the_user_is_told(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="chromium: not found, and it is what prints the PDF; install it"):
        pdf.find_browser()
