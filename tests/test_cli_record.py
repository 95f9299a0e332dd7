"""`defectlib record`: reference results from a study; and what can be said wrong to it and to `sample`."""

from __future__ import annotations

import pytest

from defectlib.experiments import plans
from defectlib.plots import tables
from defectlib.runtime import REPOSITORY
from tests.test_cli import run

NOTEBOOK = str(REPOSITORY / "notebooks" / "10_network_calls.ipynb")


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("DEFECTLIB_QUIET", "1")


def test_record_writes_the_table_of_a_study_with_its_provenance(tmp_path, monkeypatch, capsys):
    calls = {"ddpm": [6], "ddim": [3]}
    words = ("record", NOTEBOOK, "-p", "pairs", "3", "-y", f"network_calls: {calls}", "--out", str(tmp_path / "kept"))
    status, out, err = run(monkeypatch, capsys, *words)
    assert (status, err) == (0, "")
    assert out == f"{tmp_path / 'kept' / 'network_calls_softgel_32px.json'}\n"
    record = tables.record("network_calls_softgel_32px", tmp_path / "kept")
    assert list(record.index) == [("ddpm", 6), ("ddim", 3), ("real images", 0)]
    assert record.loc[("ddim", 3), "pairs"] == 3
    provenance = record.attrs["provenance"]
    assert (provenance["product"], provenance["profile"], provenance["device"]) == ("softgel", "smoke", "cpu")
    study = plans.network_calls("smoke", "softgel", calls, 3)
    assert study.of_these_nets(record) is record


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("record", NOTEBOOK, "-p", "prodct", "washer"),
            "unknown parameter of 10_network_calls.ipynb 'prodct': did you",
        ),
        (("record", NOTEBOOK, "-p", "product", "wahser"), "unknown product 'wahser': did you mean 'washer'?"),
        (("record", NOTEBOOK, "-y", "network_calls: {ddim: [5]}"), "setting 'network_calls': name ddpm too; all are"),
        (
            ("record", str(REPOSITORY / "notebooks" / "01_datasets.ipynb")),
            f"{REPOSITORY / 'notebooks' / '01_datasets.ipynb'}: its study keeps no reference results",
        ),
        (
            ("sample", "--profile", "smoke", "--sampler", "dpm", "--out", "OUT"),
            "unknown sampler 'dpm': did you mean 'd",
        ),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys, words, line):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(monkeypatch, capsys, *words)
    assert (status, out) == (2, "")
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_number_of_calls_out_of_range_is_refused(monkeypatch, capsys):
    status, out, err = run(monkeypatch, capsys, "sample", "--calls", "2000", "--out", "pairs")
    assert (status, out) == (2, "")
    assert "Invalid value for '--calls': Input should be less than or equal to 1000" in err
