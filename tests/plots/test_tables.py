"""Tables: every number under its source, nothing mixed, nothing lost in formatting."""

from __future__ import annotations

import html
import io
import json

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from defectlib.errors import UserError
from defectlib.plots import paper, tables

RULE = "The rule."
PROVENANCE = {"machine": "Some CPU, 2 cores", "device": "cpu", "finished": "2026-01-02T03:04:05Z", "commit": "a" * 40}


def frame(values, columns=("A", "B")):
    return pd.DataFrame.from_dict(values, orient="index", columns=list(columns)).rename_axis("product")


@pytest.fixture
def no_record(monkeypatch, tmp_path):
    monkeypatch.setattr(tables.record, "__defaults__", (tmp_path,))


@pytest.fixture
def boost():
    values = {"real": [0.698, 0.5], "synthetic": [0.704, 0.45], "difference": [0.006, -0.05]}
    table = pd.DataFrame({"product": ["softgel", "softgel"], "model": ["UNet", "DL"], **values})
    for name in values:
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.02, table[name] + 0.02
    return table


def test_numbers_stand_right_and_words_left():
    columns = {"what": ["a", "b"], "mIoU": ["**82.3** [81.0, 83.5]", "not run"], "why": ["200 epochs", "none"]}
    lines = tables.Table(pd.DataFrame(columns), "tab-x", "Caption.").markdown().splitlines()
    rule = next(line for line in lines if line.startswith("|:"))
    assert [cell[-1] for cell in rule.strip("|").split("|")] == ["-", ":", "-"]


def test_names_begin_neither_html_nor_mathematics_in_the_book():
    name = r"<script>alert(1)</script> \<b> $x$ a|b &lt;i&gt;"
    columns = {name: [name, "{ref}`The datasets <datasets>`"], "mIoU": ["**82.3**", "`a < b`"]}
    table = tables.Table(pd.DataFrame(columns), "tab-x", name, notes=(name,))
    _, _, *body, _, _, note = table.markdown().splitlines()
    shown = MarkdownIt("commonmark").enable("table").render("\n".join([*body, "", note]))
    assert shown.count(html.escape(name)) == 3
    assert "$" not in table.markdown().replace(r"\$", "")
    assert "{ref}`The datasets <datasets>`" in table.markdown()


def test_one_column_stands_side_by_side():
    run = frame({"a": [1.5], "c": [7.0]}, ["ms"])
    table = tables.compare(frame({"a": [1.25], "b": [2.0]}, ["ms"]), None, run, "tab-x", "Caption.", decimals=1)
    assert table.frame.columns.tolist() == ["product", "ms, paper", "ms, reference", "ms, this run"]
    assert table.frame.to_numpy().tolist() == [
        ["a", "1.2", "no reference", "1.5"],
        ["b", "2.0", "no reference", "not run"],
        ["c", "not in the paper", "no reference", "7.0"],
    ]


def test_wider_frames_repeat_the_row_for_each_source_that_has_it():
    ours = frame({"a": [3.0, np.nan], "new": [5.0, 6.0]})
    table = tables.compare(frame({"a": [1.0, 2.0], "b": [3.0, 4.0]}), None, ours, "tab-x", "Caption.")
    assert table.frame.to_numpy().tolist() == [
        ["a", "paper", "1.00", "2.00"],
        ["a", "this run", "3.00", "not run"],
        ["b", "paper", "3.00", "4.00"],
        ["new", "this run", "5.00", "6.00"],
    ]


@pytest.mark.parametrize(("best", "bold"), [("max", ["1.00", "**2.00**"]), ("min", ["**1.00**", "2.00"])])
def test_best_of_each_row_is_bold_within_its_source(best, bold):
    table = tables.compare(frame({"a": [1.0, 2.0]}), None, frame({"a": [9.0, 8.0]}), "tab-x", "Caption.", best=best)
    assert table.frame.iloc[0, 2:].tolist() == bold
    assert sum(cell.startswith("**") for cell in table.frame.iloc[1]) == 1


