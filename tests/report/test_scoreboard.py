"""The claims file, the tables of the scoreboard, and the box at the head of a chapter."""

from __future__ import annotations

import json
import re

import nbformat
import pandas as pd
import pytest

from defectlib.errors import UserError
from defectlib.report import paper, scoreboard, tables
from defectlib.runtime import REPOSITORY

FOUND = {"record": "", "run": "", "data": "", "verdict": "undecided"}


def answered(chapter: str, **changes: dict[str, str]) -> pd.DataFrame:
    """The claims of a chapter, undecided but for ``changes``, by claim with underscores for hyphens."""
    rows = scoreboard.claims(chapter)
    found = {name: FOUND | changes.get(name.replace("-", "_"), {}) for name in rows.index}
    return rows.join(pd.DataFrame.from_dict(found, orient="index"))


def label_of(path) -> str:
    text = nbformat.read(path, as_version=4).cells[0].source if path.suffix == ".ipynb" else path.read_text()
    return re.match(r"\((.+)\)=", text)[1]


def changed(monkeypatch, tmp_path, module, change):
    """The file of ``module`` with a change, in its place for the rest of the test."""
    content = json.loads(module._FILE.read_text(encoding="utf-8"))
    text = change(content)
    path = tmp_path / module._FILE.name
    path.write_text(text if isinstance(text, str) else json.dumps(content))
    monkeypatch.setattr(module, "_FILE", path)
    module._contents.cache_clear()
    return path


@pytest.fixture
def forget():
    yield
    scoreboard._contents.cache_clear()
    paper._contents.cache_clear()


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("cannot be read as JSON", lambda content: ""),
        ("cannot be read as JSON", lambda content: json.dumps(content)[:5000]),
        ("NaN is no number of JSON", lambda content: content["claims"][0].update(number=float("nan"))),
        ("nested too deeply", lambda content: "[" * 100_000),
        ("does not hold the claims", lambda content: "[]"),
        ("does not hold the claims", lambda content: content.pop("chapters") and None),
        ("does not hold the claims", lambda content: content["claims"].append("a claim")),
        ("does not hold the claims", lambda content: content["claims"][0].pop("id") and None),
        (
            "'says' of the claim 'annotated-images' is not text",
            lambda content: content["claims"][0].pop("says") and None,
        ),
        ("'says' of the claim 'annotated-images' is not text", lambda content: content["claims"][0].update(says=7)),
        ("'number' is none of the claim", lambda content: content["claims"][0].update(number="many")),
        ("'numbr' is none of the claim", lambda content: content["claims"][0].update(numbr=7)),
        ("chapter or claim is none", lambda content: content["claims"][0].update(chapter="99_nowhere")),
        ("chapter or claim is none", lambda content: content["claims"][0].update(of="no-claim")),
        ("'annotated-images' is claimed twice", lambda content: content["claims"].append(content["claims"][0])),
        ("a part or a chapter has not its names", lambda content: content["parts"][0].update(title=7)),
        ("a part or a chapter has not its names", lambda content: content["parts"][0]["chapters"].append("x")),
        ("does not hold the claims", lambda content: content["parts"][0].pop("name") and None),
    ],
)
def test_claims_that_a_hand_has_spoilt_are_one_line(monkeypatch, tmp_path, said, change):
    path = changed(monkeypatch, tmp_path, scoreboard, change)
    with pytest.raises(UserError, match=said) as error:
        scoreboard.claims()
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).endswith("; this file is part of the package, install it again")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize(
    "change",
    [
        lambda content: "",
        lambda content: "[]",
        lambda content: json.dumps(content)[:2000],
        lambda content: content.pop("tables") and None,
        lambda content: content["tables"]["table2"].pop("columns") and None,
        lambda content: content["tables"]["table2"].pop("caption") and None,
        lambda content: content["tables"]["table2"].update(index="one"),
        lambda content: content["tables"]["table2"]["rows"][0].append(7),
        lambda content: content["tables"]["table2"]["rows"][0].pop() and None,
        lambda content: content["tables"]["table2"].update(rows="none"),
        lambda content: content["tables"].update(table2=[1]),
    ],
)
def test_tables_of_the_paper_that_a_hand_has_spoilt_are_one_line(monkeypatch, tmp_path, change):
    path = changed(monkeypatch, tmp_path, paper, change)
    with pytest.raises(UserError, match=r"cannot be read as JSON|not the paper's tables") as error:
        paper.table2()
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_every_claim_says_something_and_leads_to_a_page_that_is_there():
    contents = scoreboard._contents()
    for name, chapter in contents["chapters"].items():
        notebook, page = REPOSITORY / "notebooks" / f"{name}.ipynb", REPOSITORY / "book" / f"{name}.md"
        assert label_of(notebook if notebook.is_file() else page) == chapter["label"]
    every = pd.DataFrame(contents["claims"])
    assert every["id"].is_unique
    assert set(every["chapter"]) == set(contents["chapters"])
    assert set(every["of"].dropna()) <= set(every["id"])
    assert every["says"].str.len().min() > 20
    assert not every["says"].str.contains(r"[.:|]$").any()
    listed = [chapter for part in contents["parts"] for chapter in part["chapters"]]
    assert sorted(listed) == sorted(scoreboard.claims()["chapter"].unique())


