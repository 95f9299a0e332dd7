"""What a table of :class:`~defectlib.experiments.ratios.Ratios` says, of this run or of record."""

from __future__ import annotations

import math

import pandas as pd

from defectlib.experiments.paired import no_verdict, of_chance, verdict
from defectlib.experiments.ratios import nearest_to_whole


def best_baselines(table: pd.DataFrame) -> pd.DataFrame:
    """Table 4: of each product the model that is best without pairs, at the ratio nearest to 100 %; index ``product``.

    The columns of :attr:`~defectlib.experiments.ratios.Ratios.table`, and ``model`` and ``ratio``.
    """
    alone = table.xs(0, level="ratio")["miou"]
    best = alone.groupby(level="product", sort=False).idxmax()
    ratio = nearest_to_whole(tuple(table.index.unique("ratio")))
    rows = pd.DataFrame([{"model": cell[1], "ratio": ratio, **table.loc[(*cell, ratio)]} for cell in best])
    return rows.set_axis(pd.Index(best.index, name="product"))


def verdicts(table: pd.DataFrame) -> list[str]:
    """For each product and model, at the ratio nearest to 100 %, whether the effect can be told from none.

    The last sentence is on the intervals at all ratios; see :func:`defectlib.experiments.paired.of_chance`.
    """
    ratio = nearest_to_whole(tuple(table.index.unique("ratio")))
    rows = table.xs(ratio, level="ratio")
    found = [f"{product}, {model}, {ratio} %: {verdict(row)}" for (product, model), row in rows.iterrows()]
    return [*found, of_chance(table)]


def best_amounts(table: pd.DataFrame) -> list[str]:
    """For each model the best ratio by product, and whether it is another one on another product (§4.4)."""
    if few := no_verdict(table):
        return [few]
    said = []
    for model, rows in table.groupby(level="model", sort=False):
        seen = rows[rows["miou"].groupby(level="product").transform("max") > rows["background_only"]]
        blind = [product for product in rows.index.unique("product") if product not in seen.index.unique("product")]
        may_be = {product: _may_be_best(some) for product, some in seen.groupby(level="product", sort=False)}
        found = [f"{best} % on {product}{_or(others)}" for product, (best, others) in may_be.items()]
        found += [f"no amount on {product}, where no training beats seeing no defect" for product in blind]
        said.append(f"{model}: the greatest mIoU is reached with {'; '.join(found)}. {_differs(may_be)}")
    return said


def _may_be_best(rows: pd.DataFrame) -> tuple[int, list[int]]:
    """The best ratio of one product and model, and those that cannot be told from it."""
    ratios = rows.index.get_level_values("ratio")
    best = int(ratios[rows["miou"].argmax()])
    untold = ~(rows["to_best_high"] < 0).to_numpy()  # NaN: there is no interval, so nothing can be told
    return best, [int(ratio) for ratio in ratios[untold] if ratio != best]


def _or(others: list[int]) -> str:
    return f" ({', '.join(map(str, others))} % cannot be told from it)" if others else ""


def _differs(may_be: dict[str, tuple[int, list[int]]]) -> str:
    if len(may_be) < 2:
        return "Whether it differs by product needs two products."
    shared = set.intersection(*({best, *others} for best, others in may_be.values()))
    if not shared:
        return "No single amount may be the best on all of them: the best amount differs by product."
    amounts = ", ".join(map(str, sorted(shared)))
    return f"As {amounts} % may be the best on all of them, it cannot be told that the best amount differs by product."


def benefits_more(table: pd.DataFrame) -> list[str]:
    """Whether other models gain more than the first one (§4.4: the transformer does, by much).

    It is said where more than half of the intervals, over products and ratios, lie on one side of zero, and none on
    the other; models that never beat seeing no defect, or find nothing, are left out.
    """
    if few := no_verdict(table):
        return [few]
    said, (first, *others) = [], table.index.unique("model")
    learned = table[["miou", "reference"]].max(axis=1) > table["background_only"]
    if "nothing_found" in table:  # numbers of record may lack it
        learned &= table["nothing_found"].groupby(level=["product", "ratio"]).transform("sum") == 0
    for model in others:
        rows = table[learned & (table.index.get_level_values("model") == model)].dropna(subset=["extra"])
        if rows.empty:
            said.append(f"{model} against {first}: nothing to compare, as no training beats seeing no defect.")
            continue
        above, below = int((rows["extra_low"] > 0).sum()), int((rows["extra_high"] < 0).sum())
        more, less = 2 * above > len(rows) and not below, 2 * below > len(rows) and not above
        meaning = "it gains more" if more else "it gains less" if less else "that one gains more is not shown"
        said.append(
            f"{model} against {first}: on average its gain is another by {100 * rows['extra'].mean():+.1f} points; "
            f"intervals clear of zero: {above} above and {below} below, of {len(rows)}: {meaning}."
        )
    return said


# To be printed ------------------------------------------------------------------------------------------------------


def in_columns(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """The table of :class:`~defectlib.experiments.ratios.Ratios` or of its controls as text in %."""
    if table is None:
        return None
    shares = {"relative (%)": table["relative"].map(_share)} if "relative" in table else {}
    columns = {
        "pairs": table["pairs"].map(str),
        "mIoU (%)": table["miou"].map(lambda miou: f"{100 * miou:.1f}"),
        "difference (points)": table.apply(points, axis=1),
        **shares,
        "interval over": table["over"].where(table["difference"].notna(), ""),
    }
    return _like(pd.DataFrame(columns).rename_axis(index={"ratio": "ratio (%)"}), table)


def in_table_4(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """:func:`best_baselines` as text: a row per product, as the paper's Table 4 has columns."""
    if table is None:
        return None
    rows = best_baselines(table)
    columns = {
        "best baseline": rows["model"],
        "w/o synthetic": rows["reference"].map(lambda miou: f"{100 * miou:.2f}"),
        "w. synthetic": rows["miou"].map(lambda miou: f"{100 * miou:.2f}"),
        "gain (points)": rows.apply(points, axis=1),
        "pairs": rows["pairs"].map(str) + " (" + rows["ratio"].map(str) + " %)",
    }
    return _like(pd.DataFrame(columns), table)


def in_rates(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """:meth:`~defectlib.experiments.ratios.Ratios.defects` as text."""
    if table is None:
        return None
    columns = {
        "w/o synthetic": table["real"].map(lambda rate: f"{rate:.3f}"),
        "w. synthetic": table["synthetic"].map(lambda rate: f"{rate:.3f}"),
        "difference": table.apply(_rate_difference, axis=1),
    }
    return _like(pd.DataFrame(columns), table)


def _rate_difference(row: pd.Series) -> str:
    span = "no interval" if math.isnan(row["difference_low"]) else "{difference_low:+.3f}, {difference_high:+.3f}"
    return f"{row['difference']:+.3f} [{span.format(**row)}]".replace(" ", "\N{NO-BREAK SPACE}")


def points(row: pd.Series, name: str = "difference") -> str:
    """A difference in points with its interval; empty where there is none."""
    value, low, high = (100 * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return ""
    span = "no interval" if math.isnan(low) else f"{low:+.1f}, {high:+.1f}"
    return f"{value:+.1f} [{span}]".replace(" ", "\N{NO-BREAK SPACE}")


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:+.1f}"


def _like(frame: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    frame.attrs = dict(table.attrs)
    return frame
