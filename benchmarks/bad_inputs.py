"""How bad input ends: every case of the tests' catalogue is met once, and counted by entry point and outcome.

Run ``python -m benchmarks.bad_inputs`` in the checkout; the table goes to ``build/bad_inputs.json``, and with
``--record`` to ``benchmarks/results/bad_inputs.json``, which RESULTS.md shows. A case ends well if the command
says one line (or, of a folder, a line for each fault), leaves with status 2, and has written, changed and removed
nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd

from benchmarks import results
from defectlib import runtime
from defectlib.plots import tables
from tests.bad_input.case import Case, faults, meet
from tests.bad_input.catalogue import CASES

NAME = "bad_inputs"
COLUMNS = ("cases", "refused in one line", "refused in a line for each fault", "otherwise")


def main() -> None:
    """Meet all cases and write what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="make these the reference results")
    arguments = parser.parse_args()
    table = count(CASES)
    print(table.to_string())
    made = provenance()
    for folder in (runtime.REPOSITORY / "build", *([results.RESULTS] if arguments.record else [])):
        print(tables.write_record(NAME, table, made, folder))
    if arguments.record:
        results.write()


def count(cases: list[Case]) -> pd.DataFrame:
    """How the cases of each entry point ended; whole numbers, columns :data:`COLUMNS`, the last row their sum."""
    counts: dict[str, Counter[str]] = {}
    with runtime.progress(len(cases), "bad input", unit="case") as bar:
        for case in cases:
            counts.setdefault(case.entry, Counter()).update(["cases", outcome(case)])
            bar.update()
    table = pd.DataFrame(
        [[counts[entry][column] for column in COLUMNS] for entry in counts],
        index=pd.Index(list(counts), name="entry point"),
        columns=list(COLUMNS),
    )
    return pd.concat([table, table.sum().to_frame("all").T.rename_axis("entry point")])


def outcome(case: Case) -> str:
    """The column in which a case is counted."""
    with tempfile.TemporaryDirectory(prefix="bad-input-") as folder:
        met = meet(case, Path(folder))
    if faults(case, met):
        return COLUMNS[3]
    return COLUMNS[1] if met.err.count("\n") == 1 else COLUMNS[2]


def provenance() -> dict[str, str]:
    """Where and when the cases were met."""
    return {
        "machine": runtime.machine(),
        "device": "cpu",
        "finished": runtime.now(),
        "commit": runtime.git_commit(),
    }


if __name__ == "__main__":
    main()
