"""The paper's claims (``book/claims.yaml``) compared with the reference results and with the numbers of this run.

What is compared is an effect in the direction of its claim: above zero it speaks for the claim. A verdict on what was
trained or timed needs a 95 % interval and :data:`ENOUGH` seeds or rounds; what is exact needs neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from defectlib import runtime
from defectlib.data.count import count, survey
from defectlib.data.sources.source import open_source
from defectlib.experiments import annotation
from defectlib.experiments.boost import ENOUGH, best_baselines
from defectlib.experiments.numbers import with_minus
from defectlib.experiments.study import Study
from defectlib.plots import paper, tables
from defectlib.plots.tables import MISSING, RECORD, RUN, Table
from defectlib.reading import read_yaml

CLAIMS = runtime.REPOSITORY / "book" / "claims.yaml"
VERDICTS = ("reproduced", "direction only", "not reproduced", "undecided", "needs data")
REPRODUCED, DIRECTION, NOT, UNDECIDED, NEEDS = VERDICTS
SIGNS = dict(zip(VERDICTS, "✓≈✗?○", strict=True))
DEFAULTS = {"paper": "", "number": math.nan, "exact": False, "found": math.nan, "measure": "", "unit": "", "digits": 1}
DEFAULTS |= {"run": "", "reference": "", "where": "", "compare": ({},)}


@cache
def load() -> dict[str, dict[str, Any]]:
    """All claims by name, in the order of the scoreboard; the file explains their fields."""
    return {
        name: DEFAULTS | {"part": part, "chapter": chapter} | fields
        for part, chapters in read_yaml(CLAIMS).items()
        for chapter, claims in chapters.items()
        for name, fields in claims.items()
    }


# Effects and verdicts -----------------------------------------------------------------------------------------------


class Effect(NamedTuple):
    """A value with its 95 % interval; NaN: not known."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


NOTHING = np.empty((0, 4))


def estimates(rows: pd.DataFrame, column: str, against: str | float = 0.0) -> np.ndarray:
    """``column`` less ``against``, a number or another column, of every row that has both, (N, 4).

    A mean, its standard errors downwards and upwards (NaN: not known), and their degrees of freedom. The errors are
    those of the values where cells list them; of ``miou``, they follow from its ``spread`` over seeds; else from
    ``COLUMN_low`` and ``COLUMN_high`` (or ``low``, ``high``): Student's interval over enough seeds, or a bootstrap's.
    """
    if not {column, against if isinstance(against, str) else column} <= set(rows):
        return NOTHING
    rows = rows.dropna(subset=column)
    mean, below, above, freedom = rows[column], math.nan, math.nan, math.inf
    seeds = rows["seeds"] if "seeds" in rows else pd.Series(1, rows.index)
    low, high = (f"{column}_{end}" if f"{column}_low" in rows else end for end in ("low", "high"))
    if mean.map(np.ndim).any():
        mean, size = mean.map(np.mean), mean.map(len)
        below = above = rows[column].map(lambda values: np.std(values, ddof=1)) / size**0.5
        freedom = size - 1
    elif column == "miou":
        below = above = rows["spread"] / seeds**0.5
        freedom = (seeds - 1).where(seeds > 1, math.inf)
    elif low in rows:
        freedom = (seeds - 1).where(seeds >= ENOUGH, math.inf)
        below, above = (apart / stdtrit(freedom, 0.975) for apart in (mean - rows[low], rows[high] - mean))
    mean = mean - (rows[against] if isinstance(against, str) else against)
    found = pd.DataFrame({"mean": mean, "below": below, "above": above, "freedom": freedom})
    return found.dropna(subset="mean").to_numpy(float)


def contrast(ours: np.ndarray, theirs: np.ndarray = NOTHING, tries: int = 1, sign: int = 1) -> Effect:
    """The mean of independent estimates less that of others, with the interval of the best of ``tries`` such effects.

    Errors add up as squares, each side by itself (Zou and Donner 2008), with the degrees of freedom of Welch and
    Satterthwaite; for ``tries``, Bonferroni.
    """
    weights = np.repeat([sign / len(ours), -sign / max(1, len(theirs))], [len(ours), len(theirs)])
    mean, below, above, freedom = np.concatenate([ours, theirs]).T
    variances = (weights * (below + above) / 2) ** 2
    shares = (variances**2 / freedom).sum()
    t = stdtrit(variances.sum() ** 2 / shares if shares else math.inf, 1 - 0.025 / tries)
    value = float(weights @ mean)
    down, up = np.where(weights > 0, [below, above], [above, below])
    low, high = (float(t * np.linalg.norm(weights * errors)) for errors in (down, up))
    return Effect(value, value - low, value + high)


