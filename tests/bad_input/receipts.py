"""Receipts of `build`: where none can be written, and what one must not be written over."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.case import bad
from tests.bad_input.things import training, write_json


def receipt(name: str, says: str, where: str, spoil: Callable[[Path], object] = lambda place: None) -> None:
    """A place for the receipt, and what is wrong there; the settings are right."""

    def make(place: Path) -> list[str]:
        write_json(place / "settings.json", training())
        spoil(place)
        return ["build", "--settings", "settings.json", "--receipt", where]

    bad("build --receipt", name, says, make)


receipt("a folder", "is a folder or a special file", "receipts", lambda place: (place / "receipts").mkdir())
receipt("of no name", "is a folder or a special file", "")
receipt("the folder itself", "is a folder or a special file", ".")
receipt(
    "a link to a device",  # by its own name it would be lost, should this ever fail
    "is a folder or a special file",
    "link",
    lambda place: (place / "link").symlink_to("/dev/null"),
)
receipt("a pipe", "is a folder or a special file", "pipe", lambda place: os.mkfifo(place / "pipe"))
receipt("the settings", "is the file of settings itself", "settings.json")
receipt(
    "the settings by a longer way",
    "is the file of settings itself",
    "store/../settings.json",
    lambda p: (p / "store").mkdir(),
)
receipt(
    "a link to the settings",
    "is the file of settings itself",
    "link.json",
    lambda place: (place / "link.json").symlink_to("settings.json"),
)
receipt(
    "the settings under another name",
    "is the file of settings itself",
    "same.json",
    lambda place: os.link(place / "settings.json", place / "same.json"),
)
receipt("below a file", "cannot be made|directory", "settings.json/receipt.json")
receipt("where nothing can be", "cannot be made", "/proc/nowhere/receipt.json")
receipt("below a device", "cannot be made|directory", "/dev/null/receipt.json")
receipt("of a name too long", "too long", "n" * 300)
receipt("in a folder of a name too long", "too long", "n" * 300 + "/receipt.json")
receipt(
    "in a link to itself",
    "link/receipt.json|link: ",
    "link/receipt.json",
    lambda place: (place / "link").symlink_to("link"),
)