def test_a_tie_has_two_winners():
    table = tables.compare(frame({"a": [2.0, 2.0]}), None, None, "tab-x", "Caption.", best="max")
    assert table.frame.iloc[0, 2:].tolist() == ["**2.00**", "**2.00**"]


def test_markdown_keeps_last_zeros_and_escapes_bars():
    text = tables.compare(frame({"a|b": [40.90, 2.0]}), None, None, "tab-x", "Caption.", notes=[RULE]).markdown()
    assert text.startswith("```{table} Caption.\n:name: tab-x\n\n| product")
    assert "40.90" in text
    assert "a\\|b" in text
    assert text.index("\n```\n") < text.index(RULE)


def test_html_escapes_text_and_turns_stars_bold():
    text = tables.compare(frame({"<a>": [1.0, 2.0]}), None, None, "tab-x", "A < B.", best="max").html()
    assert "<td>&lt;a&gt;</td>" in text
    assert "<td><strong>2.00</strong></td>" in text
    assert "<caption>A &lt; B.</caption>" in text


def test_a_table_needs_numbers():
    with pytest.raises(ValueError, match="table 'tab-x' has no numbers"):
        tables.compare(None, None, None, "tab-x", "Caption.")


def test_a_row_may_occur_once():
    twice = pd.concat([frame({"a": [1.0, 2.0]})] * 2)
    with pytest.raises(ValueError, match="a row occurs twice in the numbers of 'this run'"):
        tables.compare(None, None, twice, "tab-x", "Caption.")


@pytest.mark.usefixtures("no_record")
def test_table1_gives_counted_datasets_rows_of_their_own():
    ours = pd.DataFrame([[225, 0, 5, True, True, True]], columns=paper.table1().columns, index=["softgel"])
    shown = tables.table1(ours.rename_axis("dataset")).frame
    assert shown.iloc[-1].tolist() == ["softgel", "this run", "225", "0", "5", "yes", "yes", "yes"]
    assert shown["numbers"].tolist() == ["paper"] * 9 + ["this run"]


def test_table2_is_in_tenths():
    assert tables.table2().frame.iloc[2].tolist() == ["DL", "33.0", "no reference", "not run"]


@pytest.mark.usefixtures("no_record")
def test_table3_bolds_what_the_paper_highlights():
    table = tables.table3()
    bold = table.frame.map(lambda cell: cell.startswith("**")).sum(axis=1)
    assert (bold == 1).all()
    assert table.frame.loc[0, "V-T"] == "**69.71**"


def test_table3_means_show_both():
    shown = tables.table3_means().frame
    assert shown["DL"].tolist() == ["51.58", "51.12", "52.86", "52.86"]


@pytest.mark.usefixtures("no_record")
def test_miou_table_has_intervals_and_the_better_arm_bold(boost):
    table = tables.miou_table(boost, RULE, "tab-miou", "Caption.")
    cells = table.frame.map(lambda text: text.replace("\N{NO-BREAK SPACE}", " "))
    assert cells.to_numpy().tolist() == [
        ["softgel", "UNet", "this run", "69.8 [67.8, 71.8]", "**70.4 [68.4, 72.4]**", "+0.6 [-1.4, +2.6]"],
        ["softgel", "DL", "this run", "**50.0 [48.0, 52.0]**", "45.0 [43.0, 47.0]", "-5.0 [-7.0, -3.0]"],
    ]
    assert table.notes[0] == RULE


def test_miou_table_says_where_there_is_no_interval(boost):
    boost.loc[0, ["real_low", "real_high"]] = np.nan
    cell = tables.miou_table(boost, RULE, "tab-miou", "Caption.").frame.iloc[0, 3]
    assert cell.split("\N{NO-BREAK SPACE}") == ["69.8", "[no", "interval]"]  # never broken over two lines


def test_miou_table_keeps_record_and_run_apart(boost):
    record = boost.assign(real=0.1)
    record.attrs["provenance"] = PROVENANCE
    table = tables.miou_table(boost, RULE, "tab-miou", "Caption.", record=record)
    assert table.frame["numbers"].tolist() == ["reference", "this run"] * 2