def test_every_chapter_with_a_notebook_has_its_head():
    for path in sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb")):
        if path.stem == "00_scoreboard":
            continue
        (cell,) = [cell for cell in nbformat.read(path, as_version=4).cells if cell.id == "head"]
        assert f'scoreboard.claims("{path.stem}")' in cell.source
        assert not scoreboard.claims(path.stem).empty


def test_numbers_of_a_claim_are_those_that_it_prints():
    for row in scoreboard.claims().dropna(subset=["number"]).itertuples():
        printed = row.paper.replace(",", "").replace("\N{MINUS SIGN}", "-")
        assert f"{row.number:g}" in printed or f"{row.number:.2f}" in printed, row.Index


def test_what_is_not_of_this_run(monkeypatch, tmp_path):
    made = {"machine": "m", "device": "cpu", "finished": "f", "commit": "c"}
    tables.write_record("mine", pd.DataFrame({"a": [1.0]}, index=pd.Index(["x"], name="i")), made, tmp_path)
    monkeypatch.setattr(tables, "REFERENCE", tmp_path)
    monkeypatch.setattr(tables.record, "__defaults__", (tmp_path,))
    found = scoreboard.numbers()
    assert found.keys() == {
        "mine",
        *(f"paper:{name}" for name in ("table1", "table2", "table3", "table3_means", "table4")),
    }
    assert found["mine"].at["x", "a"] == 1


def test_a_board_keeps_the_three_sources_apart():
    gain = {"record": "+2.1 points (3 seeds)", "run": "+1.0 points (1 seed)", "data": "procedural twill, 64 px"}
    rows = answered(
        "05_synthetic_boost",
        table4_mvtec={"verdict": "needs data that is not here"},
        boost_here=gain | {"verdict": "in direction only"},
    )
    board = scoreboard.board(rows, "boost")
    assert list(board.frame.columns) == ["claim", "paper", "of record", "this run", "verdict"]
    shown = dict(zip(rows.index, board.frame.itertuples(index=False, name=None), strict=True))
    assert shown["table4-mvtec"][1:4] == ("51.58 to 55.55: +3.97 points", "no record", "not run")
    assert shown["boost-here"][1:4] == ("of other data", "+2.1 points (3 seeds)", "+1.0 points (1 seed)")
    assert shown["boost-here"][0].endswith("On procedural twill, 64 px.")
    assert shown["boost-here"][4] == "**≈\N{NO-BREAK SPACE}in direction only**"
    assert shown["eccv-gain"][1] == "+9.85 points"


def test_a_board_as_myst_has_a_number_a_class_and_a_way_to_each_chapter():
    text = scoreboard.board(answered("13_speed"), "baselines").markdown()
    assert text.startswith("```{table} The baselines\n:name: tab-scoreboard-baselines\n:class: scoreboard\n")
    assert text.count("{ref}`How fast are the baselines? <speed>`") == len(scoreboard.claims("13_speed"))
    html = scoreboard.board(answered("13_speed"), "baselines").html()
    assert "{ref}" not in html
    assert "<strong>?\N{NO-BREAK SPACE}undecided</strong>" in html


