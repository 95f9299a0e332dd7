"""Of each kind of entry point one case, met by a process of its own, as a shell would start it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input import clicks
from tests.bad_input.case import Case, faults, meet_truly
from tests.bad_input.catalogue import CASES

#: Cases by their names.
CHOSEN = (
    "command line: '\\x1b[31m'",
    "image files: cut in half",
    "sample: a place that is a file",
    "export-onnx: weights that are a pickle which runs a program",
    "records of clicks: a click between pixels",
)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_process_ends_in_one_line_and_status_2(name, tmp_path):
    (case,) = (case for case in CASES if str(case) == name)
    met = meet_truly(case, tmp_path)
    assert not faults(case, met), f"{' '.join(met.command)[:300]}\n{met.err[-3000:]}"


def test_what_the_page_of_the_click_tool_cannot_do_ends_in_one_line_too(tmp_path):
    def make(place: Path) -> list[str]:
        clicks.copy(place / "work")
        return ["click", "work/photos", "/proc/nowhere/out", "--classes", "scratch", "--no-browser"]

    case = Case("click", "where nothing can be", "/proc/nowhere/out: cannot be written .*; name a folder you own", make)
    met = meet_truly(case, tmp_path)
    assert not faults(case, met), met.err[-3000:]
