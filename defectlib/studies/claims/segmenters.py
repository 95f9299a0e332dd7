"""Claims about the baselines and what they cost: Tables 2 and 3."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from defectlib.studies.baselines import Baselines, means
from defectlib.studies.claims.estimate import Estimate, mean_of, of_spread
from defectlib.studies.claims.finding import Counted, Effect, Finding, Measured, effect
from defectlib.studies.claims.given import Given, Group, Tables, embedded, newest, points, side
from defectlib.studies.cost import Cost
from defectlib.studies.numbers import with_minus
from defectlib.studies.speed import Speed

TRANSFORMERS = ("V-T", "M-B0", "M2F")
ROBUST = "DL"
PAPER_GPU = "RTX 3090"

# Table 3 as it is printed ---------------------------------------------------------------------------------------------


def printed_winners(tables: Tables) -> Counted:
    """Which baselines win a row."""
    best = tables["paper:table3"].idxmax(axis=1)
    return Counted(f"{best.nunique()} of 8 baselines are the best in one of its {len(best)} rows", best.nunique() > 1)


def printed_robust(tables: Tables) -> Counted:
    """The mean over all rows, and the worst rank."""
    table = tables["paper:table3"]
    order = table.mean().sort_values(ascending=False)
    worst = int(table.rank(axis=1, ascending=False)[ROBUST].max())
    text = f"greatest mean over its {len(table)} rows: {order.index[0]} ({order.iloc[0]:.2f}), then {order.index[1]}"
    return Counted(
        f"{text} ({order.iloc[1]:.2f}); in its worst row {ROBUST} has rank {worst} of 8", order.index[0] == ROBUST
    )


def printed_cotton(tables: Tables) -> Counted:
    """Whether every transformer is before every CNN on Cotton-Fabric."""
    row = tables["paper:table3"].xs("Cotton-Fabric", level="dataset").iloc[0]
    worst, best = row[list(TRANSFORMERS)].min(), row.drop(list(TRANSFORMERS)).max()
    return Counted(f"its worst transformer has {worst:.2f}, its best CNN {best:.2f}", worst > best)


def printed_mean(dataset: str) -> Callable[[Tables], Counted]:
    """Whether the printed means of a dataset are the means of its rows, to the two digits that are printed."""

    def count(tables: Tables) -> Counted:
        printed = tables["paper:table3_means"].loc[dataset]
        rows = tables["paper:table3"].xs(dataset, level="dataset").mean()
        apart = (printed - rows).abs()
        worst = apart.idxmax()
        agree = int((apart < 0.0051).sum())
        text = f"{agree} of {len(apart)} printed means are those of their rows"
        if agree < len(apart):
            text += f"; {worst}: printed {printed[worst]:.2f}, its rows give {rows[worst]:.2f}"
        return Counted(text, agree == len(apart))

    return count


# Table 3, run ---------------------------------------------------------------------------------------------------------


def of_baselines(study: Baselines) -> Given | None:
    """Embedded products of this run."""
    return embedded(study.table, str(study.profile.size))


def recorded_baselines(tables: Tables) -> Given | None:
    """Embedded products of record."""
    found = newest(tables, r"baselines_\d+px")
    return found and embedded(found[1], side(found[0]))


def _cell(table: pd.DataFrame, product: str, model: str) -> Estimate:
    row = table.loc[product, model]
    return of_spread(row["miou"], row["spread"], int(row["seeds"]))


def _everywhere(table: pd.DataFrame) -> list[str]:
    """Models that were run on all products."""
    return list(means(table).dropna().index)


def no_winner(given: Given) -> Finding | None:
    """For every model there is a product on which another one is better, by more than chance."""
    table, models = given.numbers, _everywhere(given.numbers)
    products = list(table.index.unique("product"))
    if len(models) < 2 or len(products) < 2:
        return None
    tries = len(products) * (len(models) - 1)
    beaten = {model: _most_beaten(table, model, models, tries) for model in models}
    model = min(beaten, key=lambda name: beaten[name].value)
    best = {product: table.xs(product)["miou"][models].idxmax() for product in products}
    named = ", ".join(f"{name} on {product}" for product, name in best.items())
    text = f"best: {named}; {model} comes nearest, and is beaten by {points(beaten[model], tries)}"
    return Measured(text, given.seeds, tuple(effect(found, tries=tries) for found in beaten.values()))


def _most_beaten(table: pd.DataFrame, model: str, models: Sequence[str], tries: int) -> Estimate:
    """By how much another model is better, where that can best be told."""
    products = table.index.unique("product")
    leads = [_cell(table, p, m) - _cell(table, p, model) for p in products for m in models if m != model]
    return max(leads, key=lambda lead: (_known(lead.interval(tries)[0]), lead.value))


def robust(given: Given) -> Finding | None:
    """The mean over products of DeepLabV3+ against the best mean of another model."""
    table, models = given.numbers, _everywhere(given.numbers)
    if ROBUST not in models or len(models) < 2:
        return None
    products = table.index.unique("product")
    mean = {model: mean_of([_cell(table, product, model) for product in products]) for model in models}
    other = max((model for model in models if model != ROBUST), key=lambda model: mean[model].value)
    lead = mean[ROBUST] - mean[other]
    return Measured(f"mean over products {points(lead)} from {other}, the best other", given.seeds, (effect(lead),))


def transformers_on_fabric(given: Given) -> Finding | None:
    """The mean of the transformers against that of the CNNs on twill, the woven product."""
    table, product = given.numbers, "twill"
    if product not in table.index.unique("product"):
        return None
    models = list(table.xs(product)["miou"].dropna().index)
    groups = [[m for m in models if m in TRANSFORMERS], [m for m in models if m not in TRANSFORMERS]]
    if not all(groups):
        return None
    transformers, cnns = (mean_of([_cell(table, product, model) for model in group]) for group in groups)
    lead = transformers - cnns
    text = f"mean of {', '.join(groups[0])} less that of {len(groups[1])} CNNs, on {product}: {points(lead)}"
    return Measured(text, given.seeds, (effect(lead),))


def of_spectrum(study: Baselines) -> Given | None:
    """The paper's own products in this run, as Table 3 has them."""
    wide = study.beside_paper()
    return None if wide is None else Given(wide, f"Defect Spectrum, {study.profile.size} px", len(study.profile.seeds))