def verdict(claim: Mapping[str, Any], effects: Sequence[Effect], seeds: int) -> str:
    """What the effects of one source say. Every part of a claim has to hold, and one that fails is enough."""
    known = not math.isnan(claim["number"])
    if claim["exact"]:
        holds = all(effect.value == claim["number"] if known else effect.value > 0 for effect in effects)
        return REPRODUCED if holds else NOT
    if seeds < ENOUGH or any(math.isnan(effect.low) for effect in effects):
        return UNDECIDED
    if any(effect.high < 0 for effect in effects):
        return NOT
    if any(effect.low <= 0 for effect in effects):
        return UNDECIDED
    near = not known or all(effect.low <= claim["number"] <= effect.high for effect in effects)
    return REPRODUCED if near and claim["kind"] != "other" else DIRECTION


def decide(claim: Mapping[str, Any], verdicts: Sequence[str]) -> str:
    """The verdict from those of all sources: an undecided one weakens no other, contradicting ones decide nothing."""
    if not verdicts:
        return NEEDS if claim["kind"] == "paper" else UNDECIDED
    decided = set(verdicts) - {UNDECIDED}
    if decided == {REPRODUCED, DIRECTION}:
        return DIRECTION
    return decided.pop() if len(decided) == 1 else UNDECIDED


# Ways to compare: from rows to effects, none where the rows lack what the claim is about -----------------------------


def difference(
    rows: pd.DataFrame,
    column: str = "difference",
    of: str = "",
    over: str = "",
    by: str | None = None,
    against: str | float = 0.0,
    sign: int = 1,
) -> list[Effect]:
    """The mean of ``column`` over the rows ``of`` (a query; all if empty), less that over the rows ``over`` if any.

    With ``by``, an effect for each value of that column in ``over``, or else in ``of``. ``sign`` is -1 where the claim
    is that the difference lies below zero.
    """
    ours = rows.query(of) if of else rows
    split = rows.query(over) if over else ours
    groups = [group for _, group in split.groupby(by, sort=False)] if by else [split]
    parts = [some for group in groups if len(some := estimates(group, column, against))]
    if not over:
        return [contrast(some, sign=sign) for some in parts]
    mine = estimates(ours, column, against)
    return [contrast(mine, some, sign=sign) for some in parts if len(mine)]


def greatest(rows: pd.DataFrame) -> list[Effect]:
    """The greatest difference of all, with an interval that allows for its having been chosen."""
    found = estimates(rows, "difference")
    return [contrast(found[[found[:, 0].argmax()]], tries=len(found))] if len(found) else []


def complete(rows: pd.DataFrame) -> pd.DataFrame:
    """The models that were run on all products."""
    rows = rows.dropna(subset="miou")
    return rows[rows.groupby("model")["product"].transform("nunique") == rows["product"].nunique()]


def beaten(rows: pd.DataFrame) -> list[Effect]:
    """For each model the surest lead that another one has over it on any product: no model wins everywhere."""
    cells = {cell: estimates(row, "miou") for cell, row in complete(rows).groupby(["model", "product"], sort=False)}
    models, products = (list(dict.fromkeys(cell[place] for cell in cells)) for place in (0, 1))
    if len(models) < 2 or len(products) < 2:
        return []
    tries = len(products) * (len(models) - 1)
    leads = {m: [contrast(cells[o, p], cells[m, p], tries) for p in products for o in models if o != m] for m in models}
    return [max(some, key=_surest) for some in leads.values()]


