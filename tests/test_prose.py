"""The prose of the book keeps its promises: what is numbered is referred to, what is listed is used, each page once."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

from defectlib.runtime import REPOSITORY

BOOK = REPOSITORY / "book"
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
PAGES = sorted(BOOK.glob("*.md"))
#: Shown only where a network learned nothing: a page that refers to it by number could not be built without it.
SOMETIMES = {"fig-baselines-losses"}


def cells(path: Path, kind: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def prose(path: Path) -> str:
    return path.read_text() if path.suffix == ".md" else "\n".join(cell.source for cell in cells(path, "markdown"))


def numbered(path: Path) -> set[str]:
    """Labels of the figures and tables that stand on a notebook's page, as its committed outputs show them."""
    found = set()
    for cell in cells(path, "code"):
        for output in cell.outputs:
            data = output.get("data", {})
            found |= set(re.findall(r"^:name: (\S+)", data.get("text/markdown", ""), re.MULTILINE))
            if "image/png" in data and "figure" in cell.metadata.get("mystnb", {}):
                found.add(cell.metadata["mystnb"]["figure"]["name"])
    return found - SOMETIMES


EVERYTHING = "\n".join(prose(path) for path in [*PAGES, *NOTEBOOKS])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_and_table_is_referred_to_by_its_number(path):
    assert {name for name in numbered(path) if f"{{numref}}`{name}`" not in EVERYTHING} == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_begins_with_a_label_and_one_title(path):
    lines = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL).splitlines()
    assert re.fullmatch(r"\([a-z-]+\)=", lines[0])
    assert [i for i, line in enumerate(lines) if line.startswith("# ")] == [1]


def test_the_table_of_contents_has_every_page_once():
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text())
    listed = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    there = [path.relative_to(REPOSITORY).with_suffix("").as_posix() for path in [*PAGES, *NOTEBOOKS]]
    assert sorted(listed) == sorted(there)


def test_every_reference_is_cited_and_every_citation_has_one():
    listed = re.findall(r"^@\w+\{(\w+),", (BOOK / "references.bib").read_text(), re.MULTILINE)
    cited = {key for keys in re.findall(r"\{cite(?::\w)?\}`([^`]+)`", EVERYTHING) for key in keys.split(",")}
    assert len(listed) == len(set(listed))
    assert set(listed) == cited


def test_the_glossary_is_in_order_and_explains_every_term_that_is_marked():
    body = re.search(r"```\{glossary\}\n(.*?)```", (BOOK / "glossary.md").read_text(), re.DOTALL)[1]
    terms = re.findall(r"^(\S.*)$", body, re.MULTILINE)
    marked = re.findall(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", EVERYTHING)
    assert terms == sorted(terms, key=str.casefold)
    assert {term for term in marked if term not in terms} == set()


def test_equations_that_are_referred_to_exist():
    labels = re.findall(r"^\$\$ \((eq-[a-z-]+)\)$", EVERYTHING, re.MULTILINE)
    assert len(labels) == len(set(labels))
    assert set(re.findall(r"\{eq\}`([^`]+)`", EVERYTHING)) <= set(labels)


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.stem)
def test_no_line_begins_with_a_per_cent_sign_which_would_make_it_a_comment(path):
    assert [line for line in prose(path).splitlines() if line.lstrip().startswith("%")] == []