def table_3(given: Given) -> Measured:
    """How far our numbers are from the paper's; their mean has no interval, so nothing is decided by it."""
    apart = (given.numbers - given.tables["paper:table3"]).stack().dropna()
    return Measured(f"{len(apart)} cells, on average {apart.mean():+.1f} points from the paper's", given.seeds)


# Speed ----------------------------------------------------------------------------------------------------------------


def of_speed(study: Speed) -> Given:
    """Milliseconds by model, of this run."""
    return _timed(study.table, study.circumstances)


def recorded_speed(tables: Tables) -> Given | None:
    """Milliseconds by model, of record: on a GPU, as the paper's are, if there are any."""
    table = tables.get("speed_cuda", tables.get("speed_cpu"))
    return None if table is None else _timed(table, table.attrs["provenance"])


def _timed(table: pd.DataFrame, about: Mapping) -> Given:
    image = f"{'×'.join(map(str, about['sides']))} px on {about['accelerator'] or 'a CPU'}"
    return Given(table["eager"].dropna(), f"an image of {image}", int(about["rounds"]))


def on_their_gpu(given: Given | None) -> Given | None:
    """The times, if they are of the paper's GPU."""
    return given if given is not None and PAPER_GPU in given.data else None


def same_order(given: Given) -> Finding | None:
    """Kendall's rank correlation with the paper's times; its interval after Fieller, Hartley and Pearson (1957)."""
    ours, paper = given.numbers, given.tables["paper:table2"]["time (ms)"]
    if len(ours) < 5:
        return None
    from scipy import stats  # half of what loading the plans of notebooks would cost

    tau = float(stats.kendalltau(ours, paper[ours.index]).statistic)
    kept = max(-0.999, min(0.999, tau))  # the transform has no value at the ends
    half = stats.norm.ppf(0.975) * math.sqrt(0.437 / (len(ours) - 4))
    low, high = (math.tanh(math.atanh(kept) + sign * half) for sign in (-1, 1))
    ends = f"{ours.idxmin()} is the fastest, {ours.idxmax()} the slowest"
    text = f"rank correlation with the paper's times {tau:.2f} [{low:.2f}, {high:.2f}]; {ends}"
    return Measured(with_minus(text), given.seeds, (Effect(tau, low, high),), "round")


def of_cost(study: Cost) -> Given:
    """What everything takes at the speed that was measured."""
    from defectlib.studies.hours import conclusion

    return Given(conclusion(study.work, study.speeds), "the plans of the paper's setting", study.throughput.rounds)


def said_first(given: Given) -> Measured:
    """The first sentence of a conclusion."""
    return Measured(given.numbers[0].rstrip("."), given.seeds, unit="round")


def _known(value: float) -> float:
    return -math.inf if math.isnan(value) else value


COUNTS: dict[str, Mapping[str, Callable[[Tables], Counted]]] = {
    "14_baselines": {
        "printed-winners": printed_winners,
        "printed-robust": printed_robust,
        "printed-cotton": printed_cotton,
        "printed-mean-mvtec": printed_mean("MVTec"),
        "printed-mean-vision": printed_mean("VISION"),
    }
}
GROUPS = {
    "13_speed": (
        Group(
            {"table2": same_order},
            lambda study: on_their_gpu(of_speed(study)),
            lambda tables: on_their_gpu(recorded_speed(tables)),
        ),
        Group({"order-here": same_order}, of_speed, recorded_speed),
    ),
    "14_baselines": (
        Group({"table3": table_3}, of_spectrum),
        Group(
            {"no-winner-here": no_winner, "robust-here": robust, "fabric-here": transformers_on_fabric},
            of_baselines,
            recorded_baselines,
        ),
    ),
    "15_cost": (Group({"cost": said_first}, of_cost),),
}
