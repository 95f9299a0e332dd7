"""Claims about Defect-Click (§3.3): the three adaptations, other tools, and the time saved, here in a simulation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from defectlib.studies.claims.estimate import Estimate, of_interval
from defectlib.studies.claims.finding import Finding, Measured, effect
from defectlib.studies.claims.given import Given, Group, Tables, number, products_in_words
from defectlib.studies.clicking import RECORD, SAM, WHOLE, Clicks
from defectlib.studies.numbers import with_minus

_KNOWN = float("inf")  # degrees of freedom: intervals are bootstrap intervals over images


def of_run(choose: Callable[[Clicks], pd.DataFrame], study: Clicks) -> Given:
    """A table of this run."""
    products = [name for name in study.data if name in study.profile.clicker.products]
    return Given(choose(study), products_in_words(products, study.profile.clicker.size), 1)


def recorded(end: str, tables: Tables) -> Given | None:
    """A table of record; ``end`` is what its name ends in."""
    table = tables.get(f"{RECORD}{end}")
    if table is None:
        return None
    made = table.attrs["provenance"]
    products = [made["product"]] if end == "_adaptations" else made["products"]
    return Given(table, products_in_words(products, made["size"]), 1)


def better_than_others(given: Given) -> Finding | None:
    """Clicks to 85 % of the best other method beyond those of Defect-Click."""
    others = given.numbers.drop(index=SAM, errors="ignore")
    best = others["more"].idxmin()
    found = _more(others.loc[best])
    text = f"{number(found, 1, '+')} clicks to 85 % with {best}, the best other, than with Defect-Click"
    return Measured(text, given.seeds, (effect(found),))


def better_than_sam(given: Given) -> Finding | None:
    """The same of SAM, where its weights were there."""
    if SAM not in given.numbers.index:
        return None
    found = _more(given.numbers.loc[SAM])
    return Measured(
        f"{number(found, 1, '+')} clicks to 85 % with SAM than with Defect-Click", given.seeds, (effect(found),)
    )


def adaptation_helps(place: int, given: Given) -> Finding | None:
    """Clicks to 85 % that it takes more without one of the three adaptations."""
    without = given.numbers.drop(index=WHOLE)
    name, found = without.index[place], _more(without.iloc[place])
    return Measured(f"{number(found, 1, '+')} clicks to 85 % with {name}", given.seeds, (effect(found),))


def time_saved(given: Given) -> Finding:
    """The simulation as it stands, and between which ends its assumptions move it."""
    row, ends = given.numbers.loc["as it stands"], given.numbers.loc["all at once"]
    found = of_interval(*(row[name] for name in ("saved at low", "low", "high")), _KNOWN)
    share = with_minus(f"{100 * found.value:.0f} % [{100 * row['low']:.0f}, {100 * row['high']:.0f}]")
    span = with_minus(f"{100 * ends['saved at low']:.0f} to {100 * ends['saved at high']:.0f} %")
    text = f"{share} in a simulation; {span} as its costs are set"
    return Measured(text, given.seeds, (effect(found, given.claimed / 100),))


def _more(row: pd.Series) -> Estimate:
    return of_interval(row["more"], row["more_low"], row["more_high"], _KNOWN)


_ADAPTATIONS = ("click-domains", "click-crops", "click-edges")
GROUPS = {
    "16_defect_click": (
        Group(
            {"click-better": better_than_others, "click-sam": better_than_sam},
            partial(of_run, lambda study: study.leads),
            partial(recorded, "_leads"),
        ),
        Group(
            {name: partial(adaptation_helps, place) for place, name in enumerate(_ADAPTATIONS)},
            partial(of_run, lambda study: study.adaptations),
            partial(recorded, "_adaptations"),
        ),
        Group(
            {"click-time-here": time_saved},
            partial(of_run, lambda study: study.saved),
            partial(recorded, "_time"),
        ),
    ),
}
