"""The table and the maps of the baselines, from numbers made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from defectlib.plots import baselines


def frame(seeds=3, products=("softgel", "twill"), models=("UNet", "DL"), pretrained=False):
    """Cells of mIoU 0.1, 0.2, … in the order of the cells."""
    cells = pd.MultiIndex.from_product([products, models], names=["product", "model"])
    values = {
        "miou": np.arange(1, len(cells) + 1) / 10,
        "spread": 0.012 if seeds > 1 else float("nan"),
        "background_only": 0.16,
        "pretrained": pretrained,
        "seeds": seeds,
        "images": 200,
    }
    return pd.DataFrame(values, index=cells)


def cells_of(table):
    return {
        (row["product"], row["numbers"]): row.drop(["product", "numbers"]).to_dict()
        for _, row in table.frame.iterrows()
    }


def test_run_and_record_stand_under_their_names_with_the_best_of_each_row():
    table = baselines.table(frame(), frame(seeds=1, products=("softgel",)), "tab-x", "A caption")
    cells = cells_of(table)
    blind = {"background only": "16.0"}
    assert cells["softgel", "reference"] == {
        "UNet": "10.0 ±\N{NO-BREAK SPACE}1.2",
        "DL": "**20.0 ±\N{NO-BREAK SPACE}1.2**",
        **blind,
    }
    assert cells["softgel", "this run"] == {"UNet": "10.0", "DL": "**20.0**", **blind}
    assert cells["mean", "reference"] == {"UNet": "20.0", "DL": "**30.0**", **blind}
    assert ("twill", "this run") not in cells
    assert table.notes == (
        "Reference: 3 seeds, 200 held-out images of each product, all weights from scratch.",
        "This run: 1 seed, 200 held-out images of each product, all weights from scratch.",
    )


def test_what_was_not_run_is_empty_and_has_no_mean():
    run = frame().drop(index=("twill", "DL"))
    cells = cells_of(baselines.table(None, run, "tab-x", "A caption"))
    assert cells["twill", "this run"]["DL"] == "not run"
    assert cells["mean", "this run"] == {"UNet": "**20.0**", "DL": "not run", "background only": "16.0"}


def test_pretrained_encoders_are_named():
    some = frame()
    some["pretrained"] = [False, True, False, True]
    assert baselines.how(some).endswith("encoders of DL from ImageNet.")
