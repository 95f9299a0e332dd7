"""What claims are judged by: numbers, whose they are, and how many trainings stand behind them. Words for numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from defectlib.studies.claims.estimate import Estimate
from defectlib.studies.claims.finding import Finding
from defectlib.studies.numbers import with_minus

Tables = Mapping[str, pd.DataFrame]
"""Tables by name: numbers of record under theirs, the paper's own as ``paper:table3``."""

DISTANCE = "distance to the nearest training image"
SPECTRUM = "defect_spectrum/"
"""What the names of the paper's own products begin with."""
NEAREST_TO_PAPER = 25
"""The paper's number of training images (§3.4.2)."""


class Given(NamedTuple):
    """Numbers of one source.

    Attributes:
        numbers: A table, or measures, as the judges of a group take them.
        data: On what data, in words.
        seeds: Trainings behind each number.
        tables: Those that are not this run's; the judges are given them.
        claimed: The number that the paper gives, if it does; likewise.
    """

    numbers: Any
    data: str
    seeds: int
    tables: Tables = MappingProxyType({})
    claimed: float = math.nan


@dataclass(frozen=True)
class Group:
    """Claims that the same numbers answer.

    Attributes:
        judges: What is found on a claim, by its id; None where the numbers do not reach that far.
        of_run: The numbers of this run, from a study whose stages are all there; None where it has none of them.
        of_record: Those of record.
    """

    judges: Mapping[str, Callable[[Given], Finding | None]]
    of_run: Callable[[Any], Given | None] = field(default=lambda study: None)
    of_record: Callable[[Tables], Given | None] = field(default=lambda tables: None)


def newest(tables: Tables, pattern: str) -> tuple[str, pd.DataFrame] | None:
    """Of the records whose name is ``pattern``, a regular expression, that with most seeds; None if there is none."""
    found = [(name, table) for name, table in sorted(tables.items()) if re.fullmatch(pattern, name)]
    return max(found, key=lambda each: seeds_of(each[1]), default=None)


def seeds_of(table: pd.DataFrame) -> int:
    """Trainings behind each number of a table: as its rows say, else as its provenance does, else one."""
    if "seeds" in table:
        return int(table["seeds"].min())
    return len(table.attrs.get("provenance", {}).get("seeds", [0]))


def products_in_words(products: Iterable[str], size: int | str | None = None) -> str:
    """``procedural softgel and twill, 64 px``; products of published datasets under their own names."""
    names = list(dict.fromkeys(products))
    embedded, others = ([name for name in names if ("/" in name) == published] for published in (False, True))
    listed = " and ".join([", ".join(embedded[:-1]), *embedded[-1:]]).removeprefix(" and ")
    said = [f"procedural {listed}"] if embedded else []
    return ", ".join([*said, *others, *([f"{size} px"] if size else [])])


def side(record: str) -> str | None:
    """The side of the images in pixels that the name of a record ends with."""
    found = re.search(r"_(\d+)px", record)
    return found and found[1]


def embedded(table: pd.DataFrame, size: str | None) -> Given | None:
    """Of a table with a level ``product``, the rows of the embedded dataset; None if there are none."""
    rows = table[~_products(table).str.contains("/")]
    return None if rows.empty else Given(rows, products_in_words(rows.index.unique("product"), size), seeds_of(rows))


def spectrum(table: pd.DataFrame, size: str | None) -> Given | None:
    """Of a table with a level ``product``, the rows of the paper's own data; None if there are none."""
    rows = table[_products(table).str.startswith(SPECTRUM)]
    return None if rows.empty else Given(rows, f"Defect Spectrum, {size} px", seeds_of(rows))


def _products(table: pd.DataFrame) -> pd.Index:
    return table.index.get_level_values("product").astype(str)


# Words --------------------------------------------------------------------------------------------------------------


def points(found: Estimate, tries: int = 1) -> str:
    """A difference of shares, in points with its interval."""
    return f"{_with_interval(found, tries, 100, '+.1f')} points"


def number(found: Estimate, digits: int = 2, sign: str = "") -> str:
    """A number with its interval."""
    return _with_interval(found, 1, 1, f"{sign}.{digits}f")


def _with_interval(found: Estimate, tries: int, scale: float, form: str) -> str:
    low, high = (scale * end for end in found.interval(tries))
    span = "no interval" if math.isnan(low) else f"{low:{form}}, {high:{form}}"
    return with_minus(f"{scale * found.value:{form}} [{span}]")