def best_amount_differs(rows: pd.DataFrame) -> list[Effect]:
    """What the amount that serves all products best lacks on one of them, of the model where that is surest."""
    tries = rows["product"].nunique() * rows["ratio"].nunique()
    if rows["product"].nunique() < 2 or rows["ratio"].nunique() < 3:
        return []
    best = rows["to_best"] == 0
    rows = rows.assign(**{end: rows[end].mask(best, 0) for end in ("to_best_low", "to_best_high")})
    least: dict[str, Effect] = {}
    for (model, _), some in rows.groupby(["model", "ratio"]):
        lacks = [contrast(estimates(row, "to_best"), tries=tries, sign=-1) for _, row in some.groupby("product")]
        most = max(lacks, key=_surest)
        least[model] = min(least.get(model, most), most, key=_surest)
    return [max(least.values(), key=_surest)]


def _surest(effect: Effect) -> tuple[float, float]:
    return -math.inf if math.isnan(effect.low) else effect.low, effect.value


def same_order(rows: pd.DataFrame) -> list[Effect]:
    """Spearman's rank correlation with the paper's times; its interval after Fisher."""
    from scipy import stats  # half of what loading the plans of notebooks would cost

    ours = rows.set_index("model")["eager"].dropna()
    if len(ours) < 5:
        return []
    found = stats.pearsonr(ours.rank(), paper.table2()["time (ms)"][ours.index].rank())
    return [Effect(float(found.statistic), *map(float, found.confidence_interval()))]


HOW: dict[str, Callable[..., list[Effect]]] = {
    "difference": difference,
    "of complete models": lambda rows, **options: difference(complete(rows), **options),
    "of best baselines": lambda rows: difference(best_baselines(rows.set_index(["product", "model", "ratio"]))),
    "greatest": greatest,
    "beaten": beaten,
    "best amount differs": best_amount_differs,
    "same order": same_order,
}


# Tables -------------------------------------------------------------------------------------------------------------


def _synthetic_sets(study: Any) -> pd.DataFrame:
    """All measures of each set, by u or by generator, and what networks see in it if they were asked."""
    judged = getattr(study, "judged", lambda name: {})
    names = getattr(study, "steps", None) or study.synthetic
    rows = [{"set": name, **study.measures(name), "judged": judged(name)} for name in names]
    return pd.json_normalize(rows, sep="_")


def _rates(study: Any) -> pd.DataFrame:
    table = study.ratios.defects()
    table.attrs["provenance"] = {"seeds": study.profile.seeds}
    return table


def _beside_table_3(study: Any) -> pd.DataFrame | None:
    wide = study.beside_paper()
    return None if wide is None else pd.DataFrame({"apart": (wide - paper.table3()).to_numpy().ravel()})


def _defect_spectrum(_: Any) -> pd.DataFrame | None:
    root = runtime.data_home() / "defect_spectrum"
    if not root.is_dir():
        return None
    source = open_source(root.name, root)
    source.check()
    return pd.DataFrame([vars(count(survey(source), source.manifest.annotation))])


def _new_masks(_: Any) -> pd.DataFrame | None:
    found = annotation.compare_published()
    return None if found is None else found.summary().tail(1).reset_index(drop=True)


#: Tables of this run that are no attribute of their chapter's study.
TABLES: dict[str, Callable[[Any], pd.DataFrame | None]] = {
    "synthetic sets": _synthetic_sets,
    "rates": _rates,
    "beside Table 3": _beside_table_3,
    "Defect Spectrum": _defect_spectrum,
    "new masks": _new_masks,
}


def _of_run(study: Study | None, name: str) -> pd.DataFrame | None:
    if name in TABLES:
        return TABLES[name](study)
    found = attrgetter(name)(study)
    found = found() if callable(found) else found
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("name") if isinstance(found, dict) else found


def _references(pattern: str) -> list[pd.DataFrame]:
    """The reference results with such a name, those with most seeds first."""
    names = sorted((path.stem for path in tables.REFERENCE.glob(f"{pattern}.json")), reverse=True) if pattern else []
    return sorted((tables.record(name, tables.REFERENCE) for name in names), key=_seeds, reverse=True)


def _seeds(table: pd.DataFrame) -> int:
    """Trainings behind each number, or rounds where it is a time."""
    about = table.attrs.get("provenance", {})
    return int(table["seeds"].min()) if "seeds" in table else about.get("rounds") or len(about.get("seeds", [0]))


# Answers ------------------------------------------------------------------------------------------------------------


