"""Places to write to, and to keep things in, that cannot take them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.case import bad
from tests.bad_input.published import COPY
from tests.bad_input.things import own_folder


def full(path: Path) -> None:
    path.mkdir()
    (path / "mine.txt").write_text("mine")


#: A bad place for a folder, by name: what makes it, how it is called, and what is said.
PLACES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "not empty": (full, "out", "is there already and not"),
    "a file": (Path.touch, "out", "is there already and not"),
    "below a file": (Path.touch, "out/inner", "no such folder|directory|cannot be written"),
    "where nothing can be": (lambda path: None, "/proc/nowhere/out", "no such folder|cannot be"),
    "of a name too long": (lambda path: None, "n" * 300, "too long"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "out", "out: "),
}
COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "sample": lambda place: ["sample", "--profile", "smoke", "--count", "1", "--out"],
    "augment": lambda place: ["augment", str(own_folder(place / "own")), "--profile", "smoke", "--out"],
    "data convert": lambda place: [
        "data", "convert", "mvtec_ad", "--root", str(COPY["mvtec_ad"](place / "mvtec")), "--product", "screw", "--out",
    ],
}  # fmt: skip
for _entry, _words in COMMANDS.items():
    for _name, (_spoil, _out, _says) in PLACES.items():

        def make(place: Path, words: Callable = _words, spoil: Callable = _spoil, out: str = _out) -> list[str]:
            spoil(place / "out")
            return [*words(place), out]

        bad(_entry, f"a place that is {_name}", _says, make)
bad(
    "sample",
    "a parent that is not there",
    "no such folder",
    lambda place: [*COMMANDS["sample"](place), "no/where"],
)

# The store and the home of data -------------------------------------------------------------------------------------

TRAIN = ["train-generator", "--profile", "smoke", "--net", "9"]


def stored(name: str, says: str, where: str) -> None:
    def make(place: Path) -> list[str]:
        (place / "file").touch()
        (place / "loop").symlink_to("loop")
        return TRAIN

    bad("DEFECTLIB_STORE", name, says, make, environment={"DEFECTLIB_STORE": where})


stored("a file", "set DEFECTLIB_STORE to a folder you own", "{place}/file")
stored("where nothing can be", "set DEFECTLIB_STORE to a folder you own", "/proc/nowhere/store")
stored("of a name too long", "too long", "{place}/" + "n" * 300)
stored("a link to itself", "set DEFECTLIB_STORE to a folder you own|loop", "{place}/loop")
for _name, _where in {"a file": "{place}/file", "of a name too long": "{place}/" + "n" * 300}.items():
    bad(
        "DEFECTLIB_DATA",
        _name,
        "no such folder|too long",
        lambda place: ["data", "stats", "mvtec_ad"] if (place / "file").touch() is None else [],
        environment={"DEFECTLIB_DATA": _where},
    )
# The book -----------------------------------------------------------------------------------------------------------

bad("archive", "without a book", "no book is there; build it first", lambda place: ["archive", "--out", "book.tar.gz"])
bad("pdf", "without a book", "nothing is staged there", lambda place: ["pdf", "--out", "book.pdf"])


def of_book(name: str, says: str, out: str, spoil: Callable[[Path], object] = lambda place: None) -> None:
    """A book that was built, and a bad place for its archive."""

    def make(place: Path) -> list[str]:
        (place / "build" / "html").mkdir(parents=True)
        (place / "build" / "html" / "index.html").write_text("<html>")
        spoil(place)
        return ["archive", "--out", out]

    bad("archive", name, says, make)


of_book("of another kind", "must end in .tar.gz", "book.zip")
of_book("that is a folder", "is a folder|another place", "book.tar.gz", lambda place: (place / "book.tar.gz").mkdir())
of_book(
    "that is a pipe",
    "is a folder or a special file; name another place",
    "book.tar.gz",
    lambda place: os.mkfifo(place / "book.tar.gz"),
)
of_book("in no folder", "make it first", "no/where/book.tar.gz")
of_book("of a name too long", "too long", "n" * 300 + ".tar.gz")
of_book(
    "of a book that links out",
    "points outside|is a link",
    "book.tar.gz",
    lambda place: (place / "build" / "html" / "secret.html").symlink_to("/etc/hostname"),
)
