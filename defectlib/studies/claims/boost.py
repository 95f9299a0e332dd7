"""Claims about what synthetic pairs do to baselines: Table 4, Figure 8, and the abstract of the ECCV version."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from defectlib import detection
from defectlib.studies.amounts import best_baselines
from defectlib.studies.claims.estimate import Estimate, combined, mean_of, of_interval
from defectlib.studies.claims.finding import Effect, Finding, Measured, effect
from defectlib.studies.claims.given import (
    SPECTRUM,
    Given,
    Group,
    Tables,
    embedded,
    newest,
    points,
    products_in_words,
    seeds_of,
    side,
    spectrum,
)
from defectlib.studies.controls import BARE, REAL
from defectlib.studies.paired import ENOUGH
from defectlib.studies.ratios import nearest_to_whole
from defectlib.studies.rivals import OURS
from defectlib.studies.synthetic_boost import SyntheticBoost

#: Dataset of Table 4 → what its products are called, and its best baseline, by Table 3's printed means.
TABLE_4 = {
    "MVTec": (f"{SPECTRUM}mvtec_", "DL"),
    "VISION": (f"{SPECTRUM}vision_", "M2F"),
    "Cotton-Fabric": (f"{SPECTRUM}cotton_fabric", "M2F"),
}
SPECTRUM_RECORD = r"ratios_(.*-)?defect_spectrum(-.*)?_\d+px"
EMBEDDED_RECORD = r"ratios_embedded_\d+px"
Choose = Callable[[pd.DataFrame, str | None], Given | None]
"""Of a table and the images' side, the rows of some products: :func:`embedded` or :func:`spectrum`."""

# Numbers ------------------------------------------------------------------------------------------------------------


def of_ratios(choose: Choose, study: SyntheticBoost) -> Given | None:
    """Gains by number of pairs, of this run."""
    return choose(study.ratios.table, str(study.profile.size))


def recorded_ratios(choose: Choose, pattern: str, tables: Tables) -> Given | None:
    """The same of record."""
    found = newest(tables, pattern)
    return found and choose(found[1], side(found[0]))


def of_rates(choose: Choose, study: SyntheticBoost) -> Given | None:
    """Recall and false alarms of this run."""
    given = choose(study.ratios.defects(), str(study.profile.size))
    return given and given._replace(seeds=len(study.profile.seeds))


def of_controls(study: SyntheticBoost) -> Given:
    """Pairs of Defect-Gen and of others, of this run."""
    words = products_in_words([study.profile.controls.product], study.profile.size)
    return Given(study.controls.table, words, seeds_of(study.controls.table))


def recorded_controls(tables: Tables) -> Given | None:
    """The same of record."""
    found = newest(tables, r"controls_.*_\d+px")
    if found is None:
        return None
    words = products_in_words([found[1].attrs["provenance"]["product"]], side(found[0]))
    return Given(found[1], words, seeds_of(found[1]))


# Judges -------------------------------------------------------------------------------------------------------------


def _gain(rows: pd.DataFrame, name: str = "difference") -> Estimate:
    """The mean of independent differences, each known with its interval."""
    return mean_of([_difference(row, name) for _, row in rows.iterrows()])


def _difference(row: pd.Series, name: str = "difference") -> Estimate:
    seeds = int(row["seeds"])
    freedom = seeds - 1 if seeds >= ENOUGH else math.inf  # below that the interval is over images
    return of_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], freedom)


def _clear(rows: pd.DataFrame) -> str:
    above, below = int((rows["difference_low"] > 0).sum()), int((rows["difference_high"] < 0).sum())
    return f"of {len(rows)} intervals {above} lie above zero and {below} below"


def best_gains(given: Given) -> Finding:
    """Table 4's question: the best baseline of each product, with the ratio nearest to 100 %."""
    rows = best_baselines(given.numbers)
    found = _gain(rows)
    return Measured(f"{points(found)}, mean over products; {_clear(rows)}", given.seeds, (effect(found),))


def table_4(dataset: str, given: Given) -> Finding | None:
    """Table 4 itself, on the products of one dataset with its best baseline."""
    prefix, model = TABLE_4[dataset]
    rows = _at(given.numbers, nearest_to_whole(tuple(given.numbers.index.unique("ratio"))))
    rows = rows[[p.startswith(prefix) and m == model for p, m in rows.index]]
    if rows.empty:
        return None
    claimed = given.tables["paper:table4"][dataset].diff().loc["with synthetic"] / 100
    found = _gain(rows)
    return Measured(f"{model}: {points(found)}", given.seeds, (effect(found, claimed),))


def gain_at(ratio: int | None, given: Given) -> Finding | None:
    """The gain at a ratio, over products and models; None: at that nearest to 100 %."""
    known = given.numbers.index.unique("ratio")
    chosen = nearest_to_whole(tuple(known)) if ratio is None else ratio
    if chosen not in known:
        return None
    rows = _at(given.numbers, chosen)
    found = _gain(rows)
    text = f"{chosen} %: {points(found)}, mean over products and models; {_clear(rows)}"
    return Measured(text, given.seeds, (effect(found),))


def best_amount_differs(given: Given) -> Finding | None:
    """For every amount there is a product on which another one is better by more than chance; by model."""
    table = given.numbers
    ratios = list(table.index.unique("ratio"))
    if len(table.index.unique("product")) < 2 or len(ratios) < 3:
        return None
    worst = [_most_missed(rows, ratios) for _, rows in table.groupby(level="model", sort=False)]
    found = max(worst, key=lambda each: each.low)
    text = f"the amount that serves all products best is {100 * found.value:.1f} points below the best on one of them"
    return Measured(f"{text} [{100 * found.low:.1f}, {100 * found.high:.1f}]", given.seeds, (found,))