def test_plain_shows_frames_with_and_without_a_named_index():
    named = tables.plain(frame({"a": [1.0, np.nan]}), "tab-x", "Caption.", notes=[RULE])
    assert named.frame.to_numpy().tolist() == [["a", "1.00", ""]]
    assert tables.plain(pd.DataFrame({"n": [3]}), "tab-x", "Caption.").frame.to_numpy().tolist() == [["3"]]


# Reference results --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [["product"], ["product", "model"], []])
def test_records_come_back_as_written(tmp_path, boost, index):
    counted = boost.assign(images=200, complete=True)
    written = counted.set_index(index) if index else counted
    tables.write_record("boost", written, PROVENANCE, tmp_path)
    read = tables.record("boost", tmp_path)
    pd.testing.assert_frame_equal(read, written, check_exact=True)
    assert read.attrs["provenance"] == PROVENANCE


def test_missing_numbers_stay_missing(tmp_path):
    written = frame({"a": [1.0, np.nan]})
    path = tables.write_record("x", written, PROVENANCE, tmp_path)
    assert "NaN" not in path.read_text()
    pd.testing.assert_frame_equal(tables.record("x", tmp_path), written)


def test_no_record_is_none(tmp_path):
    assert tables.record("table1", tmp_path) is None


def spoilt(folder, spoil):
    """A record that was written and then changed by ``spoil``."""
    path = tables.write_record("x", frame({"a": [1.0, 2.0]}), PROVENANCE, folder)
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content.pop("provenance"),
        lambda content: content["provenance"].pop("device"),
        lambda content: content["columns"].pop(),
    ],
)
def test_a_spoilt_record_is_named(tmp_path, spoil):
    path = spoilt(tmp_path, spoil)
    with pytest.raises(UserError, match=rf"{path}: not a record .* write it again with write_record"):
        tables.record("x", tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content["columns"].__setitem__(0, "id"),
        lambda content: content["rows"][0].__setitem__(1, 1.5),
        lambda content: content["rows"].pop(),
        lambda content: content["provenance"].update(seeds=[0, 1, 2]),
        lambda content: [content["columns"].pop(), *(row.pop() for row in content["rows"])],
    ],
    ids=["another column", "another number", "a row less", "other seeds", "a column less"],
)
def test_a_record_that_a_hand_has_changed_is_named_though_its_form_is_right(tmp_path, spoil):
    path = spoilt(tmp_path, spoil)
    with pytest.raises(UserError, match=rf"{path}: not a record .*it has changed since it was written.*; write it ag"):
        tables.record("x", tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"index": "1"}, "'index' must be how many of the 3 columns"),
        ({"index": -1}, "'index' must be how many of the 3 columns"),
        ({"index": 4}, "'index' must be how many of the 3 columns"),
        ({"index": True}, "'index' must be how many of the 3 columns"),
        ({"index": None}, "'index' must be how many of the 3 columns"),
        ({"columns": "ab"}, "'rows' must be lists|'columns' must be names|not a record"),
        ({"columns": ["product", "product"]}, "'columns' must be names, each once"),
        ({"columns": ["product", 7]}, "'columns' must be names, each once"),
        ({"columns": ["product", ["a"]]}, "not a record"),
        ({"columns": 7}, "not a record"),
        ({"columns": None}, "not a record"),
        ({"rows": [["a", 1.0, 2.0], ["b", 1.0]]}, "'rows' must be lists of 3 values"),
        ({"rows": [["a", 1.0, 2.0], ["b", 2.0, 3.0, 4.0]]}, "'rows' must be lists of 3 values"),
        ({"rows": [["a", 1.0, 2.0], "bcd"]}, "'rows' must be lists of 3 values"),
        ({"rows": {"a": [1.0]}}, "'rows' must be lists of 3 values"),
        ({"rows": "none"}, "'rows' must be lists of 3 values"),
        ({"rows": None}, "'rows' must be lists of 3 values"),
        ({"provenance": []}, "not a record"),
        ({"provenance": PROVENANCE | {"finished": 2026}}, "'finished' of the provenance must be text"),
        ({"provenance": PROVENANCE | {"commit": None}}, "'commit' of the provenance must be text"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_record_of_values_of_another_kind_is_named(tmp_path, changes, said):
    path = tables.write_record("x", frame({"a": [1.0, 2.0]}), PROVENANCE, tmp_path)
    content = {name: value for name, value in json.loads(path.read_text()).items() if name != "sha256"}
    path.write_text(json.dumps(content | changes))
    with pytest.raises(UserError, match=said) as error:
        tables.record("x", tmp_path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"index": 1, "columns": ["a"', "null", "7", "[]", '"text"', '{"rows": [[NaN]]}', '{"index": -Infinity}',
     '{"index": 1, "index": 2}', "[" * 100_000],
    ids=lambda text: text[:24] or "nothing",
)  # fmt: skip
def test_a_record_that_is_no_record_is_one_line(tmp_path, text):
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="; write it again with write_record") as error:
        tables.record("x", tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'x.json'}: ")
    assert "\n" not in str(error.value)


