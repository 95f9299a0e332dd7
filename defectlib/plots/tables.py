"""Numbered tables with the paper's numbers, reference results and those of this run side by side, never mixed.

Reference results are committed below ``book/reference/``, one JSON file per table::

    {"index": 1, "columns": ["model", "time (ms)"], "rows": [["UNet", 31.2]], "provenance": {"machine": …, …}, …}

``index`` says how many of the columns name a row. A digest of all that says whether a hand has changed it since.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from defectlib import reading, runtime
from defectlib.errors import UserError
from defectlib.plots import paper
from defectlib.store import changed_since_sealed, sealed, write_atomically

PAPER, RECORD, RUN = "paper", "reference", "this run"
#: What stands where a source has no number.
MISSING = {PAPER: "not in the paper", RECORD: "no reference", RUN: "not run"}

REFERENCE = runtime.REPOSITORY / "book" / "reference"
#: Where, in the metadata of a cell's output, tables stand as CSV by their names.
CSV = "text/csv"
#: What provenance a record must have, under the names of :func:`defectlib.store.provenance`.
RECORDED = ("machine", "device", "finished", "commit")


@dataclass(frozen=True)
class Table:
    """A table as the last value of a cell: numbered and citable in the book, HTML in Jupyter.

    Attributes:
        frame: The cells as shown, all text; ``**`` marks what is bold.
        name: Label for ``{numref}``.
        caption: What the table holds.
        notes: Sentences printed beneath.
        labels: How many columns, from the left, name the row.
        values: The same to be downloaded, numbers not rounded; the cells as shown if None.
        css: Class of the table in the book.
    """

    frame: pd.DataFrame
    name: str
    caption: str
    notes: tuple[str, ...] = ()
    labels: int = 1
    values: pd.DataFrame | None = None
    css: str = ""

    def markdown(self) -> str:
        """MyST: a ``table`` directive, then the notes."""
        align = ["left"] * self.labels + [_aligned(cells) for _, cells in self.frame.iloc[:, self.labels :].items()]
        cells = self.frame.rename(columns=_markdown_cell).map(_markdown_cell)
        # Else the numbers would be parsed and lose their last zeros.
        body = cells.to_markdown(index=False, disable_numparse=True, colalign=align)
        css = f"\n:class: {self.css}" if self.css else ""
        directive = f"```{{table}} {literal(self.caption)}\n:name: {self.name}{css}\n\n{body}\n```"
        return "\n\n".join([directive, *map(literal, self.notes)])

    def html(self) -> str:
        """The same for Jupyter, which knows no directives; its tables have no numbers."""
        rows = "".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in self.frame.itertuples(index=False))
        head = "".join(f"<th>{html.escape(str(column))}</th>" for column in self.frame.columns)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        caption = f"<caption>{html.escape(self.caption)}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}"

    def csv(self) -> str:
        """The values as CSV, without the marks of bold type."""
        values = self.frame if self.values is None else self.values
        return values.map(_unmarked).to_csv(index=False, lineterminator="\n")

    def __repr__(self) -> str:
        body = self.frame.replace(r"\*\*", "", regex=True).to_string(index=False)
        return "\n".join([self.caption, body, *self.notes])

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        shown = {"text/plain": repr(self), "text/markdown": self.markdown(), "text/html": self.html()}
        # Beside the output and not in it: last digits differ between machines, and committed outputs are compared.
        return shown, {CSV: {self.name: self.csv()}}


def literal(text: str) -> str:
    """``text`` for Markdown, in which names from users neither begin HTML nor mathematics; code and roles are kept."""
    return re.sub(r"((?:\{\w+\})?`[^`]*`)|[\\<&$]", lambda found: found[1] or f"\\{found[0]}", text)


def plain(frame: pd.DataFrame, name: str, caption: str, decimals: int = 2, notes: Sequence[str] = ()) -> Table:
    """A table of one source, as it is; an index without a name is left out, missing numbers stay empty."""
    named = all(frame.index.names)
    flat = frame.reset_index() if named else frame
    cells = flat.map(lambda value: _format(value, decimals, "")).rename(columns=str)
    return Table(cells, name, caption, tuple(notes), labels=frame.index.nlevels if named else 1, values=flat)


def compare(
    paper: pd.DataFrame | None,
    record: pd.DataFrame | None,
    run: pd.DataFrame | None,
    name: str,
    caption: str,
    decimals: int = 2,
    best: Literal["max", "min"] | None = None,
    notes: Sequence[str] = (),
) -> Table:
    """The three sources in one table, each number under its source's name.

    Frames of one column stand beside each other; of wider ones, each row is repeated for every source that has it. A
    number that a source lacks is said to be lacking in its cell.

    Args:
        paper: As the paper prints them; None where it has none.
        record: See :func:`record`.
        run: Of this run; same index and columns as the others, as far as they go.
        name: Label for ``{numref}``.
        caption: What the table holds, with the unit.
        decimals: Digits after the point of every fraction.
        best: Which number of a row is bold.
        notes: Printed beneath.

    Raises:
        ValueError: There is no number at all, or a row occurs twice in one source.
    """
    sources = dict(zip(MISSING, (paper, record, run), strict=True))
    given = {source: frame for source, frame in sources.items() if frame is not None}
    if not given:
        raise ValueError(f"table '{name}' has no numbers: neither the paper's, nor reference results, nor of this run")
    if twice := [source for source, frame in given.items() if not frame.index.is_unique]:
        raise ValueError(f"table '{name}': a row occurs twice in the numbers of '{twice[0]}'")
    rows = list(dict.fromkeys(row for frame in given.values() for row in frame.index))
    columns = list(dict.fromkeys(column for frame in given.values() for column in frame.columns))
    names = list(next(iter(given.values())).index.names)
    if len(columns) == 1:
        cells = [[*_label(row), *(_beside(sources, s, row, columns[0], decimals) for s in sources)] for row in rows]
        frame = pd.DataFrame(cells, columns=[*names, *(f"{columns[0]}, {source}" for source in sources)])
        return Table(frame, name, caption, tuple(notes), labels=len(names), values=_long(given))
    cells = [
        [*_label(row), source, *_row(given[source].loc[row], columns, source, decimals, best)]
        for row in rows
        for source in given
        if row in given[source].index
    ]
    frame = pd.DataFrame(cells, columns=[*names, "numbers", *columns])
    return Table(frame, name, caption, tuple(notes), labels=len(names) + 1, values=_long(given))


def table1(run: pd.DataFrame | None = None, notes: Sequence[str] = ()) -> Table:
    """Table 1 with the datasets counted here; ``notes`` say what of them is incomplete."""
    return compare(paper.table1(), record("table1"), run, "tab-datasets", paper.caption("table1"), notes=notes)


def table2(run: pd.DataFrame | None = None, records: Sequence[pd.DataFrame] = (), notes: Sequence[str] = ()) -> Table:
    """Table 2: milliseconds per image, every column on a machine of its own.

    Args:
        run: Of this run: index ``model``, column ``time (ms)``.
        records: The same, reference results on any number of machines; each names its own in its provenance.
        notes: What has to be known to read our columns.
    """
    columns = {f"{PAPER}, RTX 3090": (paper.table2(), MISSING[PAPER])}
    columns |= {f"{RECORD}, {_timed_on(frame)}": (frame, MISSING[RECORD]) for frame in records} or {
        RECORD: (None, MISSING[RECORD])
    }
    columns[RUN if run is None else f"{RUN}, {_timed_on(run)}"] = (run, MISSING[RUN])
    cells = {
        name: [_time(frame, model, missing) for model in paper.table2().index]
        for name, (frame, missing) in columns.items()
    }
    shown = pd.DataFrame({"model": list(paper.table2().index), **cells})
    return Table(shown, "tab-paper-2", paper.caption("table2"), tuple(notes))


def _timed_on(frame: pd.DataFrame) -> str:
    """The device and the image of :attr:`defectlib.experiments.speed.Speed.table`, in few words."""
    about = frame.attrs["provenance"]
    side = "×".join(map(str, about["sides"]))
    return f"{about['accelerator'] or 'CPU'}, {side} px"


def _time(frame: pd.DataFrame | None, model: str, missing: str) -> str:
    return missing if frame is None or model not in frame.index else _format(frame.at[model, "time (ms)"], 1, missing)


def table3(run: pd.DataFrame | None = None) -> Table:
    """Table 3: mIoU in % by dataset, product and baseline, the best of each row bold."""
    return compare(paper.table3(), record("table3"), run, "tab-paper-3", paper.caption("table3"), best="max")


def table3_means() -> Table:
    """The two printed means of Table 3, with what its rows give."""
    return plain(paper.table3_means(), "tab-paper-3-means", paper.caption("table3_means"))


def miou_table(
    run: pd.DataFrame | None, rule: str, name: str, caption: str, record: pd.DataFrame | None = None
) -> Table:
    """Mean IoU in % with and without synthetic pairs, 95 % intervals in brackets, the better of the two bold.

    Args:
        run: Columns ``product``, ``model``, and ``real``, ``synthetic``, ``difference`` (fractions), each with
            ``_low`` and ``_high``.
        rule: How the mIoU is computed; printed beneath.
        name: Label for ``{numref}``.
        caption: What the table holds.
        record: The same, of the reference results.
    """
    shown = [None if frame is None else _arms(frame) for frame in (record, run)]
    return compare(None, *shown, name, caption, notes=[rule])


def _long(given: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The sources below each other, each row under its source's name in column ``numbers``."""
    parts = []
    for source, frame in given.items():
        part = frame.reset_index()
        part.insert(frame.index.nlevels, "numbers", source)
        parts.append(part.astype(object))
    return pd.concat(parts, ignore_index=True)


