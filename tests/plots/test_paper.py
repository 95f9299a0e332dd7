"""The paper's numbers as typed in: recomputed where they can be, spot values, and what the paper prints in bold."""

from __future__ import annotations

import numpy as np
import pytest

from defectlib.errors import UserError
from defectlib.plots import paper

#: The best baseline of each product, as Table 3 highlights it.
HIGHLIGHTED = {
    "MVTec": "bottle V-T, cable M-B0, capsule M-B0, carpet PSP, grid PSP, hazelnut DL, leather PSP, metal_nut Bise, "
    "pill M-B0, screw PSP, tile HR, toothbrush V-T, transistor DL, wood M-B0, zipper PSP",
    "VISION": "Capacitor M-B0, Console UNet, Ring M2F, Screw DL, Wood Bise",
    "DAGM2007": "all DL",
    "Cotton-Fabric": "all M2F",
}


@pytest.mark.parametrize("dataset", HIGHLIGHTED)
def test_best_of_each_row_is_the_one_the_paper_highlights(dataset):
    best = paper.table3(dataset).idxmax(axis=1)
    assert best.to_dict() == dict(entry.split() for entry in HIGHLIGHTED[dataset].split(", "))


def test_vision_means_match_their_rows():
    means = paper.table3_means()
    assert np.allclose(means.loc["VISION", "recomputed"].round(2), means.loc["VISION", "printed"], atol=0.011)


def test_mvtec_means_do_not_match_their_rows():
    means = paper.table3_means().round(2)
    assert means.loc["MVTec", "printed"].tolist() == [49.88, 51.41, 51.58, 47.99, 45.40, 49.31, 46.45, 45.70]
    assert means.loc["MVTec", "recomputed"].tolist() == [47.87, 50.00, 51.12, 47.43, 45.65, 49.62, 47.07, 44.83]


def test_table4_starts_from_the_best_baseline_of_table3():
    without = paper.table4().loc["without synthetic"]
    printed = paper.table3_means().xs("printed", level="mean")
    assert without["MVTec"] == printed.loc["MVTec"].max()
    assert without["VISION"] == printed.loc["VISION"].max()
    assert without["Cotton-Fabric"] == paper.table3("Cotton-Fabric").max(axis=None)


def test_table4_gains():
    table = paper.table4()
    assert (table.loc["with synthetic"] - table.loc["without synthetic"]).round(2).tolist() == [3.97, 1.35, 1.30]


def test_spot_values():
    assert paper.table1().loc["Defect Spectrum", ["annotated images", "synthetic images"]].tolist() == [3518, 1920]
    assert paper.table1()["pixel labels"].sum() == 7
    assert paper.table2().loc["M2F", "time (ms)"] == 68.2
    assert paper.table3().shape == (22, 8)
    assert list(paper.models()) == list(paper.table3().columns) == list(paper.table2().index)


def test_figure8_is_ordered_and_best_at_100_percent():
    boxes = paper.figure8()
    numbers = boxes[["low", "q1", "median", "q3", "high"]].to_numpy()
    assert boxes.shape == (10, 6)
    assert (np.diff(numbers, axis=1) > 0).all()
    assert all(min(row.outliers, default=np.inf) > row.high for row in boxes.itertuples())
    assert [paper.figure8(model)["median"].idxmax() for model in ("DL", "M-B0")] == [100, 100]


def test_caption_names_the_table():
    assert paper.caption("table2").startswith("Table 2 of the paper. ")
    assert paper.caption("figure8").startswith("Figure 8 of the paper. ")


def test_a_caller_cannot_change_the_paper():
    table = paper.table2()
    table.loc["UNet", "time (ms)"] = 0
    assert paper.table2().loc["UNet", "time (ms)"] == 33.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paper.frame("table5"), "unknown table of the paper 'table5': did you mean 'table"),
        (lambda: paper.table3("mvtec"), "unknown dataset of Table 3 'mvtec': did you mean 'MVTec'?"),
        (lambda: paper.figure8("UNet"), "unknown model of Fig. 8 'UNet': known are DL, M-B0"),
    ],
)
def test_unknown_names(call, message):
    with pytest.raises(UserError) as error:
        call()
    assert str(error.value).startswith(message)
