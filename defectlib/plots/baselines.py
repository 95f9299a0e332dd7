"""Table 3 on data that is not the paper's: the mIoU of every baseline on every product, reference and this run."""

from __future__ import annotations

import pandas as pd

from defectlib.plots import tables
from defectlib.plots.tables import Table

_PERCENT = 100
BLIND = "background only"
"""The column of a model that sees no defect anywhere."""


def table(record: pd.DataFrame | None, run: pd.DataFrame | None, name: str, caption: str) -> Table:
    """MIoU in % by product (rows) and model (columns), ± the standard deviation over seeds, the best of a row bold.

    Beneath the products stands their mean, of the models that were run on all of them; in the last column, what a
    model would get that sees no defect at all.

    Args:
        record: As :meth:`defectlib.experiments.baselines.Baselines.table` returns it, reference results, or None.
        run: The same, of this run.
        name: Label for ``{numref}``.
        caption: What the table holds.
    """
    shown = [None if frame is None else _cells(frame) for frame in (record, run)]
    given = zip((tables.RECORD, tables.RUN), (record, run), strict=True)
    made = [f"{source.capitalize()}: {how(frame)}" for source, frame in given if frame is not None]
    return tables.compare(None, *shown, name, caption, notes=made)


def how(frame: pd.DataFrame) -> str:
    """How the numbers of a table were made, in a sentence."""
    frame = frame.dropna(subset="miou")
    seeds, images = int(frame["seeds"].max()), int(frame["images"].max())
    by_model = frame["pretrained"].astype(bool).groupby(level="model", sort=False).all()
    named = ", ".join(by_model.index[by_model])
    weights = f"encoders of {named} from ImageNet" if named else "all weights from scratch"
    return f"{seeds} seed{'s' if seeds > 1 else ''}, {images} held-out images of each product, {weights}."


# Parts --------------------------------------------------------------------------------------------------------------


def wide(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """One of its columns, products by models, both in the order in which they come."""
    values = frame[column].unstack("model")
    return values.loc[frame.index.unique("product"), frame.index.unique("model")]


def _cells(frame: pd.DataFrame) -> pd.DataFrame:
    """The cells of :func:`table` as text; None where a model was not run."""
    miou, spread = _PERCENT * wide(frame, "miou"), _PERCENT * wide(frame, "spread")
    blind = _PERCENT * frame["background_only"].groupby(level="product", sort=False).first()
    miou.loc["mean"], blind.loc["mean"] = miou.mean(axis=0, skipna=False), blind.mean(skipna=False)
    spread = spread.reindex(miou.index)
    cells = {
        model: [_cell(miou.at[row, model], spread.at[row, model], miou.loc[row].max()) for row in miou.index]
        for model in miou
    }
    none = [None if value != value else f"{value:.1f}" for value in blind]
    shown = pd.DataFrame({**cells, BLIND: none}, index=miou.index)
    shown.attrs = dict(frame.attrs)
    return shown


def _cell(value: float, spread: float, best: float) -> str | None:
    if value != value:
        return None
    text = f"{value:.1f}" + (f" ±\N{NO-BREAK SPACE}{spread:.1f}" if spread == spread else "")
    return f"**{text}**" if value == best else text
