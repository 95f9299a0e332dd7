"""Table 1 counted from what lies on this machine, and what the publishers state."""

from __future__ import annotations

import pytest
from PIL import Image

from defectlib.data.sources.manifest import names, read_manifest
from defectlib.experiments.published import count_present, differences, stated
from defectlib.plots import paper, tables
from tests.data.sources.mini_defect_spectrum import write_defect_spectrum
from tests.data.sources.mini_kolektor import write_kolektor
from tests.data.sources.miniature import photograph


@pytest.fixture
def home(tmp_path):
    write_kolektor(tmp_path / "kolektor")
    write_defect_spectrum(tmp_path / "defect_spectrum")
    return tmp_path


def test_nothing_is_counted_where_nothing_is(tmp_path):
    assert count_present(tmp_path) == (None, ())


def test_what_is_here_stands_in_the_rows_of_the_paper(home):
    frame, _ = count_present(home)
    assert sorted(frame.index) == ["Defect Spectrum", "KolektorSDD2"]
    assert list(frame.columns) == list(paper.table1().columns)
    kolektor = frame.loc["KolektorSDD2"].to_dict()
    assert kolektor == {
        "annotated images": 10,
        "synthetic images": 0,
        "defect types": 1,
        "pixel labels": True,
        "several types per image": False,
        "captions": False,
    }
    assert frame.loc["Defect Spectrum", "captions"]
    assert frame.loc["Defect Spectrum", "synthetic images"] > 0
    shown = tables.table1(frame).frame
    assert list(shown["numbers"][shown["dataset"] == "KolektorSDD2"]) == ["paper", "this run"]


def test_a_dataset_with_faults_is_told_and_does_not_hide_the_others(home):
    (home / "kolektor" / "train" / "notes.txt").write_text("x")
    frame, notes = count_present(home)
    assert list(frame.index) == ["Defect Spectrum"]
    assert [note for note in notes if note.startswith("KolektorSDD2 is here but cannot be counted:")]


def test_a_part_of_a_dataset_is_told(tmp_path):
    (tmp_path / "mvtec_ad" / "screw" / "train" / "good").mkdir(parents=True)
    for part in ("test", "ground_truth"):
        (tmp_path / "mvtec_ad" / "screw" / part).mkdir()

    Image.fromarray(photograph("a")).save(tmp_path / "mvtec_ad" / "screw" / "train" / "good" / "000.png")
    frame, notes = count_present(tmp_path)
    assert frame.loc["MVTec", "annotated images"] == 0
    assert notes == ("MVTec AD: 1 of 15 products are here.",)


def test_what_publishers_state_has_every_dataset_and_no_invented_number():
    table = stated()
    assert sorted(table.index) == sorted(paper.table1().index)
    for name in names():
        manifest = read_manifest(name)
        row = table.loc[manifest.row]
        for column, value in (("images", manifest.images), ("defective images", manifest.defective)):
            assert row[column] == value if value is not None else row.isna()[column]


def test_differences_are_told_for_the_rows_that_differ():
    text = differences()
    for row, words in (("AeBAD", "1,149"), ("DAGM2007", "2,100"), ("MVTec", "73"), ("Defect Spectrum", "98")):
        assert words in next(line for line in text.splitlines() if line.startswith(f"- **{row}.**"))
