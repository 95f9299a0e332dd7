"""Downloads: what is asked for, a hub that is not there or is none, and one that lists what nobody should fetch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bad_input.case import bad
from tests.bad_input.things import nested, once
from tests.data.hub_server import HubServer, git_name

DOWNLOAD = ["data", "download", "defect_spectrum"]


def download(name: str, says: str, *words: str, **environment: str) -> None:
    """Words after a download of the one dataset that is fetched."""
    bad("data download", name, says, lambda place: [*DOWNLOAD, *words], environment=environment)


download("an unknown subset", "did you mean 'DS-DAGM'", "--subset", "DS-DAGN", "--out", "out")
download("a subset that is a path", "unknown subset", "--subset", "../..", "--out", "out")
download("an empty subset", "unknown subset", "--subset", "", "--out", "out")
download("a hub that is not there", "cannot be reached", "--out", "out", HF_ENDPOINT="http://127.0.0.1:9")
download("a hub without a port", "cannot be reached", "--out", "out", HF_ENDPOINT="http://127.0.0.1:")
for _name in ("mvtec_ad", "dagm", "kolektor", "vision"):
    bad(
        "data download",
        f"{_name}, which has a licence",
        "is not fetched for you",
        lambda place, name=_name: ["data", "download", name, "--out", str(place / "out")],
    )

# What a hub may say -------------------------------------------------------------------------------------------------

FILE = "DS-DAGM/DS-DAGM.md"


def _page(root: Path) -> None:
    for path in (root / FILE, root / "README.md"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"About {path.name}")


page = once(_page)


def hub(name: str, says: str, spoil: Callable[[HubServer], object]) -> None:
    """A hub that has a small subset, and of which ``spoil`` changed something; nothing of it may be fetched."""

    @contextmanager
    def around() -> Iterator[dict[str, str]]:
        with HubServer(page.original()).running() as server:
            spoil(server)
            yield {"HF_ENDPOINT": server.address}

    make = [*DOWNLOAD, "--subset", "DS-DAGM", "--out", "out"]
    bad("listing of a hub", name, says, lambda place: list(make), around=around)


def entry(**changes: Any) -> dict[str, Any]:
    """A file as a hub lists it, with ``changes``; None for what is left out."""
    whole = {"type": "file", "path": "DS-DAGM/image/0576.txt", "size": 4, "oid": git_name(b"evil")} | changes
    return {name: value for name, value in whole.items() if value is not None}


def listed(name: str, says: str, *entries: Any) -> None:
    """Entries after those that are right."""
    hub(name, says, lambda server: server.further.extend(entries))


def answered(name: str, says: str, content: bytes) -> None:
    """A listing that is none."""
    hub(name, says, lambda server: setattr(server, "listing", content))


CALLED = "lists a file called .*; take the dataset from elsewhere"
for _name, _path in {
    "a path with ../": "DS-DAGM/../../evil.txt",
    "a path that ends in ..": "DS-DAGM/..",
    "a path that starts with ../": "../evil.txt",
    "an absolute path": "/etc/evil.txt",
    "a path with two slashes": "DS-DAGM//etc/evil.txt",
    "a path with a dot": "DS-DAGM/./evil.txt",
    "a path that ends in a slash": "DS-DAGM/evil/",
    "an empty path": "",
    "a path with backslashes": "DS-DAGM\\..\\evil.txt",
    "a drive": "C:\\evil.txt",
    "a zero byte": "DS-DAGM/evil\0.txt",
    "a line end": "DS-DAGM/two\nlines.txt",
    "an escape sequence": "DS-DAGM/\x1b[31mred.txt",
    "letters that turn the writing round": "DS-DAGM/\u202etxt.exe",
    "half a character": "DS-DAGM/\ud800.txt",
    "a path of 1 MB with a line end": "DS-DAGM/" + "n" * 2**20 + "\n",
}.items():
    listed(_name, CALLED, entry(path=_path))
for _name, _path in {"a number": 7, "a list": ["DS-DAGM", "a.txt"], "true": True}.items():
    listed(f"{_name} as path", CALLED, entry(path=_path))
for _name, _size in {
    "text": "4", "half a byte": 1.5, "less than nothing": -1, "beyond all numbers": 10**400, "no number": float("nan"),
    "infinite": float("inf"), "true": True, "a list": [4],
}.items():  # fmt: skip
    listed(f"a size that is {_name}", "with a size of .*; take the dataset from elsewhere", entry(size=_size))
listed("a size beyond the disk", "needs 1000000000.00 GB more and .* are free", entry(size=10**18))
listed("a checksum that is a number", "with a checksum that is none", entry(oid=7))
listed("a file twice", "'DS-DAGM/image/0576.txt' more than once", entry(), entry())
listed("a file twice, of two sizes", "'DS-DAGM/image/0576.txt' more than once", entry(), entry(size=5))
for _name, _entry in {
    "a file without a path": entry(path=None),
    "a file without a size": entry(size=None),
    "a file without a checksum": entry(oid=None),
    "a large file of no kind": entry(lfs=[1, 2]),
    "a large file without a checksum": entry(lfs={"size": 4, "pointerSize": 130}),
    "an entry that is text": "DS-DAGM/image/0576.txt",
    "an entry that is null": None,
    "an entry of no type": entry(type=None),
}.items():
    listed(_name, "cannot be reached, or broke off", _entry)
listed(
    "a large file whose checksum is a number",
    "with a checksum that is none",
    entry(lfs={"oid": 7, "size": 4, "pointerSize": 130}),
)
BROKEN = "cannot be reached, or broke off"
answered("no bytes", BROKEN, b"")
answered("HTML", BROKEN, b"<html><body>Please log in</body></html>")
answered("cut short", BROKEN, b'[{"type": "file", "path": "DS-')
answered("no UTF-8", BROKEN, b'["\xff\xfe"]')
answered("too deep", BROKEN, nested().encode())
answered("a number", BROKEN, b"7")
answered("null", BROKEN, b"null")
answered("text", BROKEN, b'"DS-DAGM"')
answered("an object", f"{BROKEN}|lists no file", b'{"error": "none of your business"}')
answered("an empty list", "lists no file in DS-DAGM/; choose another subset", b"[]")
answered(
    "folders alone",
    "lists no file in DS-DAGM/",
    json.dumps([{"type": "directory", "path": "DS-DAGM", "oid": "0"}]).encode(),
)
hub("another subset alone", "lists no file in DS-DAGM/", lambda server: server.files.pop(FILE))
hub("another revision", "answers with revision", lambda server: setattr(server, "revision", "b" * 40))
hub("a revision that is a number", "answers with revision 7", lambda server: setattr(server, "revision", 7))
hub("a revision of two lines", r"answers with revision a\\nb", lambda server: setattr(server, "revision", "a\nb"))
for _status, _code, _says in (
    (401, "RepoNotFound", "is not there, or not for you"),
    (403, "GatedRepo", "asks for a licence"),
    (404, "RevisionNotFound", "no longer has revision"),
    (418, "", "answers with HTTP status 418"),
):
    hub(
        f"a refusal, {_status} {_code}".rstrip(),
        _says,
        lambda server, refusal=(_status, _code): setattr(server, "refusal", refusal),
    )
