"""The book as a single PDF: the staged pages on one page of HTML, printed by Chromium, without LaTeX.

What only a screen can use is left out: a widget has a figure beside it. Chromium cannot say on which page a chapter
will begin, so the book is printed twice: once to see, and once with the numbers in its contents.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from defectlib import runtime
from defectlib.errors import UserError
from defectlib.publishing import PublishingError, notebooks, staging
from defectlib.store import write_atomically

if TYPE_CHECKING:
    from playwright.sync_api import Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FOOTER = '<div style="width:100%;text-align:center;font-size:8px"><span class="pageNumber"></span></div>'
_FILL = "numbers => document.querySelectorAll('.page-number').forEach(s => s.textContent = numbers[s.dataset.goal])"


def build_pdf(root: Path, config: Path, output: Path, log: Path) -> Path:
    """Print the staged book to ``output``.

    Args:
        root: The staging tree.
        config: Of Jupyter Book.
        output: The file to write, whole or not at all.
        log: What Jupyter Book says.

    Raises:
        UserError: There is no staging tree, or no Chromium.
        PublishingError: Jupyter Book or Chromium failed.
    """
    if not (root / "notebooks").is_dir():
        raise UserError(f"{root}: nothing is staged there; build the book first, by `make book`")
    browser = find_browser()
    partial = output.with_name(f"{output.name}.partial")
    pages = staging.run_builder("singlehtml", root, config, partial, log)
    toc = yaml.safe_load((root / "book" / "_toc.yml").read_text(encoding="utf-8"))
    # Its links are as from the top folder, wherever the first chapter's file stands.
    page = (pages / f"{toc['root']}.html").rename(pages / "printed.html")
    write_atomically(output, _print(page, _about(root, config, toc), root, browser))
    shutil.rmtree(partial)
    return output


def find_browser() -> str:
    """The path of Chromium or Chrome.

    Raises:
        UserError: Neither is on the path.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise UserError("chromium: not found, and it is what prints the PDF; install it by your system's packages")
    return found


def page_numbers(document: bytes, prefix: str = "print-") -> dict[str, int]:
    """Pages, from 1 on, of the places in a PDF whose names begin with ``prefix``."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(document))
    places = {name.lstrip("/"): goal for name, goal in reader.named_destinations.items()}
    return {
        name: reader.get_destination_page_number(goal) + 1 for name, goal in places.items() if name.startswith(prefix)
    }


def _print(page: Path, about: Mapping[str, Any], root: Path, browser: str) -> bytes:
    """The PDF of one page of HTML; nothing but files of this machine is loaded for it."""
    from playwright.sync_api import Error, sync_playwright

    assets = root / "book" / "_assets"
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--disable-gpu"])
            opened = chromium.new_page()
            opened.route("**/*", lambda r: r.continue_() if r.request.url.startswith(("file:", "data:")) else r.abort())
            opened.goto(page.as_uri(), wait_until="load")
            opened.evaluate("() => window.MathJax?.startup?.promise")
            opened.evaluate((assets / "print.js").read_text(encoding="utf-8"), dict(about))
            opened.add_style_tag(path=assets / "print.css")
            opened.evaluate(_FILL, page_numbers(_pdf(opened)))
            return _pdf(opened)
    except Error as error:
        raise PublishingError(f"Chromium did not print the book: {str(error).splitlines()[0]}") from error


def _pdf(page: Page) -> bytes:
    return page.pdf(
        prefer_css_page_size=True,
        print_background=True,
        outline=True,
        tagged=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=_FOOTER,
    )


def _about(root: Path, config: Path, toc: Mapping[str, Any]) -> dict[str, Any]:
    """What the title page says, the title and how the notebooks were executed; and the parts with their chapters."""
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    read = (
        notebooks.read(path).metadata.get(notebooks.RECORD) for path in sorted((root / "notebooks").glob("*.ipynb"))
    )
    records = [record for record in read if record]
    made = {
        "Profile": {str(record["parameters"].get("profile", "none")) for record in records},
        "Commit": {runtime.short_commit(record["commit"]) for record in records},
        "Executed": {record["finished"][:10] for record in records},
    }
    lines = [f"{name} {', '.join(sorted(values))}" for name, values in made.items() if values]
    parts = [{"caption": "", "files": [toc["root"], *_files(toc)]}]
    parts += [{"caption": part.get("caption", ""), "files": _files(part)} for part in toc.get("parts", ())]
    return {"title": content["title"], "lines": [content.get("author", ""), *lines], "parts": parts}


def _files(part: Mapping[str, Any]) -> list[str]:
    """The files of a part of the table of contents, sections of chapters among them, in their order."""
    chapters = (*part.get("chapters", ()), *part.get("sections", ()))
    return [file for chapter in chapters for file in (chapter["file"], *_files(chapter))]