def test_what_is_counted_has_no_record_to_lack_and_what_cannot_be_measured_says_so():
    rows = answered("01_datasets", types_listed={"run": "98 are listed", "verdict": "not reproduced"})
    shown = scoreboard.board(rows, "data").frame.set_axis(rows.index)
    assert shown.loc["types-listed", ["of record", "this run"]].tolist() == ["counted", "98 are listed"]
    clicks = scoreboard.board(answered("16_defect_click"), "data").frame["this run"]
    assert clicks.iloc[-1] == "nobody was timed"


def test_the_values_to_download_have_no_marks():
    board = scoreboard.board(answered("13_speed"), "baselines")
    assert "**" not in board.csv()
    assert board.csv().splitlines()[0] == "claim,chapter,about,says,where,paper,record,run,data,verdict"


def test_an_unknown_part_is_told():
    with pytest.raises(UserError, match="unknown part of the scoreboard 'bost': did you mean 'boost'"):
        scoreboard.board(answered("13_speed"), "bost")


def test_the_summary_counts_every_claim_once():
    rows = pd.concat([answered(name) for name in scoreboard.claims()["chapter"].unique()])
    frame = scoreboard.summary(rows).frame.set_index("verdict")
    assert list(frame.index) == [scoreboard.signed(verdict) for verdict in scoreboard.SIGNS]
    assert frame.loc[scoreboard.signed("undecided"), "all"] == str(len(rows))
    parts = frame.drop(columns="all").astype(int)
    assert parts.sum(axis=None) == len(rows)
    assert set(frame.loc[scoreboard.signed("reproduced")]) == {"0"}


# The head -----------------------------------------------------------------------------------------------------------


def test_a_head_says_claim_number_verdict_finding_and_data():
    rows = answered(
        "13_speed",
        table2={"verdict": "needs data that is not here"},
        order_here={"run": "rank correlation 0.29 (6 rounds)", "data": "an image of 256×256 px on a CPU"},
    )
    text = scoreboard.head(rows).markdown()
    claim, asked, _, data, _ = text.splitlines()[3:]
    assert claim == (
        "- **Milliseconds for one image on an RTX 3090: the fastest and the slowest baseline** "
        "(HR 15.7, M2F 68.2, §4.1, Table 2). ○\N{NO-BREAK SPACE}needs data that is not here."
    )
    assert asked == (
        "  - Asked of the data here: ?\N{NO-BREAK SPACE}undecided: this run, rank correlation 0.29 (6 rounds)."
    )
    assert data.startswith(
        "**On what data:** an image of 256×256 px on a CPU; of the paper's own data, claims are open"
    )
    assert data.endswith("{ref}`scoreboard`.")


def test_a_head_without_numbers_says_so():
    text = scoreboard.head(answered("12_memorisation")).markdown()
    assert text.count("undecided: nothing was measured yet.") == len(scoreboard.claims("12_memorisation"))
    assert "**On what data:** none yet where this stands." in text


def test_a_chapter_without_a_claim_has_no_verdict():
    rows = answered("15_cost", cost={"verdict": "", "run": "Everything takes 9 years (6 rounds)", "data": "the plans"})
    text = scoreboard.head(rows).markdown()
    assert "This run, Everything takes 9 years (6 rounds)." in text
    assert not any(sign in text for sign in scoreboard.SIGNS.values())
    assert "{ref}" not in text
    silent = scoreboard.head(answered("07_your_own_defects", own_data={"verdict": ""})).markdown()
    assert "Nothing has been trained yet where this stands." in silent


def test_both_sources_of_a_head_are_named():
    rows = answered("04_switch_step", trade_off={"record": "+1", "run": "+2", "verdict": "reproduced"})
    assert "✓\N{NO-BREAK SPACE}reproduced: of record, +1; this run, +2." in scoreboard.head(rows).markdown()


def test_a_head_in_jupyter_is_html_without_myst():
    rows = answered("04_switch_step", trade_off={"run": "a < b", "verdict": "reproduced"})
    bundle = scoreboard.head(rows)._repr_mimebundle_()
    assert "a &lt; b" in bundle["text/html"]
    assert "{ref}" not in bundle["text/html"]
    assert bundle["text/plain"].startswith(scoreboard.TITLE)