# Reference results --------------------------------------------------------------------------------------------------


def record(name: str, folder: Path = REFERENCE) -> pd.DataFrame | None:
    """The reference results called ``name``, their provenance in ``attrs``; None where none are committed.

    Raises:
        UserError: The file is not in the form that :func:`write_record` gives it.
    """
    path = folder / f"{_checked(name)}.json"
    if not path.exists():
        return None
    advice = "write it again with write_record"
    content = reading.read_json(path, advice)
    try:
        if fault := _record_fault(content):
            raise ValueError(fault)
        frame = framed(content["rows"], content["columns"]).fillna(np.nan).infer_objects()
        if content["index"]:
            frame = frame.set_index(content["columns"][: content["index"]])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a record ({error!r}); {advice}") from error
    frame.attrs["provenance"] = content["provenance"]
    return frame


def framed(rows: Any, columns: Sequence[str]) -> pd.DataFrame:
    """The table of ``rows`` as JSON has them.

    Raises:
        ValueError: They are no lists with a value for each of the ``columns``.
    """
    if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != len(columns) for row in rows):
        raise ValueError(f"'rows' must be lists of {len(columns)} values")
    return pd.DataFrame(rows, columns=columns)


def _record_fault(content: Any) -> str | None:
    """What of a record's JSON is not as :func:`write_record` leaves it, or None."""
    columns, provenance = content["columns"], content["provenance"]
    if len(set(columns)) < len(columns) or not all(isinstance(column, str) for column in columns):
        return "'columns' must be names, each once"
    if type(content["index"]) is not int or not 0 <= content["index"] <= len(columns):
        return f"'index' must be how many of the {len(columns)} columns name a row"
    if wrong := [key for key in RECORDED if not isinstance(provenance[key], str)]:
        return f"'{wrong[0]}' of the provenance must be text"
    if changed_since_sealed(content):
        return "it has changed since it was written"
    return None


