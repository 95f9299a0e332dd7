"""What became of the paper's claims: a table for each part of the book, and a box at the head of each chapter.

The claims are in ``claims.json``; what was found on each comes from :func:`defectlib.studies.claims.answers`. Rows here
are those of that function: index ``claim``; ``chapter``, ``about``, ``says``, ``where``, ``paper``, ``note``, and what
was found, ``record``, ``run``, ``data`` and ``verdict``.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from defectlib.errors import UserError, shown, unknown
from defectlib.reading import read_json, repeated
from defectlib.report import measured, paper, tables
from defectlib.report.tables import MISSING, PAPER, RECORD, RUN, Table

_FILE = Path(__file__).with_name("claims.json")
#: What each claim says, and what it may say beside that, with the kinds of the values.
_NEEDED = ("id", "chapter", "about", "says", "where")
_KINDS = dict.fromkeys((*_NEEDED, "paper", "note", "of"), (str,)) | {"number": (int, float)}
_NOT_CLAIMED = "none"
NEEDS = "needs data that is not here"
#: Verdict → the sign before it, in the order of the summary.
SIGNS = {
    "reproduced": "✓",
    "in direction only": "≈",
    "not reproduced": "✗",
    "undecided": "?",
    NEEDS: "○",
}
TITLE = "What the paper claims, and what was found here"
_COUNTED = "counted"


@cache
def _contents() -> Mapping[str, Any]:
    advice = "this file is part of the package, install it again"
    contents = read_json(_FILE, advice)
    try:
        fault = _fault(contents)
    except (KeyError, TypeError, AttributeError) as error:
        fault = repr(error)
    if fault:
        raise UserError(f"{_FILE}: does not hold the claims ({fault}); {advice}")
    return contents


def _fault(contents: Any) -> str | None:
    """What is wrong with the contents of the file, or None."""
    chapters, ids = contents["chapters"], [one["id"] for one in contents["claims"]]
    if len(set(ids)) < len(ids):
        return f"'{repeated(ids)}' is claimed twice"
    for one in contents["claims"]:
        if lacking := [name for name in _NEEDED if not isinstance(one.get(name), str)]:
            return f"'{lacking[0]}' of the claim {shown(one['id'])} is not text"
        wrong = [name for name, value in one.items() if type(value) not in _KINDS.get(name, ())]
        if wrong or one["chapter"] not in chapters or one.get("of", one["id"]) not in ids:
            return f"{shown(wrong[0]) if wrong else 'chapter or claim'} is none of the claim {shown(one['id'])}"
    named = [chapter for part in contents["parts"] for chapter in part["chapters"]]
    texts = [part[name] for part in contents["parts"] for name in ("name", "title")]
    texts += [chapter[name] for chapter in chapters.values() for name in ("label", "title")]
    if not all(isinstance(text, str) for text in texts) or not set(named) <= chapters.keys():
        return "a part or a chapter has not its names"
    return None


def claims(chapter: str | None = None) -> pd.DataFrame:
    """The claims of a chapter, or all that are claims, in the order of the scoreboard.

    Columns: ``chapter``, the name of its notebook; ``about`` (see :class:`defectlib.studies.claims.finding.About`);
    ``says``, in this project's words; ``where`` in the paper; ``paper``, its number as text; ``number``, NaN where
    there is none; ``note``; ``of``, the claim whose question is asked of other data here.
    """
    columns = ["id", "chapter", "about", "says", "where", "paper", "number", "note", "of"]
    frame = pd.DataFrame(_contents()["claims"], columns=columns).set_index("id").rename_axis("claim")
    frame = frame.astype({"number": float}).fillna(dict.fromkeys(("paper", "note", "of"), ""))
    return frame[frame["about"] != _NOT_CLAIMED] if chapter is None else frame[frame["chapter"] == chapter]


def numbers() -> dict[str, pd.DataFrame]:
    """All that is not of this run: numbers of record by their names, the paper's tables as ``paper:table3``."""
    recorded = (path.stem for path in sorted(tables.REFERENCE.glob("*.json")) if path.stem not in measured.OTHERS)
    printed = ("table1", "table2", "table3", "table3_means", "table4")
    return {name: tables.record(name) for name in recorded} | {f"paper:{name}": paper.frame(name) for name in printed}


# The scoreboard -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Board(Table):
    """A table of claims: all cells are sentences, and each row leads to its chapter.

    Attributes:
        chapters: Label and title of each row's chapter.
    """

    chapters: tuple[tuple[str, str], ...] = ()

    def markdown(self) -> str:
        """MyST, with references to the chapters."""
        places = [f" {{ref}}`{title} <{label}>`" for label, title in self.chapters]
        linked = self.frame.assign(claim=self.frame["claim"] + places).map(lambda text: text.replace("|", "\\|"))
        body = linked.to_markdown(index=False, disable_numparse=True)
        return f"```{{table}} {self.caption}\n:name: {self.name}\n:class: scoreboard\n\n{body}\n```"


