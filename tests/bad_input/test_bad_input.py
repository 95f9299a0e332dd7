"""Every case of the catalogue ends in one line and status 2, and leaves everything as it was."""

from __future__ import annotations

import pytest

from tests.bad_input.case import faults, meet
from tests.bad_input.catalogue import CASES


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_is_one_line_and_status_2(case, tmp_path):
    met = meet(case, tmp_path)
    assert not faults(case, met), f"{' '.join(met.command)[:300]}\n{met.err[-3000:]}"
