"""What re-annotation changed: on embedded data, and on two published datasets in small, written in their layouts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from defectlib.data import procedural
from defectlib.data.sources.source import open_source
from defectlib.errors import UserError, UserErrors
from defectlib.experiments import annotation
from defectlib.experiments.counting import SHOWN_SIZE


@pytest.fixture(scope="module")
def embedded(smoke):
    return annotation.compare_embedded(smoke)


def test_every_embedded_image_with_a_defect_is_compared(smoke, embedded):
    per_product = embedded.table.groupby(level="product").size()
    for product, painter in procedural.PRODUCTS.items():
        drawn = [("train", i) for i in range(smoke.shots * len(painter.types))]
        drawn += [("eval", i) for i in range(smoke.eval_count)]
        masks = [procedural.sample(product, split, i, size=smoke.size).mask for split, i in drawn]
        assert per_product[product] == sum(bool(mask.any()) for mask in masks)


def test_a_derived_mask_is_larger_and_has_one_type(embedded):
    table = embedded.table
    assert table["types_before"].map(len).eq(1).all()
    # The coarse mask covers the exact one, so what is shared is the exact one.
    pd.testing.assert_series_equal(table["iou"], 1 + table["area_change"], check_names=False)
    several = table["types_after"].map(len) > 1
    assert several.any()
    pd.testing.assert_series_equal(table["became_multi_type"], several, check_names=False)
    assert (table["distance"] >= 0.5).all()
    assert (table["distance95"] >= table["distance"] - 0.5).all()


def test_the_summary_counts_products_and_all(embedded):
    summary = embedded.summary()
    assert list(summary.index) == [*sorted(procedural.PRODUCTS), "all"]
    assert summary.loc["all", "images"] == len(embedded.table) == summary["images"].iloc[:-1].sum()
    twill = embedded.table.xs("twill", level="product")
    assert summary.loc["twill", "IoU (%)"] == 100 * twill["iou"].median()
    assert summary.loc["twill", "area change (%)"] == 100 * twill["area_change"].median()
    assert summary.loc["twill", "boundary distance (px)"] == twill["distance"].median()
    assert summary.loc["twill", "images that became multi-type"] == twill["became_multi_type"].sum()


def test_examples_go_from_the_least_to_the_most_agreement(embedded):
    pairs = embedded.examples(4, "softgel")
    ious = embedded.table.xs("softgel", level="product")["iou"]
    shown = [ious[after.key] for _, after in pairs]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (ious.min(), ious.max())
    for before, after in pairs:
        assert before.key == after.key
        assert before.product == after.product == "softgel"
        assert before.image.shape == (SHOWN_SIZE, SHOWN_SIZE, 3)
        assert (before.mask[after.mask > 0] > 0).all()
    assert len(embedded.examples(1000)) == len(embedded.table)


# Published datasets, in small ---------------------------------------------------------------------------------------

NUT = ("scratch", "bent", "color")  # ids of Defect Spectrum; MVTec AD has bent 1, color 2, flip 3, scratch 4


def put(path, mask, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(mask, np.uint8)).convert(mode).save(path)


def box(height, width, value, size=(24, 30)):
    mask = np.zeros(size, np.uint8)
    mask[4 : 4 + height, 6 : 6 + width] = value
    return mask


def mvtec_image(root, product, kind, number, mask):
    put(root / f"mvtec_ad/{product}/test/{kind}/{number}.png", np.full(mask.shape, 90), "RGB")
    put(root / f"mvtec_ad/{product}/ground_truth/{kind}/{number}_mask.png", mask)


def spectrum_image(root, product, kind, number, mask):
    base = root / f"defect_spectrum/DS-MVTec/{product}"
    put(base / f"image/{kind}/{number}.png", np.full(mask.shape, 90), "RGB")
    put(base / f"mask/{kind}/{number}_mask.png", mask)


@pytest.fixture
def home(tmp_path):
    """Three nuts on both sides, a flipped one that Defect Spectrum left out, a coloured one that it added."""
    two_types = box(4, 5, 2)
    two_types[15:18, 10:14] = 1
    for number, old, new in (("000", box(6, 8, 255), two_types), ("001", box(6, 8, 255), box(6, 8, 2))):
        mvtec_image(tmp_path, "metal_nut", "bent", number, old)
        spectrum_image(tmp_path, "metal_nut", "bent", number, new)
    mvtec_image(tmp_path, "metal_nut", "scratch", "000", box(2, 9, 255))
    spectrum_image(tmp_path, "metal_nut", "scratch", "000", box(1, 9, 1))
    mvtec_image(tmp_path, "metal_nut", "flip", "004", box(20, 20, 255))
    spectrum_image(tmp_path, "metal_nut", "color", "007", box(3, 3, 3))
    for side in ("train", "test"):
        put(tmp_path / f"mvtec_ad/metal_nut/{side}/good/000.png", np.full((24, 30), 90), "RGB")
    return tmp_path


def compare(home):
    return annotation.compare_sources(*(open_source(name, home / name) for name in ("mvtec_ad", "defect_spectrum")))


def test_published_masks_are_joined_on_the_file_of_mvtec(home):
    found = compare(home)
    table = found.table.xs("metal_nut", level="product")
    assert list(table.index) == ["bent/000", "bent/001", "scratch/000"]
    first, same, thin = table.itertuples(index=False)
    assert first.iou == pytest.approx(20 / (48 + 12))  # 6 x 8 and, inside it, 4 x 5, beside it 3 x 4
    assert first.area_change == pytest.approx(32 / 48 - 1)
    assert (first.types_before, first.types_after) == (("bent",), ("scratch", "bent"))
    assert (first.added, first.removed, first.became_multi_type) == (("scratch",), (), True)
    assert (same.iou, same.distance, same.added) == (1, 0, ())
    assert thin.iou == pytest.approx(9 / 18)
    assert thin.distance == pytest.approx(9 / 27)  # two rows of boundary against one of them
    assert (found.before, found.after) == ("MVTec AD", "DS-MVTec")
    assert list(found.summary().index) == ["metal_nut"]


def test_what_stands_on_one_side_only_is_said(home):
    assert compare(home).left_out == (
        "1 image is annotated in MVTec AD alone: metal_nut/flip (1).",
        "1 image is annotated in Defect Spectrum alone: metal_nut/color (1).",
    )


def test_masks_that_differ_in_size_are_said_and_not_compared(home):
    spectrum_image(home, "metal_nut", "bent", "001", box(6, 8, 2, size=(20, 30)))
    found = compare(home)
    assert ("metal_nut", "bent/001") not in found.table.index
    assert found.left_out[-1] == "1 image is left out because the two masks differ in size: metal_nut/bent (1)."


def test_examples_number_the_types_of_both_sides_alike(home):
    pairs = compare(home).examples(3)
    least = pairs[0]
    assert [sample.present for sample in least] == [("bent",), ("scratch", "bent")]
    for before, after in pairs:
        assert before.classes == after.classes == (*NUT, "flip")
    assert np.unique(least[0].mask).tolist() == [0, 2]


def test_published_datasets_are_compared_where_both_are_there(home, monkeypatch):
    assert len(annotation.compare_published(home).table) == 3
    monkeypatch.setenv("DEFECTLIB_DATA", str(home))
    assert len(annotation.compare_published().table) == 3
    (home / "mvtec_ad").rename(home / "elsewhere")
    assert annotation.compare_published() is None


def test_datasets_that_share_no_image_are_refused(home, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    spectrum_image(other, "bottle", "broken_large", "000", box(3, 3, 1))
    sources = open_source("mvtec_ad", home / "mvtec_ad"), open_source("defect_spectrum", other / "defect_spectrum")
    with pytest.raises(UserError, match=r"annotates no image of .*mvtec_ad; put the same products in both"):
        annotation.compare_sources(*sources)


def test_no_two_masks_of_one_size_are_refused(home):
    for kind, number in (("bent", "000"), ("bent", "001"), ("scratch", "000")):
        spectrum_image(home, "metal_nut", kind, number, box(3, 3, 1, size=(12, 15)))
    with pytest.raises(UserError, match=r"no mask has the size of its image in .*; get the originals of both"):
        compare(home)


def test_a_layout_with_faults_is_refused_whole(home):
    (home / "mvtec_ad/metal_nut/ground_truth/bent/001_mask.png").unlink()
    with pytest.raises(UserErrors, match=r"faults in the layout \(1\)"):
        compare(home)
