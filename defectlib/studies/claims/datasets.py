"""Claims about the datasets and their annotation: Table 1 and §3.2, counted where the datasets are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from defectlib.data.count import Counts, count, survey
from defectlib.data.sources.source import open_source
from defectlib.runtime import data_home
from defectlib.studies import annotation, published
from defectlib.studies.claims.finding import Counted, Finding, Measured
from defectlib.studies.claims.given import Given, Group, Tables

SPECTRUM = "Defect Spectrum"


def second_largest(tables: Tables) -> Counted:
    """Its rank by annotated images among the rows of Table 1."""
    return _rank(tables["paper:table1"], "annotated images", 2)


def most_types(tables: Tables) -> Counted:
    """Its rank by defect types."""
    return _rank(tables["paper:table1"], "defect types", 1)


def _rank(table: pd.DataFrame, column: str, claimed: int) -> Counted:
    rank = int(table[column].rank(ascending=False)[SPECTRUM])
    order = table[column].sort_values(ascending=False)
    first = ", ".join(f"{name} {value:,}" for name, value in order.iloc[:3].items())
    return Counted(f"number {rank} of {len(table)} in Table 1 as printed: {first}", rank == claimed)


def types_listed(tables: Tables) -> Counted:
    """Pairs of product and type in the lists that come with the released labels."""
    listed = int(published.stated().loc[SPECTRUM, "defect types"])
    claimed = int(tables["paper:table1"].loc[SPECTRUM, "defect types"])
    return Counted(f"the label files of the release list {listed} pairs of product and type", listed == claimed)


def other_rows(tables: Tables) -> Counted:
    """How many of Table 1's numbers of the other datasets are what their publishers state."""
    paper, stated = (table.drop(index=SPECTRUM) for table in (tables["paper:table1"], published.stated()))
    pairs = {"annotated images": "defective images", "defect types": "defect types"}
    given = {ours: stated[theirs].dropna() for ours, theirs in pairs.items()}
    agree = {ours: int((paper.loc[rows.index, ours] == rows).sum()) for ours, rows in given.items()}
    known = {ours: len(rows) for ours, rows in given.items()}
    said = [f"{agree[ours]} of {known[ours]} numbers of {ours}" for ours in pairs]
    return Counted(f"{' and '.join(said)} are what the publishers state", agree == known)


def of_counts(_: object) -> Given | None:
    """Defect Spectrum, counted from its masks, if it lies in the data folder."""
    root = data_home() / "defect_spectrum"
    if not root.is_dir():
        return None
    source = open_source(root.name, root)
    source.check()
    return Given(count(survey(source), source.manifest.annotation), "Defect Spectrum, as it lies here", 1)


def _counted(what: str, of: Callable[[Counts], int]) -> Callable[[Given], Counted]:
    return lambda given: Counted(f"{of(given.numbers):,} {what}", of(given.numbers) == given.claimed)


def of_annotations(_: object) -> Given | None:
    """MVTec AD and its re-annotation, where both lie in the data folder."""
    found = annotation.compare_published()
    return found and Given(found.summary(), "MVTec AD and DS-MVTec", 1)


def precision(given: Given) -> Finding:
    """What changed; which of two masks is right, no count can say, so nothing is decided."""
    row = given.numbers.iloc[-1]
    text = f"masks of {row['images']:.0f} images changed: median IoU {row['IoU (%)']:.0f} %"
    return Measured(f"{text}, area {row['area change (%)']:+.0f} %", given.seeds, unit="")


COUNTS: dict[str, Mapping[str, Callable[[Tables], Counted]]] = {
    "01_datasets": {
        "second-largest": second_largest,
        "most-types": most_types,
        "types-listed": types_listed,
        "other-rows": other_rows,
    }
}
GROUPS: dict[str, tuple[Group, ...]] = {
    "01_datasets": (
        Group(
            {
                "annotated-images": _counted("annotated images", lambda found: found.defective),
                "synthetic-images": _counted("synthetic images", lambda found: found.synthetic),
            },
            of_counts,
        ),
    ),
    "02_annotations": (
        Group(
            {
                "several-types": _counted("images with several types", lambda found: found.several_types),
                "captions": _counted("images with a caption", lambda found: found.captions),
            },
            of_counts,
        ),
        Group({"precision": precision}, of_annotations),
    ),
}
