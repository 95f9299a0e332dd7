"""Table 3 on data that is not the paper's: the mIoU of every baseline on every product, of record and of this run."""

from __future__ import annotations

from textwrap import fill

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from defectlib.plots import tables
from defectlib.plots.style import INK, WIDTH, literal, panels
from defectlib.plots.tables import Table

_PERCENT = 100
BLIND = "background only"
"""The column of a model that sees no defect anywhere."""


def table(record: pd.DataFrame | None, run: pd.DataFrame | None, rule: str, name: str, caption: str) -> Table:
    """MIoU in % by product (rows) and model (columns), ± the standard deviation over seeds, the best of a row bold.

    Beneath the products stands their mean, of the models that were run on all of them; in the last column, what a
    model would get that sees no defect at all.

    Args:
        record: As :meth:`defectlib.experiments.baselines.Baselines.table` returns it, of record, or None.
        run: The same, of this run.
        rule: How the mIoU is computed; printed beneath.
        name: Label for ``{numref}``.
        caption: What the table holds.
    """
    shown = [None if frame is None else _cells(frame) for frame in (record, run)]
    given = zip((tables.RECORD, tables.RUN), (record, run), strict=True)
    made = [f"{source.capitalize()}: {how(frame)}" for source, frame in given if frame is not None]
    return tables.compare(None, *shown, name, caption, notes=[rule, *made])


def how(frame: pd.DataFrame) -> str:
    """How the numbers of a table were made, in a sentence."""
    frame = frame.dropna(subset="miou")
    seeds, images = int(frame["seeds"].max()), int(frame["images"].max())
    by_model = frame["pretrained"].astype(bool).groupby(level="model", sort=False).all()
    named = ", ".join(by_model.index[by_model])
    weights = f"encoders of {named} from ImageNet" if named else "all weights from scratch"
    return f"{seeds} seed{'s' if seeds > 1 else ''}, {images} held-out images of each product, {weights}."


def heatmap(frame: pd.DataFrame) -> Figure:
    """MIoU in % of every model (columns) on every product (rows), darker is better; the best of a row is framed."""
    wide = _PERCENT * _wide(frame, "miou")
    figure, axes = _map(wide, 0.9 + 0.42 * len(wide), "mIoU (%)", ".1f")
    for row, best in enumerate(wide.fillna(-1).to_numpy().argmax(axis=1)):
        if wide.iloc[row].isna().all():
            continue
        axes.add_patch(Rectangle((best, row), 1, 1, fill=False, edgecolor=INK, lw=1.6, clip_on=False))
    return figure


def class_heatmap(classes: pd.DataFrame, product: str) -> Figure:
    """IoU in % of every class (columns) by every model (rows) on one product; darker is better."""
    rows = classes.xs(product, level="product")
    wide = _PERCENT * rows["iou"].unstack("class").loc[rows.index.unique("model"), rows.index.unique("class")]
    figure, axes = _map(wide, 0.9 + 0.3 * len(wide), "IoU (%)", ".0f")
    axes.set_title(literal(product.replace("_", " ")))
    return figure


def detections(frame: pd.DataFrame, product: str, rule: str) -> Table:
    """Recall by type and false alarms of every model on one product, in % except alarms per image."""
    shown = frame.copy()
    per_image = shown.index.get_level_values("measure") == "false alarms per image"
    shown[~per_image] *= _PERCENT
    caption = f"Recall of defects and false alarms on {product.replace('_', ' ')}, in % (alarms: per image)"
    return tables.plain(shown.dropna(how="all"), "tab-baselines-detection", caption, decimals=1, notes=[rule])


# Parts --------------------------------------------------------------------------------------------------------------


def _wide(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """One of its columns, products by models, both in the order in which they come."""
    wide = frame[column].unstack("model")
    return wide.loc[frame.index.unique("product"), frame.index.unique("model")]


def _cells(frame: pd.DataFrame) -> pd.DataFrame:
    """The cells of :func:`table` as text; None where a model was not run."""
    miou, spread = _PERCENT * _wide(frame, "miou"), _PERCENT * _wide(frame, "spread")
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


def _map(values: pd.DataFrame, height: float, label: str, digits: str) -> tuple[Figure, Axes]:
    """A heat map of ``values`` in %; grey is what was not run or does not occur."""
    figure, ((axes,),) = panels(1, 1, WIDTH, height)
    axes.set_facecolor("#D9D9D9")
    values = values.rename(index=literal, columns=literal)
    options = {"vmin": 0, "vmax": 100, "cmap": "Blues", "linewidths": 1.5, "cbar_kws": {"label": label}}
    sns.heatmap(values, ax=axes, annot=True, fmt=digits, annot_kws={"fontsize": 8}, **options)
    axes.set(xlabel="", ylabel="")
    axes.set_xticks(np.arange(values.shape[1]) + 0.5, [fill(name.replace("_", " "), 11) for name in values.columns])
    axes.set_yticks(np.arange(len(values)) + 0.5, [name.replace("_", " ") for name in values.index], rotation=0)
    axes.tick_params(length=0)
    return figure, axes


def _cell(value: float, spread: float, best: float) -> str | None:
    if value != value:
        return None
    text = f"{value:.1f}" + (f" ±\N{NO-BREAK SPACE}{spread:.1f}" if spread == spread else "")
    return f"**{text}**" if value == best else text
