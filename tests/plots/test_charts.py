"""Figures of numbers, drawn from tables made up here: what they show is read back from the figure."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from defectlib.plots import charts, style


@pytest.fixture(autouse=True)
def _look():
    style.use()


@pytest.fixture
def curve():
    return pd.DataFrame(
        {
            "u": [1000, 0, 400],
            "nearest": [0.3, 0.04, 0.06],
            "nearest_low": [0.28, 0.03, 0.05],
            "nearest_high": [0.33, 0.05, 0.07],
            "spread": [0.25, 0.12, 0.14],
            "training_nearest": 0.07,
            "training_spread": 0.15,
        }
    )


@pytest.fixture
def boost():
    rows = [("softgel", "UNet", 0.03), ("softgel", "DL", -0.05), ("twill", "UNet", 0.001), ("twill", "DL", 0.04)]
    table = pd.DataFrame(rows, columns=["product", "model", "difference"])
    table["real"], table["synthetic"] = 0.6, 0.6 + table["difference"]
    for name in ("real", "synthetic", "difference"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.02, table[name] + 0.02
    return table


def save(figure):
    content = io.BytesIO()
    figure.savefig(content, format="png")
    assert len(content.getvalue()) > 5000
    return figure


def test_fidelity_diversity_labels_every_point(curve):
    (axes,) = save(charts.fidelity_diversity(curve)).axes
    places = {text.get_text(): tuple(text.xy) for text in axes.texts}
    assert places == {"u = 0": (0.04, 0.12), "u = 400": (0.06, 0.14), "u = 1000": (0.3, 0.25)}
    assert [t.get_text() for t in axes.get_legend().texts] == ["two stages, by u", "training images"]
    cross = axes.lines[1]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (0.07, 0.15)


def test_differences_are_coloured_by_what_their_interval_says(boost):
    (axes,) = save(charts.difference_interval(boost)).axes
    spans = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_linewidth() > 2]
    assert [tuple(np.round(line.get_xdata(), 6)) for line in spans] == [(1, 5), (-7, -3), (-1.9, 2.1), (2, 6)]
    gain, loss = to_rgb(style.SERIES_COLOURS[0]), to_rgb(style.SERIES_COLOURS[1])
    assert [to_rgb(line.get_color()) for line in spans] == [gain, loss, to_rgb("#808080"), gain]
    assert axes.get_yticklabels()[0].get_text() == "softgel, UNet"
    assert axes.yaxis_inverted()
    assert [axes.xaxis.get_major_formatter()(x, 0) for x in (-2, 0, 2)] == ["-2", "0", "+2"]


def test_learning_curve_smooths_without_moving_the_level():
    loss = pd.DataFrame({"step": np.arange(90), "loss": np.tile([0.5, 1.0, 1.5], 30)})
    (axes,) = save(charts.learning_curve({"large": loss, "small": loss / 2})).axes
    raw, smooth = axes.lines[:2]
    assert raw.get_ydata().tolist() == loss["loss"].tolist()
    assert np.allclose(smooth.get_ydata()[1:-1], 1.0)
    assert axes.get_yscale() == "log"
    assert [t.get_text() for t in axes.get_legend().texts] == ["large", "small"]
