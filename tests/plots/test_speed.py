"""Figures of latency: marks at their numbers, a way that a model does not have left out, lines of equal arithmetic."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from defectlib.plots import speed, style


@pytest.fixture(autouse=True)
def _look():
    style.use()


@pytest.fixture
def table():
    frame = pd.DataFrame(
        {"eager": [40.0, 90.0], "optimised": [20.0, 30.0], "onnx": [10.0, np.nan]},
        index=pd.Index(["UNet", "M2F"], name="model"),
    )
    for way in speed.WAYS:
        frame[f"{way}_low"], frame[f"{way}_high"] = 0.9 * frame[way], 1.2 * frame[way]
    return frame.assign(multiply_adds=[2e9, 20e9])


def marks(axes):
    """By colour, the points of every drawn set of marks."""
    return {to_rgb(c.lines[0].get_color()): c.lines[0].get_xydata() for c in axes.containers}


def test_latency_has_every_time_in_its_model_s_row_and_the_paper_apart(table):
    figure = speed.latency(table, pd.Series({"M2F": 68.2, "UNet": 33.9, "DL": 33.0}))
    FigureCanvasAgg(figure).draw()
    ours, theirs = figure.axes
    assert [text.get_text() for text in ours.get_yticklabels()] == ["UNet", "M2F"]
    for way, (_, colour, _) in speed.WAYS.items():
        drawn = marks(ours)[to_rgb(colour)]
        np.testing.assert_array_equal(drawn[:, 0], table[way])
        assert list(drawn[:, 1].round()) == [0, 1]
    assert theirs.lines[0].get_xydata().tolist() == [[33.9, 0], [68.2, 1]]
    assert theirs.get_title(loc="left") == "paper, RTX 3090"
    assert ours.get_ylim() == (1.5, -0.5)


def test_bars_go_from_quartile_to_quartile(table):
    ours = speed.latency(table, pd.Series({"UNet": 33.9, "M2F": 68.2})).axes[0]
    segments = ours.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([segment[:, 0] for segment in segments], [[36, 48], [81, 108]])


def test_against_cost_names_models_and_lines_of_equal_arithmetic(table):
    figure = speed.against_cost(table)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    np.testing.assert_array_equal(marks(axes)[to_rgb(style.INK)], [[2, 40], [20, 90]])
    texts = [text.get_text() for text in axes.texts]
    assert texts[:2] == ["UNet", "M2F"]
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert len(dashed) == len(texts) - 2 > 2
    for line, text in zip(dashed, texts[2:], strict=True):
        x, y = line.get_data()
        rate = float(text.removesuffix(" G/s").replace(",", ""))
        np.testing.assert_allclose(np.array(x) / (np.array(y) / 1e3), rate)


def test_axes_are_wide_enough_for_ticks_and_not_for_noise(table):
    alike = table.assign(multiply_adds=[2e9, 2.001e9])
    (axes,) = speed.against_cost(alike).axes
    low, high = axes.get_xlim()
    assert high / low >= 3.99
    assert len([tick for tick in axes.get_xticks() if low <= tick <= high]) >= 1
    theirs = speed.latency(table, pd.Series({"UNet": 17.9, "M2F": 18.0})).axes[1]
    assert theirs.get_xlim()[1] / theirs.get_xlim()[0] >= 3.99
