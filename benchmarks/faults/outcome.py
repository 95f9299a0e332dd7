"""What is counted of every fault, as a table and as a file of numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defectlib import runtime
from defectlib.store import sealed, write_atomically


@dataclass
class Outcome:
    """One kind of fault in one place, counted.

    Attributes:
        fault: What was done.
        where: To what.
        tries: How often it was tried.
        counted: How often it struck where it should: a kill in the middle of a stage, say.
        wrong: Artifacts and results served afterwards that are not those of an undisturbed run.
        finished: Of the counted, those after which the next run finished, or was refused in one line where it must be.
        equal: Of the counted, those after which all results are those of an undisturbed run.
        skipped: Why it was not tried, where it was not.
        events: One entry for each that counted: where and when it struck, what was on disk.
    """

    fault: str
    where: str
    tries: int = 0
    counted: int = 0
    wrong: int = 0
    finished: int = 0
    equal: int = 0
    skipped: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing wrong was served, and every run after a fault came to the results of an undisturbed one."""
        return self.wrong == 0 and self.finished == self.equal == self.counted

    def count(self, wrong: Sequence[str], finished: bool, equal: bool, **event: Any) -> None:
        """Count one that struck."""
        self.counted += 1
        self.wrong += len(wrong)
        self.finished += finished
        self.equal += equal
        told = {"wrong": list(wrong)} if wrong else {}
        told |= {} if finished and equal else {"finished": finished, "equal": equal}
        self.events.append(event | told)


COLUMNS = ("fault", "where", "tries", "counted", "wrong", "finished", "equal")


HEAD = ("fault", "where", "tries", "counted", "wrong served", "next run finished", "results equal")
WIDTHS = (21, 30, 5, 7, 12, 17, 13)


def line(outcome: Outcome | None = None) -> str:
    """One outcome as a line of aligned text; without one, the head of the table."""
    words = HEAD if outcome is None else [str(getattr(outcome, name)) for name in COLUMNS]
    text = "  ".join(word.ljust(width) for word, width in zip(words, WIDTHS, strict=True)).rstrip()
    if outcome is None:
        return text
    return text + (f"  not tried: {outcome.skipped}" if outcome.skipped else "" if outcome.passed else "  FAILED")


def write(path: Path, kind: str, outcomes: Sequence[Outcome], **settings: Any) -> None:
    """Put the outcomes of one kind of fault into a file in the form of the record, below those of other kinds."""
    record = json.loads(path.read_text()) if path.exists() else {"columns": list(COLUMNS), "kinds": {}}
    record["kinds"].pop(kind, None)
    record["kinds"][kind] = {
        "rows": [[getattr(outcome, name) for name in COLUMNS] for outcome in outcomes],
        "skipped": {outcome.where: outcome.skipped for outcome in outcomes if outcome.skipped},
        "events": [{"where": outcome.where, **event} for outcome in outcomes for event in outcome.events],
        "provenance": provenance(command=f"python -m benchmarks.faults --only {kind}", **settings),
    }
    write_atomically(path, json.dumps(sealed(record), indent=1) + "\n")


def provenance(**settings: Any) -> dict[str, Any]:
    """Where, when and of which code."""
    return {
        **settings,
        "commit": runtime.git_commit(),
        "machine": runtime.machine(),
        "packages": runtime.package_versions(),
        "device": "cpu",
        "finished": runtime.now(),
    }