def board(rows: pd.DataFrame, part: str) -> Board:
    """The claims of a part of the book: the paper's number, ours of record, that of this run, the verdict.

    Raises:
        UserError: There is no such part.
    """
    known = {one["name"]: one for one in _contents()["parts"]}
    if part not in known:
        raise unknown("part of the scoreboard", part, known)
    found = rows[rows["chapter"].isin(known[part]["chapters"])]
    chapters = [_contents()["chapters"][chapter] for chapter in found["chapter"]]
    parts = list(found.itertuples())
    cells = {
        "claim": [f"{row.says} ({row.where})." + (f" On {row.data}." if row.data else "") for row in parts],
        PAPER: [_of_paper(row) for row in parts],
        RECORD: [row.record or _missing(row, RECORD) for row in parts],
        RUN: [row.run or _missing(row, RUN) for row in parts],
        "verdict": [signed(row.verdict) for row in parts],
    }
    linked = tuple((chapter["label"], chapter["title"]) for chapter in chapters)
    values = found.drop(columns=["number", "note", "of"]).reset_index()
    return Board(pd.DataFrame(cells), f"tab-scoreboard-{part}", known[part]["title"], values=values, chapters=linked)


def summary(rows: pd.DataFrame) -> Table:
    """How many claims have which verdict, by part of the book."""
    found = {part["title"]: rows[rows["chapter"].isin(part["chapters"])]["verdict"] for part in _contents()["parts"]}
    counts = pd.DataFrame({title: verdicts.value_counts() for title, verdicts in found.items()}).reindex(list(SIGNS))
    counts["all"] = rows["verdict"].value_counts().reindex(list(SIGNS))
    shown = counts.fillna(0).astype(int).rename(index=signed).rename_axis("verdict")
    return tables.plain(shown, "tab-verdicts", "Claims by verdict and part of the book")


def signed(verdict: str) -> str:
    """A verdict after its sign, bold."""
    return f"**{_signed(verdict)}**"


def _signed(verdict: str) -> str:
    return f"{SIGNS[verdict]}\N{NO-BREAK SPACE}{verdict}"


def _of_paper(row: Any) -> str:
    if row.paper:
        return row.paper
    return "of other data" if row.about == "counterpart" else "in words only"


def _missing(row: Any, source: str) -> str:
    if row.about == "count":
        return _COUNTED if source == RECORD else MISSING[source]
    return row.note or MISSING[source]


# The head of a chapter ----------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """A claim in the box.

    Attributes:
        claim: What it says.
        about: The paper's number, and where it stands.
        found: The verdict after its sign, and what was found.
        elsewhere: The same of the question asked of other data; empty where it is not asked.
    """

    claim: str
    about: str
    found: str
    elsewhere: str


@dataclass(frozen=True)
class Head:
    """The box at the head of a chapter, as the last value of a cell.

    Attributes:
        lines: One for each claim.
        data: On what data, in a sentence.
        decided: Whether there is any claim to decide, and so a rule to be read.
    """

    lines: tuple[Line, ...]
    data: str
    decided: bool

    def markdown(self) -> str:
        """MyST: an admonition."""
        items = [
            f"- **{line.claim}**{line.about}. {line.found}" + (f"\n  - {line.elsewhere}" if line.elsewhere else "")
            for line in self.lines
        ]
        rule = " How a verdict is come by: {ref}`scoreboard`." if self.decided else ""
        body = "\n".join([*items, "", f"**On what data:** {self.data}{rule}"])
        return f":::{{admonition}} {TITLE}\n:class: note claims\n\n{body}\n:::"

    def html(self) -> str:
        """The same for Jupyter."""
        escaped = [Line(*map(html.escape, line)) for line in self.lines]
        items = [f"<li><b>{line.claim}</b>{line.about}. {line.found} {line.elsewhere}</li>" for line in escaped]
        data = f"<p><b>On what data:</b> {html.escape(self.data)}</p>"
        return f"<div><p><b>{TITLE}</b></p><ul>{''.join(items)}</ul>{data}</div>"

    def __repr__(self) -> str:
        lines = [f"{line.claim}{line.about}. {line.found} {line.elsewhere}".rstrip() for line in self.lines]
        return "\n".join([TITLE, *lines, f"On what data: {self.data}"])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/markdown": self.markdown(), "text/html": self.html()}


def head(rows: pd.DataFrame) -> Head:
    """The box of a chapter: what the paper claims, what was found here, on what data."""
    asked = {row.of: row for row in rows.itertuples() if row.of}
    lines = tuple(_line(row, asked.get(row.Index)) for row in rows.itertuples() if not row.of)
    return Head(lines, _data(rows), decided=any(rows["verdict"]))


def _line(row: Any, elsewhere: Any | None) -> Line:
    about = f" ({', '.join(part for part in (row.paper, row.where) if part)})" if row.paper or row.where else ""
    asked = "" if elsewhere is None else f"Asked of the data here: {_found(elsewhere)}"
    return Line(row.says, about, _found(row), asked)


def _found(row: Any) -> str:
    verdict = _signed(row.verdict) if row.verdict else ""
    sources = {"": row.run} if row.about == "count" else {"of record, ": row.record, "this run, ": row.run}
    found = "; ".join(f"{source}{text}" for source, text in sources.items() if text) or row.note
    if not found and row.verdict != NEEDS:
        found = "nothing was measured yet"
    said = ": ".join(part for part in (verdict, found) if part)
    return f"{said[:1].upper()}{said[1:]}."


def _data(rows: pd.DataFrame) -> str:
    """On what data the answers rest, in a sentence."""
    said = [part for data in rows["data"] for part in data.split("; ") if part]
    said += ["the paper's own tables, its release and this code"] if (rows["about"] == "count").any() else []
    said += ["of the paper's own data, claims are open: these are not here"] if NEEDS in set(rows["verdict"]) else []
    return f"{'; '.join(dict.fromkeys(said))}." if said else "none yet where this stands."
