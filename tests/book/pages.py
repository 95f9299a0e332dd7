"""The pages of a built book as files: what each links to, shows and weighs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from bs4 import BeautifulSoup, Tag

MOST_BYTES = 3_000_000  # of a page and the pictures that are its own
_LINKS = {"a": "href", "img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}


def pages(book: Path) -> list[Path]:
    """Every page, in order; the theme's own files are none."""
    return [path for path in sorted(book.rglob("*.html")) if "_static" not in path.relative_to(book).parts]


@cache
def soup(page: Path) -> BeautifulSoup:
    """The page, read once: tests leave it as it is."""
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def links(page: Path) -> list[tuple[Tag, str]]:
    """Every element that leads or loads from somewhere, and where to, less what is in the page itself."""
    found = [(tag, tag.get(_LINKS[tag.name]) or "") for tag in soup(page).find_all(list(_LINKS))]
    return [(tag, target) for tag, target in found if target and not target.startswith("data:")]


def local(page: Path, target: str) -> Path | None:
    """The file that ``target`` leads to from ``page``; None for another host or another protocol."""
    url = urlsplit(urldefrag(target).url)
    if url.scheme or url.netloc:
        return None
    return (page.parent / unquote(url.path)).resolve() if url.path else page.resolve()


def weight(page: Path) -> int:
    """Bytes of the page and of the pictures that it shows; scripts and styles are shared by all pages."""
    own = {local(page, target) for tag, target in links(page) if tag.name in ("img", "source")}
    return page.stat().st_size + sum(path.stat().st_size for path in own if path is not None)
