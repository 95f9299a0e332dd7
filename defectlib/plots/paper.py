"""The paper's own numbers (Tables 1 to 4 of arXiv 2310.17316v1, Fig. 8 read off its plots), as typed in ``paper.json``.

They are what the paper prints, its slips included: the MVTec row of means in Table 3 is not the mean of its rows, and
both are given here (:func:`table3_means`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from defectlib.errors import UserError, unknown
from defectlib.reading import read_json

_FILE = Path(__file__).with_name("paper.json")
_ADVICE = "this file is part of the package, install it again"


@cache
def _contents() -> dict[str, Any]:
    return read_json(_FILE, _ADVICE)


def _table(name: str) -> dict[str, Any]:
    contents = _contents()
    try:
        tables = contents["tables"]
        if name not in tables:
            raise unknown("table of the paper", name, tables)
        table = tables[name]
        table["number"], table["caption"], table["columns"][: table["index"]]
        _frame(table)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{_FILE}: not the paper's tables ({error!r}); {_ADVICE}") from error
    return table


def _frame(table: dict[str, Any]) -> pd.DataFrame:
    if any(len(row) != len(table["columns"]) for row in table["rows"]):
        raise ValueError("a row has not as many values as there are columns")
    return pd.DataFrame(table["rows"], columns=table["columns"]).set_index(table["columns"][: table["index"]])


def frame(name: str) -> pd.DataFrame:
    """The table called ``name`` (``table1`` … ``table4``, ``table3_means``, ``figure8``), a new copy at each call.

    Raises:
        UserError: There is no such table.
    """
    return _frame(_table(name))


def caption(name: str) -> str:
    """What the table or figure holds, in this project's words, after its number in the paper."""
    table = _table(name)
    return f"{table['number']} of the paper. {table['caption']}"


def models() -> dict[str, str]:
    """The eight baselines of §4.1: the paper's abbreviation and what it stands for."""
    return dict(_contents()["models"])


def table1() -> pd.DataFrame:
    """Datasets by images, defect types and kinds of annotation; ``synthetic images`` is the paper's starred number."""
    return frame("table1")


def table2() -> pd.DataFrame:
    """Milliseconds per image of the eight baselines on an RTX 3090."""
    return frame("table2")


def table3(dataset: str | None = None) -> pd.DataFrame:
    """Mean IoU in % by (dataset, product) and baseline; with ``dataset``, its products alone.

    Raises:
        UserError: Table 3 has no such dataset.
    """
    rows = frame("table3")
    if dataset is None:
        return rows
    if dataset not in (known := rows.index.unique("dataset")):
        raise unknown("dataset of Table 3", dataset, known)
    return rows.xs(dataset, level="dataset")


def table3_means() -> pd.DataFrame:
    """The means of Table 3 in %, by (dataset, ``printed`` or ``recomputed`` from its rows) and baseline."""
    printed = frame("table3_means")
    recomputed = table3().groupby("dataset").mean().loc[printed.index]
    both = pd.concat({"printed": printed, "recomputed": recomputed}, names=["mean"])
    return both.swaplevel().loc[list(printed.index)]


def table4() -> pd.DataFrame:
    """Mean IoU in % of each dataset's best baseline, without and with synthetic pairs."""
    return frame("table4")


def figure8(model: str | None = None) -> pd.DataFrame:
    """Box plots of the gain in % by (model, synthetic pairs in % of the real ones): five numbers and the outliers.

    Raises:
        UserError: Fig. 8 has no such model.
    """
    rows = frame("figure8")
    if model is None:
        return rows
    if model not in (known := rows.index.unique("model")):
        raise unknown("model of Fig. 8", model, known)
    return rows.xs(model, level="model")
