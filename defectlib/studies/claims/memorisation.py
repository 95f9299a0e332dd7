"""Claims about what a diffusion model memorises: Figure 3, and the hypothesis of §3.4.2."""

from __future__ import annotations

import math

import pandas as pd

from defectlib.studies.claims.estimate import Estimate, of_interval
from defectlib.studies.claims.finding import Effect, Finding, Measured, effect
from defectlib.studies.claims.given import (
    DISTANCE,
    NEAREST_TO_PAPER,
    Given,
    Group,
    Tables,
    newest,
    number,
    products_in_words,
    seeds_of,
)
from defectlib.studies.memorisation import NET, OPTIMUM, WHOLE, Memorisation


def of_density(study: Memorisation) -> Given:
    """The parts of Figure 3."""
    return Given(study.densities(), "numbers on a line", 1)


def density_peaks(given: Given) -> Measured:
    """Mass near the training samples; no interval: one training."""
    best, net = given.numbers[OPTIMUM], given.numbers[NET]
    near = f"trained net {100 * net['near']:.0f} %, best denoiser there is {100 * best['near']:.0f} %"
    return Measured(f"mass within 0.1 of a training sample: {near}, truly {100 * net['true_near']:.0f} %", given.seeds)


def of_memorisation(study: Memorisation) -> Given:
    """The nets of this run."""
    return Given(study.table, products_in_words([study.product], study.profile.memorisation.size), 1)


def recorded_memorisation(tables: Tables) -> Given | None:
    """The nets of record."""
    found = newest(tables, "memorisation")
    if found is None:
        return None
    made = found[1].attrs["provenance"]
    return Given(found[1], products_in_words([made["product"]], made["budget"]["size"]), seeds_of(found[1]))


def memorises(given: Given) -> Finding | None:
    """A net that sees the whole image: nearer to the training images than new images are, and copying."""
    rows = _at_paper_count(given.numbers)
    if rows is None or WHOLE not in rows.index:
        return None
    row = rows.loc[WHOLE]
    distance, copies = (_measured(row, name) for name in ("distance", "copies"))
    text = f"{100 * copies.value:.0f} % of its pairs are copies; {DISTANCE} {number(distance)}"
    nearer = Effect(1 - distance.value, *(1 - row[f"distance_{end}"] for end in ("high", "low")))
    held = row["held_out_copies"]
    copying = Effect(*(row[f"copies{end}"] - held for end in ("", "_low", "_high")))
    return Measured(f"{text} (held-out images: 1), from {rows.attrs['images']} images", given.seeds, (nearer, copying))


def patches_vary(given: Given) -> Finding | None:
    """A small field instead of the whole image: farther from the training images."""
    rows = _at_paper_count(given.numbers)
    small = [field for field in (() if rows is None else rows.index) if field != WHOLE]
    if not small or WHOLE not in rows.index:
        return None
    gain = _measured(rows.loc[small[0]], "distance") - _measured(rows.loc[WHOLE], "distance")
    text = f"{DISTANCE} {number(gain, sign='+')} from {WHOLE} to {small[0]}"
    return Measured(f"{text}, with {rows.attrs['images']} images", given.seeds, (effect(gain),))


def more_images(given: Given) -> Finding | None:
    """More images for a net that sees all of them: farther from the training images."""
    table = given.numbers
    rows = table[table.index.get_level_values("field") == WHOLE].droplevel("field").sort_index()
    if len(rows) < 2:
        return None
    gain = _measured(rows.iloc[-1], "distance") - _measured(rows.iloc[0], "distance")
    ends = f"from {rows.index[0]} to {rows.index[-1]} images"
    return Measured(f"{DISTANCE} {number(gain, sign='+')} {ends}", given.seeds, (effect(gain),))


def _at_paper_count(table: pd.DataFrame) -> pd.DataFrame | None:
    """The nets that were trained on about as many images as the paper's, by field; None if none was."""
    counts = [count for count in table.index.unique("images") if 0.5 <= count / NEAREST_TO_PAPER <= 2]
    if not counts:
        return None
    nearest = min(counts, key=lambda count: abs(count - NEAREST_TO_PAPER))
    rows = table.xs(nearest, level="images")
    rows.attrs["images"] = nearest
    return rows


def _measured(row: pd.Series, name: str) -> Estimate:
    return of_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], math.inf)


GROUPS = {
    "12_memorisation": (
        Group({"density": density_peaks}, of_density),
        Group(
            {"memorises": memorises, "patches-vary": patches_vary, "more-images": more_images},
            of_memorisation,
            recorded_memorisation,
        ),
    ),
}