def _most_missed(rows: pd.DataFrame, ratios: Sequence[int]) -> Effect:
    """Of one model: by how much the amount that misses least misses the best one, on the product where it does most."""
    tries = len(rows.index.unique("product")) * len(ratios)
    missed = []
    for ratio in ratios:
        each = [effect(_missed(row), tries=tries) for _, row in _at(rows, ratio).iterrows()]
        missed.append(max(each, key=lambda one: one.low))
    return min(missed, key=lambda one: one.low)


def _missed(row: pd.Series) -> Estimate:
    """What an amount falls short of the best one; nothing where it is the best."""
    if row["to_best"] == 0:
        return Estimate(0.0, 0.0, math.inf)
    found = _difference(row, "to_best")
    return Estimate(-found.value, found.error, found.freedom)


def transformer_gains_more(given: Given) -> Finding | None:
    """What MiT-B0 gains beyond the first model, at the ratio nearest to 100 %, over products."""
    rows = _at(given.numbers, nearest_to_whole(tuple(given.numbers.index.unique("ratio"))))
    rows = rows[rows.index.get_level_values("model") == "M-B0"].dropna(subset=["extra"])
    if rows.empty:
        return None
    found = _gain(rows, "extra")
    return Measured(f"{points(found)} beyond the CNN's gain, mean over products", given.seeds, (effect(found),))


def greatest_gain(given: Given) -> Finding:
    """The greatest gain of all, with an interval that allows for its having been chosen."""
    rows = given.numbers.dropna(subset=["difference"])
    row = rows.loc[rows["difference"].idxmax()]
    found, tries = _difference(row), len(rows)
    text = f"{points(found, tries)}: {row.name[1]} on {row.name[0].removeprefix(SPECTRUM)}, {row.name[2]} %"
    return Measured(text, given.seeds, (effect(found, given.claimed / 100, tries),))


def _at(table: pd.DataFrame, ratio: int) -> pd.DataFrame:
    return table.xs(ratio, level="ratio")


def rate_changes(measure: str, sign: int, given: Given) -> Finding | None:
    """The change of recall or of false alarms, mean over products and models; intervals are over images.

    Args:
        measure: As :mod:`defectlib.detection` calls it.
        sign: Of the change that is claimed.
        given: The numbers.
    """
    rows = given.numbers[given.numbers.index.get_level_values("measure") == measure].dropna(subset=["difference"])
    if rows.empty:
        return None
    ends = rows[["difference", "difference_low", "difference_high"]].to_numpy()
    found = mean_of([of_interval(*each, math.inf) for each in ends])
    claimed = None if math.isnan(given.claimed) else sign * given.claimed / 100
    text = f"{points(found)}, mean over {len(rows)} baselines"
    return Measured(text, given.seeds, (effect(combined([sign], [found]), claimed),))


def better_than_others(given: Given) -> Finding | None:
    """The gain from Defect-Gen's pairs less that from the pairs of the best other generator."""
    rows = given.numbers.drop(index=[REAL, BARE], errors="ignore")
    ours = [arm for arm in rows.index if arm.startswith(f"{OURS}, u = ")]
    others = [arm for arm in rows.index if arm not in ours]
    if not ours or not others:
        return None
    # That of the usual switch step, and not the one that happens to be the best here.
    chosen = min(ours, key=lambda arm: abs(int(arm.rpartition(" ")[2]) - 400))
    best = max(others, key=lambda arm: rows.at[arm, "difference"])
    lead = _difference(rows.loc[chosen]) - _difference(rows.loc[best])
    return Measured(f"{points(lead)}: {chosen}, against {best}", given.seeds, (effect(lead),))


_JUDGES = {
    "20": partial(gain_at, 20),
    "100": partial(gain_at, None),
    "differs": best_amount_differs,
    "transformer": transformer_gains_more,
}
_RATES = {
    "recall": partial(rate_changes, detection.RECALL, 1),
    "fpr": partial(rate_changes, detection.FPR, -1),
}
GROUPS = {
    "05_synthetic_boost": (
        Group(
            {f"table4-{name.partition('-')[0].lower()}": partial(table_4, name) for name in TABLE_4}
            | {f"fig8-{name}": judge for name, judge in _JUDGES.items()}
            | {"eccv-gain": greatest_gain},
            partial(of_ratios, spectrum),
            partial(recorded_ratios, spectrum, SPECTRUM_RECORD),
        ),
        Group(
            {"boost-here": best_gains} | {f"boost-{name}-here": judge for name, judge in _JUDGES.items()},
            partial(of_ratios, embedded),
            partial(recorded_ratios, embedded, EMBEDDED_RECORD),
        ),
        Group(
            {f"eccv-{name}": judge for name, judge in _RATES.items()},
            partial(of_rates, spectrum),
            partial(recorded_ratios, spectrum, f"{SPECTRUM_RECORD}_defects"),
        ),
        Group(
            {f"{name}-here": judge for name, judge in _RATES.items()},
            partial(of_rates, embedded),
            partial(recorded_ratios, embedded, f"{EMBEDDED_RECORD}_defects"),
        ),
        Group({"boost-others-here": better_than_others}, of_controls, recorded_controls),
    ),
}
