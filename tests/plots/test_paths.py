"""The figure of two paths, drawn from a table made up here and read back."""

from __future__ import annotations

import pandas as pd
import pytest

from defectlib.plots import paths, style


@pytest.fixture
def table():
    rows = [
        {"path": path, "u": u, "spread": 0.1 + shift, "nearest": 0.05 + shift, "neighbours": 3, "defect_free": 0.25}
        for path, shift in (("one", 0.0), ("other", 0.02))
        for u in (1000, 0, 400)
    ]
    made = pd.DataFrame(rows).assign(training_spread=0.15, training_nearest=0.07)
    for name in ("spread", "nearest"):
        made[f"{name}_low"], made[f"{name}_high"] = made[name] - 0.01, made[name] + 0.03
    return made


def test_each_panel_has_a_line_for_each_path_and_the_training_images_where_they_have_the_measure(table):
    style.use()
    figure = paths.diversity(table)
    figure.canvas.draw()
    assert [axes.get_title(loc="left").split("\n")[1] for axes in figure.axes] == [
        "(RMS, 0 to 1)",
        "(RMS, 0 to 1)",
        "(number)",
        "(%)",
    ]
    for axes, measure in zip(figure.axes, paths.MEASURES, strict=True):
        for line, path in zip(axes.lines, ("one", "other"), strict=False):
            assert line.get_label() == path
            assert line.get_xdata().tolist() == [0, 400, 1000]
            assert line.get_ydata().tolist() == table.loc[table["path"] == path, measure].tolist()
    assert [len(axes.lines) for axes in figure.axes] == [3, 3, 2, 2]
    assert set(figure.axes[1].lines[2].get_ydata()) == {0.07}
    bands = [axes.collections[1].get_paths()[0].vertices[:, 1] for axes in figure.axes[:2]]
    assert [(band.min(), band.max()) for band in bands] == [pytest.approx((0.11, 0.15)), pytest.approx((0.06, 0.1))]
    assert [text.get_text() for text in figure.axes[3].get_yticklabels()][-1] == "100"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "other", "training images"]