def test_a_record_that_is_a_folder_is_named_and_not_passed_over(tmp_path):
    (tmp_path / "x.json").mkdir()
    with pytest.raises(UserError, match=r"x\.json: cannot be read as JSON \(no plain file\)"):
        tables.record("x", tmp_path)


def test_a_record_written_before_there_were_seals_is_read(tmp_path):
    path = tables.write_record("x", frame({"a": [1.0, 2.0]}), PROVENANCE, tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in content.items() if name != "sha256"}))
    assert tables.record("x", tmp_path).loc["a"].tolist() == [1.0, 2.0]


def test_names_that_json_turns_into_text_do_not_break_the_seal(tmp_path):
    tables.write_record("x", frame({"a": [1.0, 2.0]}), PROVENANCE | {"steps": {100: (1, 2), 20: (3,)}}, tmp_path)
    assert tables.record("x", tmp_path).attrs["provenance"]["steps"] == {"100": [1, 2], "20": [3]}


def test_a_record_needs_its_provenance(tmp_path):
    with pytest.raises(UserError, match="record 'x': its provenance does not say device, commit"):
        tables.write_record("x", frame({"a": [1, 2]}), {"machine": "m", "finished": "f"}, tmp_path)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "X"])
def test_names_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(UserError, match="a name is made of small letters"):
        tables.record(name, tmp_path)


def test_committed_records_can_be_read():
    names = {path.stem for path in tables.REFERENCE.glob("*.json")}
    assert names
    assert all(tables.record(name) is not None for name in names)


# What is downloaded --------------------------------------------------------------------------------------------------


def test_csv_holds_what_was_rounded_with_each_source_in_rows_of_its_own():
    index = pd.Index(["a", "b"], name="row")
    given = pd.DataFrame({"x": [1 / 3, 2.0]}, index=index)
    table = tables.compare(given, None, given.iloc[:1] / 3, "tab-x", "A caption")
    assert "0.33" in table.markdown()
    read = pd.read_csv(io.StringIO(table.csv()))
    assert read["numbers"].tolist() == ["paper", "paper", "this run"]
    assert read["x"].tolist() == [1 / 3, 2.0, 1 / 9]
    assert read["row"].tolist() == ["a", "b", "a"]


def test_csv_of_a_table_that_is_text_has_no_marks(boost):
    table = tables.miou_table(boost, "The rule.", "tab-x", "A caption")
    assert "**" in table.markdown()
    assert "**" not in table.csv()
    assert "\N{NO-BREAK SPACE}" not in table.csv()


def test_csv_stands_beside_the_output_where_committed_notebooks_are_not_compared():
    table = tables.plain(pd.DataFrame({"x": [1.5]}), "tab-x", "A caption")
    shown, beside = table._repr_mimebundle_()
    assert set(shown) == {"text/plain", "text/markdown", "text/html"}
    assert beside == {tables.CSV: {"tab-x": "x\n1.5\n"}}
