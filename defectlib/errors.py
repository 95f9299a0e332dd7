"""What a user can get wrong, said in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr
from typing import Any

_LONGEST = 2000  # characters of a line
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_SHORT.maxlevel = 3


class UserError(Exception):
    """Something the user can mend. The command line prints it as one line and exits with status 2.

    The message names the file or setting, what is wrong with it, and what to do.
    """

    @property
    def lines(self) -> tuple[str, ...]:
        """The message as it is printed: one line, whatever names and values from files it holds."""
        return (one_line(str(self)),)


class UserErrors(UserError):
    """Several faults found in one pass, one line each, so that nobody mends them one run at a time."""

    def __init__(self, summary: str, faults: Iterable[str]) -> None:
        self.summary = summary
        self.faults = tuple(faults)
        super().__init__("\n".join([summary, *(f"  {fault}" for fault in self.faults)]))

    def __reduce__(self) -> tuple[Any, ...]:
        """An error crosses from a worker to the process that asked."""
        return type(self), (self.summary, self.faults)

    @property
    def lines(self) -> tuple[str, ...]:
        """The summary, and one line for each fault."""
        return (one_line(self.summary), *(f"  {one_line(fault)}" for fault in self.faults))


def one_line(text: str) -> str:
    """``text`` with line ends and whatever else does not print written as escapes, and its middle cut if it is long."""
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST * 3 // 4]} ... {text[-_LONGEST // 4 :]}"


def shown(value: object) -> str:
    """``repr(value)`` cut short: what a file or a person put where it does not belong may be of any size."""
    return _SHORT.repr(value)


def unknown(what: str, name: str, choices: Iterable[str]) -> UserError:
    """The error for a name that is not one of ``choices``; it offers the nearest one."""
    choices = sorted(choices)
    name = name if len(name) <= 80 else f"{name[:77]}..."  # finding what is near takes time that grows with it
    # Case must not hide a near miss: people type `softGel` and `m-b0`.
    lowered = {choice.lower(): choice for choice in choices}
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    hint = f"did you mean '{lowered[near[0]]}'? " if near else ""
    return UserError(f"unknown {what} '{name}': {hint}known are {', '.join(choices)}")