def write_record(name: str, frame: pd.DataFrame, provenance: Mapping[str, Any], folder: Path = REFERENCE) -> Path:
    """Make ``frame`` the reference results called ``name``; an index without a name is left out.

    Args:
        provenance: Must say ``machine``, ``device``, ``finished`` and ``commit``.

    Raises:
        UserError: The name is no file name, or the provenance is incomplete.
    """
    if lacking := [key for key in RECORDED if not provenance.get(key)]:
        raise UserError(f"record '{name}': its provenance does not say {', '.join(lacking)}")
    named = all(frame.index.names)
    flat = frame.reset_index() if named else frame
    values = flat.astype(object)
    content = {
        "index": frame.index.nlevels if named else 0,
        "columns": list(flat.columns),
        "rows": values.where(values.notna(), None).to_numpy().tolist(),
        "provenance": dict(provenance),
    }
    path = folder / f"{_checked(name)}.json"
    runtime.made(folder)
    content = json.loads(json.dumps(content))  # as it will be read: names are text
    write_atomically(path, json.dumps(sealed(content), indent=1))
    return path


def _checked(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise UserError(f"record '{name}': a name is made of small letters, digits, '_' and '-'")
    return name


# Cells --------------------------------------------------------------------------------------------------------------


def _format(value: Any, decimals: int, missing: str) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return missing
    return f"{value:.{decimals}f}" if isinstance(value, float | np.floating) else str(value)


def _unmarked(value: Any) -> Any:
    return value.replace("**", "").replace("\N{NO-BREAK SPACE}", " ") if isinstance(value, str) else value


def _aligned(cells: pd.Series) -> str:
    """Numbers are read from the right and words from the left; a word in place of a number stands where it would."""
    return "right" if cells.str.fullmatch(r"[^A-Za-z]*\d[^A-Za-z]*").any() else "left"


def _label(row: Any) -> list[str]:
    return [str(part) for part in (row if isinstance(row, tuple) else (row,))]


def _beside(sources: Mapping[str, pd.DataFrame | None], source: str, row: Any, column: str, decimals: int) -> str:
    frame = sources[source]
    value = None if frame is None or row not in frame.index else frame.at[row, column]
    return _format(value, decimals, MISSING[source])


def _row(values: pd.Series, columns: Sequence[str], source: str, decimals: int, best: str | None) -> list[str]:
    cells = [_format(values.get(column), decimals, MISSING[source]) for column in columns]
    if best:
        top = getattr(values.astype(float), best)()
        cells = [
            f"**{cell}**" if values.get(column) == top else cell for column, cell in zip(columns, cells, strict=True)
        ]
    return cells


def _arms(frame: pd.DataFrame) -> pd.DataFrame:
    """The cells of :func:`miou_table` as text."""
    rows = []
    for row in frame.itertuples():
        real, synthetic = (_interval(row, arm, "") for arm in ("real", "synthetic"))
        real = f"**{real}**" if row.real > row.synthetic else real
        synthetic = f"**{synthetic}**" if row.synthetic > row.real else synthetic
        rows.append((row.product, row.model, real, synthetic, _interval(row, "difference", "+")))
    columns = ["product", "model", "real", "real + synthetic", "difference (points)"]
    shown = pd.DataFrame(rows, columns=columns).set_index(["product", "model"])
    shown.attrs = dict(frame.attrs)
    return shown


def _interval(row: Any, name: str, sign: str) -> str:
    value, low, high = (100 * getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
    # Too few images of some class for an interval: it is said, not left out.
    span = "no interval" if math.isnan(low) else f"{low:{sign}.1f}, {high:{sign}.1f}"
    return f"{value:{sign}.1f} [{span}]".replace(" ", "\N{NO-BREAK SPACE}")


def _markdown_cell(text: str) -> str:
    return literal(text).replace("|", "\\|")


def _html_cell(text: str) -> str:
    bold = re.sub(r"[*]{2}(.+?)[*]{2}", r"<strong>\1</strong>", html.escape(text))
    return f"<td>{bold}</td>"
