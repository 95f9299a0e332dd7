"""The table and figure of the benchmarks, and the tables of what breaks things: every number where it belongs."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from defectlib.errors import UserError
from defectlib.plots import measured, style, tables

ABOUT = {"machine": "a machine", "device": "cpu", "finished": "2026-11-23T07:00:00Z", "commit": "0123456789"}
HARDWARE = {
    "cpu": {
        "accelerator": "",
        "bytes_per_second": 12e9,
        "operations_per_second": {"fp32": 80e9, "bf16": 200e9},
    }
}


@pytest.fixture(autouse=True)
def _look():
    style.use()


def row(benchmark, case, device="cpu", ratio=None, **changes):
    spread = {"ratio_low": ratio, "ratio": ratio, "ratio_high": ratio} if ratio else {}
    empty = ("ours", "plain", "ratio_low", "ratio", "ratio_high", "floor", "above_floor", "goal", "met")
    texts = {"unit": "image", "name": "ours", "plain_name": "the plain way", "floor_of": "bytes", "note": ""}
    return {"benchmark": benchmark, "case": case, "device": device} | dict.fromkeys(empty) | texts | spread | changes


@pytest.fixture
def found(tmp_path):
    rows = [
        row("training", "small", ratio=1.5, goal=1.3, met=True, ours=0.02, plain=0.03, floor=0.005, above_floor=4.0),
        row("training", "small", "cuda", ratio=2.0, goal=3.0, met=False, ours=1e-4, plain=2e-4, note="a note"),
        row("listing", "files", ours=2e-6, floor=1e-6, floor_of="a walk", above_floor=2.0),
    ]
    frame = pd.DataFrame(rows).set_index(["benchmark", "case", "device"])
    about = ABOUT | {"threads": 1, "hardware": HARDWARE, "left_out": {"book": "no book"}}
    tables.write_record("benchmarks", frame, about, tmp_path)
    return tables.record("benchmarks", tmp_path)


def test_the_table_has_each_case_its_ratio_goal_and_floors(found):
    table = measured.findings(found, "tab-b", "Caption")
    small, gpu, files = table.frame.to_dict("records")
    assert small["times as fast"].replace("\N{NO-BREAK SPACE}", " ") == "1.50 [1.50, 1.50]"
    assert (small["goal"], small["floors"]) == ("1.3, met", "4.00")
    assert small["floor"].replace("\N{NO-BREAK SPACE}", " ") == "5 ms ¹"
    assert small["ours"].replace("\N{NO-BREAK SPACE}", " ") == "20 ms per image"
    assert (gpu["case"], gpu["goal"], gpu["floor"]) == ("small, GPU", "3, **missed**", "")
    assert (files["times as fast"], files["goal"], files["floors"]) == ("", "", "2.00")
    assert files["floor"].replace("\N{NO-BREAK SPACE}", " ") == "1 µs ²"
    assert table.notes[:3] == (
        "Floors: ¹ bytes; ² a walk.",
        "the book, unchanged: left out, no book.",
        "small: a note.",
    )
    assert "a machine (cpu), 2026-11-23, commit 0123456" in table.notes[-1]


def test_goals_are_counted_and_those_missed_are_named(found):
    said = measured.conclusion(found)
    assert said[0] == "1 of 2 goals were met."
    assert said[1:] == [
        "Missed: training denoisers, small: 2.00 times as fast as the plain way, and 3 was wanted.",
    ]


def test_the_rates_that_floors_rest_on_are_told(found):
    said = measured.machine(found)
    assert said[1] == "CPU: 80 billion in fp32 and 200 billion in bf16 operations a second, 12 GB a second."


def test_the_figure_has_ratios_goals_and_floors_of_what_has_a_plain_way(found):
    figure = measured.ratios(found)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["training: small", "training: small, GPU"]
    points = [(to_rgb(c.lines[0].get_color()), *c.lines[0].get_xydata()[0]) for c in axes.containers]
    assert points == [(to_rgb(measured._MET), 1.5, 0), (to_rgb(measured._MISSED), 2.0, 1)]
    marks = {marker: [] for marker in "D|"}
    for line in axes.lines:
        if line.get_marker() in marks:
            marks[line.get_marker()].append(tuple(line.get_xydata()[0]))
    assert marks["|"] == [(1.3, 0), (3.0, 1)]
    np.testing.assert_allclose(marks["D"], [(6.0, 0)])  # plain over floor


def test_where_nothing_is_measured_it_is_said():
    assert measured.NOTHING in measured.findings(None, "tab-b", "Caption").markdown()
    assert measured.conclusion(None) == measured.machine(None) == [measured.NOTHING]
    FigureCanvasAgg(measured.ratios(None)).draw()


def test_an_absent_file_leaves_a_table_that_says_so(tmp_path):
    table = measured.broken("soak", "tab-soak", "Caption", tmp_path)
    assert ":name: tab-soak" in table.markdown()
    assert "No long run has been made" in table.markdown()


def test_faults_of_all_kinds_stand_below_each_other_and_what_was_not_tried_is_said(tmp_path):
    kind = {"rows": [["kill", "sampling", 100, 0]], "skipped": {}, "provenance": ABOUT | {"date": "2026-11-23"}}
    full = {"rows": [["full disk", "store", 3, 1]], "skipped": {"store": "no tmpfs"}, "provenance": ABOUT}
    content = {"columns": ["fault", "where", "tries", "wrong"], "kinds": {"kills": kind, "disk": full}}
    (tmp_path / "faults.json").write_text(json.dumps(content))
    table = measured.broken("faults", "tab-faults", "Caption", tmp_path)
    assert table.frame.values.tolist() == [["kill", "sampling", "100", "0"], ["full disk", "store", "3", "1"]]
    assert table.notes == ("store: not tried, no tmpfs.", "Of record: a machine, 2026-11-23, commit 0123456.")


def test_nested_numbers_get_a_row_each_and_an_estimate_its_interval(tmp_path):
    growth = [{"slope": 0.1, "low": -0.2, "high": 0.4}, {"slope": 0.0, "low": -1.0, "high": 1.0}]
    content = {"sampling": {"pairs": 200, "growth": growth, "equal": True}, "provenance": ABOUT}
    (tmp_path / "soak.json").write_text(json.dumps(content))
    rows = measured.broken("soak", "tab-soak", "Caption", tmp_path).frame.values.tolist()
    shown = [[text.replace("\N{NO-BREAK SPACE}", " ") for text in cells] for cells in rows]
    assert shown == [
        ["sampling", "pairs", "200"],
        ["sampling", "growth", "0.1 [-0.2, 0.4]; 0 [-1, 1]"],
        ["sampling", "equal", "yes"],
    ]


def test_a_record_s_rows_are_shown_as_they_are(tmp_path):
    tables.write_record("bad_inputs", pd.DataFrame({"kind": ["mask"], "tried": [3]}), ABOUT, tmp_path)
    assert measured.broken("bad_inputs", "tab-x", "Caption", tmp_path).frame.values.tolist() == [["mask", "3"]]


@pytest.mark.parametrize(
    "text",
    [
        *("[1]", "{", '{"kinds": {"a": 1}}', '{"a": {"b": 1}}', "", "7", "null", "[" * 100_000, '{"a": {"b": NaN}}'),
        '{"columns": ["a"], "kinds": {}}',
        '{"columns": ["a", "b"], "rows": [["x", 1], ["y"]], '
        '"provenance": {"machine": "m", "finished": "f", "commit": "c"}}',
        '{"columns": ["a", "b"], "kinds": {"k": {"rows": [["x"]], "skipped": {}, "provenance": {}}}}',
        '{"columns": ["a"], "kinds": {"k": {"rows": [["x"]], "skipped": [], "provenance": {}}}}',
        '{"columns": ["a"], "rows": [["x"]], "provenance": {"machine": "m", "finished": 7, "commit": "c"}}',
        '{"columns": ["a"], "rows": [["x"]], "provenance": {"machine": "m", "finished": "f", "commit": 7}}',
        '{"columns": ["a"], "rows": [["x"]], "provenance": [], "sha256": "0"}',
        '{"a": {"b": {"slope": "steep", "low": 0, "high": 1}}, '
        '"provenance": {"machine": "m", "finished": "f", "commit": "c"}}',
    ],
    ids=lambda text: text[:40] or "nothing",
)
def test_another_form_is_told_in_one_line(text, tmp_path):
    (tmp_path / "faults.json").write_text(text)
    with pytest.raises(UserError, match=r"faults\.json: not in a form that is known") as told:
        measured.broken("faults", "tab-x", "Caption", tmp_path)
    assert "\n" not in str(told.value)