def compare(claim: Mapping[str, Any], table: pd.DataFrame | None) -> tuple[str, str] | None:
    """What a table has to say on a claim: the effects as text, and their verdict; None where it has nothing."""
    if table is None or table.empty:
        return None
    rows = table.reset_index()
    rows["accelerator"] = table.attrs.get("provenance", {}).get("accelerator") or ""
    if "product" in rows:  # on the paper's own data its own products decide, and they alone
        own, published = (rows["product"].str.contains(part, regex=False) for part in ("defect_spectrum/", "/"))
        rows = rows[own if claim["kind"] == "paper" else ~published]
    rows = rows.query(claim["where"]) if claim["where"] else rows
    if rows.empty:
        return None
    seeds, scale = _seeds(rows if "seeds" in rows else table), 100 if claim["unit"] in ("points", "%") else 1
    parts = [[Effect(*(scale * end for end in one)) for one in _effects(rows, **part)] for part in claim["compare"]]
    every = [effect for part in parts for effect in part or [Effect()]]
    shown = [min(part) for part in parts if part]
    return (_text(claim, shown, seeds), verdict(claim, every, seeds)) if shown else None


def _effects(rows: pd.DataFrame, how: str = "difference", **options: Any) -> list[Effect]:
    return HOW[how](rows, **options)


def _text(claim: Mapping[str, Any], effects: Sequence[Effect], seeds: int) -> str:
    form = f"{'' if claim['exact'] else '+'},.{claim['digits']}f"
    spans = ["" if claim["exact"] or math.isnan(low) else f" [{low:{form}}, {high:{form}}]" for _, low, high in effects]
    texts = [f"{effect.value:{form}}{span}" for effect, span in zip(effects, spans, strict=True)]
    text = f"{'; '.join(texts)} {claim['unit']}".rstrip()
    return with_minus(text if claim["exact"] else f"{text}, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{seeds}")


def judge(studies: Mapping[str, Study | None]) -> pd.DataFrame:
    """The claims of some chapters with what was found on them, and the verdicts; builds nothing.

    Args:
        studies: The study of each chapter, None for a chapter without one. One that is not built whole has no numbers.

    Returns:
        Index ``claim``, columns of text: the fields of the file; ``reference`` and ``this run``, effects with their
        95 % intervals, empty where there are none; ``verdict``.
    """
    built = {name for name, study in studies.items() if study is None or all(map(study.store.find, study.stages()))}
    references = cache(_references)
    of_run = cache(lambda chapter, name: _of_run(studies[chapter], name) if name and chapter in built else None)
    rows = {}
    for name, claim in load().items():
        if claim["chapter"] not in studies:
            continue
        recorded = (compare(claim, table) for table in references(claim["reference"]))
        found = {RECORD: next(filter(None, recorded), None)}
        found[RUN] = compare(claim, of_run(claim["chapter"], claim["run"]))
        if not math.isnan(claim["found"]):
            effects = [Effect(claim["found"])]
            found[RUN] = _text(claim, effects, 0), verdict(claim, effects, 0)
        judged = {"verdict": decide(claim, [one[1] for one in found.values() if one])}
        rows[name] = claim | {source: one[0] if one else "" for source, one in found.items()} | judged
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("claim")


def table(rows: pd.DataFrame, name: str, caption: str = "What the paper claims, and what was found here") -> Table:
    """Rows of :func:`judge` as a table of three columns: claim, here, verdict."""
    shown = pd.DataFrame(
        {
            "claim": rows["says"] + " (" + rows["section"] + ")",
            "here": [_here(row) for _, row in rows.iterrows()],
            "verdict": [f"**{SIGNS[one]}\N{NO-BREAK SPACE}{one}**" for one in rows["verdict"]],
        }
    )
    values = rows[["says", "section", "paper", "measure", RECORD, RUN, "verdict"]].reset_index()
    return Table(shown, name, caption, values=values, css="claims")


def _here(row: pd.Series) -> str:
    texts = {source: row[source] for source in (RECORD, RUN) if row[source]}
    found = "; ".join(text if row["exact"] else f"{source} {text}" for source, text in texts.items())
    return ": ".join(part for part in (row["measure"], found or MISSING[RUN]) if part)
