"""From work and speed to hours, by table and by what they are for; and all of it in words."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from defectlib.experiments.cost import record_name
from defectlib.settings import MODEL_NAMES

#: Networks → what they are part of.
SHARES = {"large": "large nets", "small": "small nets"} | dict.fromkeys(MODEL_NAMES, "baselines")
SAMPLING = "sampling"
EVERYTHING = "everything"
HOURS_OF_A_YEAR = 365.25 * 24


def hours(work: pd.DataFrame, speeds: pd.DataFrame) -> pd.DataFrame:
    """``work`` with ``hours``, ``hours_low`` and ``hours_high``: operations over those that the same network did.

    A baseline that was not timed is taken to be as slow as the slowest that was; see :func:`untimed`.

    Args:
        work: See :attr:`Cost.work`.
        speeds: See :attr:`Cost.speeds`; of this run or of record.
    """
    found = work.copy()
    for end in ("", "_low", "_high"):
        rates = speeds["operations"] / speeds[f"seconds{end}"]
        slowest = rates[[name in MODEL_NAMES for name in rates.index.get_level_values("network")]].groupby("work").min()
        each = [rates.get((network, does), slowest[does]) for _, network, does, _ in work.index]
        found[f"hours{end}"] = work["operations"] / each / 3600
    return found


def untimed(work: pd.DataFrame, speeds: pd.DataFrame) -> list[str]:
    """Baselines that there is work for and no speed."""
    timed = speeds.index.unique("network")
    return [name for name in work.index.unique("network") if name not in timed]


def by_table(found: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`hours` or :attr:`Cost.work` the sums: index ``makes``, and :data:`EVERYTHING` in the last row.

    ``calls`` are those of the denoisers, for one pair each; the rest has the names that it had.
    """
    sampled = found["images"].where(_samples(found), 0)
    table = found.drop(columns="images").assign(calls=sampled).groupby(level="makes", sort=False).sum()
    return pd.concat([table, table.sum().to_frame(EVERYTHING).T]).rename_axis("makes")


def by_share(found: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`hours` the sums by ``makes`` and ``share``, what they are for; those of everything last."""
    names = found.index.get_level_values("network").map(SHARES)
    share = pd.Index(names.where(~_samples(found), SAMPLING), name="share")
    table = found.groupby([found.index.get_level_values("makes"), share], sort=False).sum()
    whole = table.groupby(level="share", sort=False).sum()
    return pd.concat([table, pd.concat({EVERYTHING: whole}, names=["makes"])])


def _samples(found: pd.DataFrame) -> pd.Series:
    """Whether a row is of denoisers at work on pairs."""
    network, does = (found.index.get_level_values(name) for name in ("network", "work"))
    return (does == "call") & network.isin(["large", "small"])


# For people ---------------------------------------------------------------------------------------------------------


def speeds_in_words(speeds: pd.DataFrame | None) -> pd.DataFrame | None:
    """:attr:`Cost.speeds` as text: milliseconds of one go with their range, operations, and those done in a second."""
    if speeds is None:
        return None
    columns = {
        "images": speeds["images"].map(str) + " of " + speeds["side"].map(str) + " px",
        "GFLOP": (speeds["operations"] / 1e9).map("{:,.2f}".format),
        "ms": speeds.apply(
            lambda row: _span(1e3 * row["seconds"], *(1e3 * row[["seconds_low", "seconds_high"]])), axis=1
        ),
        "GFLOP/s": (speeds["operations"] / speeds["seconds"] / 1e9).map(_three),
    }
    frame = pd.DataFrame(columns)
    frame.attrs = dict(speeds.attrs)
    return frame


def in_words(work: pd.DataFrame, run: pd.DataFrame, gpu: pd.DataFrame | None) -> pd.DataFrame:
    """What each table takes, as text; the column of the GPU is empty where nothing was measured on one.

    Args:
        work: See :attr:`Cost.work`.
        run: :attr:`Cost.speeds`.
        gpu: The same of record, from a GPU.
    """
    table = by_table(hours(work, run))
    columns = {
        "trainings": table["trainings"].map("{:.0f}".format),
        "made before": table["shared"].map("{:.0f}".format),
        "network calls": table["calls"].map("{:,.0f}".format),
        "EFLOP": (table["operations"] / 1e18).map(_three),
        f"hours, {of_machine(run)}": table.apply(_hours, axis=1),
    }
    name = "GPU-hours" if gpu is None else f"hours, {of_machine(gpu)}"
    of_gpu = "" if gpu is None else by_table(hours(work, gpu)).apply(_hours, axis=1)
    return pd.DataFrame(columns).assign(**{name: of_gpu})


def of_machine(speeds: pd.DataFrame) -> str:
    """Whose hours they are, in few words."""
    about = speeds.attrs["provenance"]
    cores = about["threads"]
    return about["accelerator"] or f"{cores} core{'s' if cores > 1 else ''} of this CPU"


def notes(work: pd.DataFrame, run: pd.DataFrame, gpu: pd.DataFrame | None, rivals: Iterable[str]) -> list[str]:
    """What has to be known to read :func:`in_words`; ``rivals`` are the methods that are :func:`uncounted`."""
    said = [
        "In brackets, every network at its fastest and every network at its slowest. What an earlier row has made is "
        "not made again: a later one counts it as made before, and not in its hours.",
    ]
    if gpu is None:
        said.append(f"Nothing was measured on a GPU: no numbers of record are called {record_name('cuda')}.")
    if missing := untimed(work, run):
        said.append(f"Not timed under this profile, and taken to be as slow as the slowest: {', '.join(missing)}.")
    if named := list(rivals):
        said.append(f"The controls also train {' and '.join(named)}, whose steps are not timed: not in these hours.")
    return said


def conclusion(work: pd.DataFrame, run: pd.DataFrame) -> list[str]:
    """What everything takes at the measured speed, and what it goes to."""
    found = hours(work, run)
    total, shares = by_table(found).loc[EVERYTHING], by_share(found).loc[EVERYTHING]
    nets = shares.reindex(["large nets", "small nets"])["operations"].sum() / total["operations"]
    first = (
        f"Everything is {_three(total['operations'] / 1e18)} EFLOP: {_hours(total)} hours of {of_machine(run)}, "
        f"or {_three(total['hours'] / HOURS_OF_A_YEAR)} years."
    )
    return [first, f"{100 * nets:.0f} % of the operations train generators, two nets for each product."]


def _hours(row: pd.Series) -> str:
    return _span(row["hours"], row["hours_low"], row["hours_high"])


def _span(value: float, low: float, high: float) -> str:
    return f"{_three(value)} [{_three(low)}, {_three(high)}]".replace(" ", "\N{NO-BREAK SPACE}")


def _three(value: float) -> str:
    """Three significant digits, thousands apart."""
    if value == 0:
        return "0"
    return f"{float(f'{value:.3g}'):,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
