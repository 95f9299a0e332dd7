"""Downloads: what is asked for, a hub that is not there or is none, and one that lists what nobody should fetch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bad_input.case import bad
from tests.bad_input.things import once
from tests.data.hub_server import HubServer, git_name

DOWNLOAD = ["data", "download", "defect_spectrum"]


def download(name: str, says: str, *words: str, **environment: str) -> None:
    """Words after a download of the one dataset that is fetched."""
    bad("data download", name, says, lambda place: [*DOWNLOAD, *words], environment=environment)


download("an unknown subset", "did you mean 'DS-DAGM'", "--subset", "DS-DAGN", "--out", "out")
download("a hub that is not there", "cannot be reached", "--out", "out", HF_ENDPOINT="http://127.0.0.1:9")
bad(
    "data download",
    "a dataset that has a licence",
    "is not fetched for you",
    lambda place: ["data", "download", "mvtec_ad", "--out", str(place / "out")],
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


for _name, _says, _changes in (
    ("a path with ../", "lists a file called .*; take the dataset from elsewhere", {"path": "DS-DAGM/../../evil.txt"}),
    ("an absolute path", "lists a file called .*; take the dataset from elsewhere", {"path": "/etc/evil.txt"}),
    ("a size beyond the disk", "needs 1000000000.00 GB more and .* are free", {"size": 10**18}),
    ("a file without a checksum", "cannot be reached, or broke off", {"oid": None}),
):
    hub(_name, _says, lambda server, changes=_changes: server.further.append(entry(**changes)))
hub(
    "HTML",
    "cannot be reached, or broke off",
    lambda server: setattr(server, "listing", b"<html><body>Please log in</body></html>"),
)
hub("another subset alone", "lists no file in DS-DAGM/", lambda server: server.files.pop(FILE))
hub("another revision", "answers with revision", lambda server: setattr(server, "revision", "b" * 40))
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
