"""Each claim with what was found on it: of record, in this run, and the verdict. Builds nothing."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from defectlib.studies.claims import boost, clicks, datasets, generators, memorisation, segmenters
from defectlib.studies.claims.finding import About, Counted, Finding, decide
from defectlib.studies.claims.given import Given, Group, Tables
from defectlib.studies.study import Study

COUNTS = datasets.COUNTS | generators.COUNTS | segmenters.COUNTS
GROUPS = datasets.GROUPS | clicks.GROUPS | generators.GROUPS | memorisation.GROUPS | segmenters.GROUPS | boost.GROUPS

Found = tuple[Finding, str]
"""What was found, and on what data."""


def answers(claims: pd.DataFrame, study: Study | None, tables: Tables) -> pd.DataFrame:
    """The claims of one chapter, answered.

    Args:
        claims: Index ``claim``; ``chapter``, which is one and the same; ``about``, one of :class:`About`;
            ``number``, what the paper gives, NaN where it gives none.
        study: The chapter's; of a study that is not built whole, and of none, there are no numbers of this run.
        tables: See :data:`Tables`.

    Returns:
        ``claims`` with four columns more, all text: ``record`` and ``run``, what was found, empty where nothing was;
        ``data``, on what; ``verdict``, one of :class:`~defectlib.studies.claims.finding.Verdict`, empty where nothing
        is claimed.
    """
    (chapter,) = claims["chapter"].unique()
    groups, built = GROUPS.get(chapter, ()), _is_built(study)
    of_record = _found(groups, [group.of_record(tables) for group in groups], claims, tables)
    run = _found(groups, [group.of_run(study) if built else None for group in groups], claims, tables)
    run |= {name: (count(tables), "") for name, count in COUNTS.get(chapter, {}).items()}
    rows = {name: _row(About(about), of_record.get(name), run.get(name)) for name, about in claims["about"].items()}
    return claims.join(pd.DataFrame.from_dict(rows, orient="index"))


def answered() -> set[str]:
    """Claims that something answers, where its numbers are there."""
    judged = {name for groups in GROUPS.values() for group in groups for name in group.judges}
    return judged | {name for counts in COUNTS.values() for name in counts}


def _is_built(study: Study | None) -> bool:
    """Whether nothing would have to be made to read the study; where there is none, there is nothing to be made."""
    return study is None or all(study.store.find(stage) for stage in study.stages())


def _found(
    groups: Iterable[Group], given: Iterable[Given | None], claims: pd.DataFrame, tables: Tables
) -> dict[str, Found]:
    found = {}
    for group, numbers in zip(groups, given, strict=True):
        for name, judge in group.judges.items() if numbers is not None else ():
            finding = judge(numbers._replace(tables=tables, claimed=claims.at[name, "number"]))
            if finding is not None:
                found[name] = finding, numbers.data
    return found


def _row(about: About, record: Found | None, run: Found | None) -> dict[str, str]:
    given = [each for each in (record, run) if each is not None]
    verdict = "" if about is About.NONE else decide(about, [finding for finding, _ in given])
    texts = {name: _said(each) for name, each in (("record", record), ("run", run))}
    return texts | {"data": "; ".join(dict.fromkeys(data for _, data in given if data)), "verdict": str(verdict)}


def _said(found: Found | None) -> str:
    if found is None:
        return ""
    finding, _ = found
    if isinstance(finding, Counted) or not finding.unit:
        return finding.text
    return f"{finding.text} ({finding.seeds} {finding.unit}{'s' * (finding.seeds != 1)})"
