"""Figures of what nets memorise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from defectlib.plots.memorisation import MEASURES, curves, densities, pairs_beside_nearest


def table(fields, counts=(5, 25), low=True) -> pd.DataFrame:
    rows = {}
    for n in counts:
        for k, field in enumerate(fields):
            rows[n, field] = {
                "copies": 1 / n,
                "distance": 0.5 + k,
                "patch_nearness": 0.6,
                "held_out_copies": 0.0,
                "held_out_patch_nearness": 0.5,
            }
            if low:
                rows[n, field] |= {"copies_low": 0.0, "copies_high": 0.5}
    return pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(rows, names=["images", "field"]))


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_density_stands_on_the_true_one_and_few_points_are_marked():
    x = [0.0, 1.0, 2.0]
    part = {"places": x, "true": [0, 1, 0], "learned": [0, 3, 0], "points": [1.0]}
    figure = densities({"net, 1 sample": part, "net, many": part | {"points": [1.0] * 500}})
    few, many = figure.axes
    assert [axes.get_title() or axes.get_title(loc="left") for axes in figure.axes] == ["net\n1 sample", "net\nmany"]
    assert [len(axes.lines) for axes in (few, many)] == [2, 1]
    assert few.lines[0].get_ydata().tolist() == [0, 3, 0]
    assert few.get_ylim() == many.get_ylim()
    assert legend(figure) == ["true density", "density of the samples", "training samples"]


def test_one_line_per_field_with_held_out_images_last():
    figure = curves(table(("9 px", "whole image")))
    assert len(figure.axes) == len(MEASURES)
    assert legend(figure) == ["9 px", "whole image", "held-out images"]
    distance = figure.axes[1]
    assert distance.lines[-1].get_ydata().tolist() == [1, 1]
    assert [line.get_ydata()[0] for line in distance.lines[:2]] == [0.5, 1.5]


def test_this_run_is_rings_upon_the_lines_of_record():
    figure = curves(table(("9 px", "whole image")), table(("9 px",), counts=(5,)))
    rings = [line for line in figure.axes[0].lines if line.get_linestyle() == "None" and line.get_markersize() == 10]
    assert [line.get_xdata().tolist() for line in rings] == [[5]]
    assert legend(figure).count("9 px") == 1


def test_without_a_record_this_run_names_the_fields():
    assert legend(curves(None, table(("9 px",)))) == ["9 px", "held-out images"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_pairs_lie_above_what_they_are_nearest_to(count):
    rows = np.stack([np.full((4, 8, 8, 3), 10, np.uint8), np.full((4, 8, 8, 3), 200, np.uint8)])
    figure = pairs_beside_nearest({f"block {k}": rows for k in range(count)})
    axes = [axes for block in figure.subfigs for axes in block.axes]
    assert len(axes) == count
    sheet = axes[0].images[0].get_array()
    assert sheet.shape == (2 * 32, 4 * 32, 3)
    assert (int(sheet[0, 0, 0]), int(sheet[-1, 0, 0])) == (10, 200)
