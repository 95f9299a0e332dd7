"""What a user can get wrong, said in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can mend. The command line prints it as one line and exits with status 2.

    The message names the file or setting, what is wrong with it, and what to do.
    """


class UserErrors(UserError):
    """Several faults found in one pass, one line each, so that nobody mends them one run at a time."""

    def __init__(self, summary: str, faults: Iterable[str]) -> None:
        self.summary = summary
        self.faults = tuple(faults)
        super().__init__("\n".join([summary, *(f"  {fault}" for fault in self.faults)]))


def unknown(what: str, name: str, choices: Iterable[str]) -> UserError:
    """The error for a name that is not one of ``choices``; it offers the nearest one."""
    choices = sorted(choices)
    # Case must not hide a near miss: people type `softGel` and `m-b0`.
    lowered = {choice.lower(): choice for choice in choices}
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    hint = f"did you mean '{lowered[near[0]]}'? " if near else ""
    return UserError(f"unknown {what} '{name}': {hint}known are {', '.join(choices)}")
