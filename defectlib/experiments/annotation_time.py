"""Time that clicks save, a *simulation*: nobody was timed. What a click and a vertex cost is taken from the literature.

By hand an annotator draws polygons around the true mask, with as many vertices as its outline needs (Douglas and
Peucker 1973) to stay within half the tolerance of the boundary F-score. With clicks, the annotator clicks a few times
and then mends what is still wrong: polygons around every error that reaches beyond the tolerance, or the whole mask
anew, whichever takes fewer vertices. Both are paid for by the vertex, and the first point of each costs more than the
rest, as the defect has to be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from defectclick.evaluation import SLACK
from defectlib import runtime

FIRST, FURTHER, EXACT, BOX = 2.4, 0.9, 7 / 4, 7.0
"""Seconds, as published: to point at an object for the first time and at another one (medians, Bearman et al. 2016);
for one of four points on an object's outline, and for all four (Papadopoulos et al. 2017)."""
COCO_POLYGON = 79.2
"""Seconds that one object of COCO took with polygons: 22 hours for 1,000 of them (Lin et al. 2014, §4.3)."""
DRAWS = 2000


@dataclass(frozen=True)
class Costs:
    """What the simulation assumes.

    Attributes:
        first: Seconds for the first point on a defect, either way.
        click: Seconds for each further click: to see what the tool made of the last one, and to point at its error.
        vertex: Seconds for each further vertex of a polygon.
        clicks: Clicks at most; then the rest is drawn.
        slack: How exact the outline must be: boundary tolerances, of :data:`~defectclick.evaluation.SLACK`.
    """

    first: float = FIRST
    click: float = FIRST
    vertex: float = EXACT
    clicks: int = 5
    slack: float = 1.0


#: What is varied: its name, the field of :class:`Costs`, and both ends.
VARIED: dict[str, tuple[str, float, float]] = {
    "seconds a click": ("click", FURTHER, BOX),
    "seconds a vertex": ("vertex", FURTHER, FIRST),
    "seconds for the first point": ("first", FURTHER, BOX),
    "clicks before the rest is drawn": ("clicks", 1, 20),
    "boundary tolerance (times the usual)": ("slack", SLACK[0], SLACK[-1]),
}
#: The same, all at once: what speaks most against clicks, and most for them.
WORST = Costs(click=BOX, vertex=FURTHER)
BEST = Costs(click=FURTHER, vertex=FIRST)


def by_hand(vertices: Sequence[int], costs: Costs) -> float:
    """Simulated seconds to draw a defect; ``vertices`` for each of ``SLACK``."""
    return costs.first + costs.vertex * (vertices[SLACK.index(costs.slack)] - 1)


def with_clicks(vertices: Sequence[int], repairs: Sequence[Sequence[int]], costs: Costs) -> float:
    """Simulated seconds to click on a defect and to mend the mask; ``repairs`` after each click."""
    kind = SLACK.index(costs.slack)
    left = [after[kind] for after in repairs[: costs.clicks]]
    done = next((k for k, count in enumerate(left, start=1) if not count), len(left))
    return costs.first + costs.click * (done - 1) + costs.vertex * min(left[done - 1], vertices[kind])


def seconds(outcomes: pd.DataFrame, costs: Costs) -> np.ndarray:
    """Simulated seconds of every defect by hand and with clicks, float64 (N, 2)."""
    pairs = zip(outcomes["vertices"], outcomes["repairs"], strict=True)
    return np.array([(by_hand(drawn, costs), with_clicks(drawn, mended, costs)) for drawn, mended in pairs])


def saved(outcomes: pd.DataFrame, costs: Costs) -> float:
    """The share of all time by hand that clicks save in the simulation; negative where they cost more."""
    hand, clicks = seconds(outcomes, costs).sum(axis=0)
    return float(1 - clicks / hand)


def sensitivity(outcomes: pd.DataFrame, costs: Costs) -> pd.DataFrame:
    """What the simulation gives as it stands, and with one assumption at a time at either end.

    Args:
        outcomes: Of defects: ``data``, ``group``, ``vertices``, ``repairs`` (:meth:`Clicks.objects`).
        costs: As it stands.

    Returns:
        Index ``simulated``; ``low`` and ``high`` values of what is varied, ``saved at low`` and ``saved at high`` as
        fractions. The first row, ``as it stands``, has the share in both and the ends of its 95 % interval over images
        as ``low`` and ``high``; the last, ``all at once``, :data:`WORST` and :data:`BEST`. ``by hand`` and ``clicks``:
        mean seconds of a defect; ``vertices``: of its outline.
    """
    central = saved(outcomes, costs)
    hand, clicks = seconds(outcomes, costs).mean(axis=0)
    rows = {"as it stands": (*_interval(outcomes, costs), central, central)}
    for name, (field, low, high) in VARIED.items():
        ends = [replace(costs, **{field: end}) for end in (low, high)]
        rows[name] = (float(low), float(high), *(saved(outcomes, end) for end in ends))
    rows["all at once"] = (np.nan, np.nan, saved(outcomes, WORST), saved(outcomes, BEST))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["low", "high", "saved at low", "saved at high"])
    table = table.assign(**{"by hand": hand, "clicks": clicks, "vertices": _vertices(outcomes)})
    return table.rename_axis("simulated")


def _vertices(outcomes: pd.DataFrame) -> float:
    return float(np.mean([each[SLACK.index(1.0)] for each in outcomes["vertices"]]))


def _interval(outcomes: pd.DataFrame, costs: Costs) -> tuple[float, float]:
    """95 % bootstrap interval of the share, over images (groups, where they have them)."""
    found = pd.DataFrame(seconds(outcomes, costs), columns=["hand", "clicks"])
    groups = outcomes["data"].to_numpy() + "/" + outcomes["group"].to_numpy()
    sums = found.groupby(groups).sum().to_numpy()
    if len(sums) < 2:
        return np.nan, np.nan
    draws = runtime.numpy_generator(0, "annotation time").multinomial(len(sums), [1 / len(sums)] * len(sums), DRAWS)
    hand, clicks = (draws @ sums).T
    low, high = np.quantile(1 - clicks / hand, [0.025, 0.975])
    return float(low), float(high)
