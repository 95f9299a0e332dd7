"""Claims about the datasets: Table 1's own arithmetic, what publishers state, and counts of what lies here."""

from __future__ import annotations

import pandas as pd

from defectlib.data.count import Counts
from defectlib.report import paper
from defectlib.studies.claims import datasets
from defectlib.studies.claims.finding import About, Verdict
from defectlib.studies.claims.given import Given

TABLES = {"paper:table1": paper.table1()}


def test_ranks_in_the_printed_table():
    largest, types = datasets.second_largest(TABLES), datasets.most_types(TABLES)
    assert largest.holds
    assert largest.text == "number 2 of 9 in Table 1 as printed: VISION V1 4,165, Defect Spectrum 3,518, MVTec 1,258"
    assert types.holds
    changed = TABLES["paper:table1"].copy()
    changed.loc["AITEX", ["annotated images", "defect types"]] = 9999
    assert not datasets.second_largest({"paper:table1": changed}).holds
    assert not datasets.most_types({"paper:table1": changed}).holds


def test_types_are_those_that_the_released_lists_name():
    found = datasets.types_listed(TABLES)
    assert (found.holds, found.text) == (False, "the label files of the release list 98 pairs of product and type")
    agreeing = TABLES["paper:table1"].copy()
    agreeing.loc["Defect Spectrum", "defect types"] = 98
    assert datasets.types_listed({"paper:table1": agreeing}).holds


def test_numbers_that_no_publisher_states_are_not_counted():
    found = datasets.other_rows(TABLES)
    assert not found.holds
    assert found.text.startswith("3 of 4 numbers of annotated images and 6 of 8 numbers of defect types")


def test_counts_of_what_lies_here_against_the_paper_s_number():
    counts = Counts(4000, 3518, 98, 3518, 552, 1226, 1920, 0)
    judges = datasets.GROUPS["01_datasets"][0].judges | datasets.GROUPS["02_annotations"][0].judges
    found = {name: judge(Given(counts, "", 1, claimed=3518)) for name, judge in judges.items()}
    assert found["annotated-images"].text == "3,518 annotated images"
    assert [name for name, finding in found.items() if finding.holds] == ["annotated-images"]
    assert judges["several-types"](Given(counts, "", 1, claimed=552)).holds


def test_without_the_datasets_nothing_is_counted(monkeypatch, tmp_path):
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path))
    assert datasets.of_counts(None) is None
    assert datasets.of_annotations(None) is None


def test_that_masks_changed_does_not_say_which_are_right():
    row = {"images": 1200, "IoU (%)": 81.2, "area change (%)": -12.3}
    finding = datasets.precision(Given(pd.DataFrame([row], index=["all"]), "", 1))
    assert finding.text == "masks of 1200 images changed: median IoU 81 %, area -12 %"
    assert finding.verdict(About.PAPER) == Verdict.UNDECIDED
