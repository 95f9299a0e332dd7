"""Clicks on products left out: what was trained on what, and tables that follow from the recorded clicks."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from defectclick import sam_weights
from defectlib.data import procedural
from defectlib.data.folder import write_dataset
from defectlib.errors import UserError
from defectlib.experiments import claims, plans
from defectlib.experiments import clicking as clicks
from defectlib.experiments.clicking import CLASSICAL, MAIN, OURS, SAM, WHOLE, WITHOUT, Clicks
from defectlib.plots import tables
from defectlib.profiles import load_profile
from defectlib.settings import FolderData


@pytest.fixture(scope="module", autouse=True)
def no_sam():
    """What lies on this machine is not asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sam_weights, "find", lambda: None)
        yield


@pytest.fixture(scope="module")
def study(smoke, store) -> Clicks:
    made = Clicks(smoke, store=store)
    made.build()
    return made


def test_no_network_clicks_on_what_it_was_trained_on(smoke):
    whole = Clicks(smoke, whole=True)
    for stage in whole.stages():
        if stage.clicker:
            assert stage.data.product not in stage.clicker.products
            assert stage.clicker.data == ()
    trained = {name: whole.cells[name, OURS].clicker.products for name in whole.data}
    assert {name: len(products) for name, products in trained.items()} == dict.fromkeys(smoke.clicker["products"], 3)


def test_each_adaptation_is_taken_away_alone(smoke):
    ablation = Clicks(smoke, product="washer").ablation
    assert list(ablation) == list(WITHOUT)
    base = ablation[WHOLE].clicker
    differing = {
        name: {field for field in type(base).model_fields if getattr(base, field) != getattr(stage.clicker, field)}
        for name, stage in ablation.items()
    }
    assert list(differing.values()) == [set(), {"products", "imagined"}, {"multi_level"}, {"edge_sensitive"}]
    assert all(stage.data == ablation[WHOLE].data for stage in ablation.values())
    assert {stage.data.product for stage in ablation.values()} == {"washer"}


def test_a_short_run_has_one_product_and_few_images_and_the_whole_all():
    cpu = load_profile("cpu")
    short, whole = Clicks(cpu), Clicks(cpu, whole=True)
    assert list(short.data) == ["softgel"]
    assert {stage.images for stage in short.stages()} == {clicks.FEW}
    assert list(whole.data) == list(cpu.clicker["products"])
    assert {stage.images for stage in whole.stages()} == {cpu.annotator.images}
    assert {stage.data.size for stage in whole.stages()} == {cpu.annotator.size}
    assert {stage.method for stage in whole.stages()} == {OURS, *CLASSICAL}


def test_sam_is_run_where_its_weights_are(smoke, monkeypatch, tmp_path):
    assert SAM not in Clicks(smoke).methods
    monkeypatch.setattr(sam_weights, "find", lambda: ("facebook/sam-vit-base", tmp_path))
    stage = Clicks(smoke).cells["softgel", SAM]
    assert (stage.method, stage.weights, stage.clicker) == (SAM, "facebook/sam-vit-base", None)


def test_a_folder_is_clicked_on_by_the_network_of_all_products(smoke, tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    root = tmp_path / "tiles"
    write_dataset(root, [procedural.sample("washer", "oracle", i, size=32) for i in range(24)], provenance={})
    study = plans.clicks("smoke", other=str(root))
    assert isinstance(study.other, FolderData)
    assert list(study.data) == ["softgel", "tiles"]
    assert study.cells["tiles", OURS].clicker.products == smoke.clicker["products"]
    with pytest.raises(UserError, match="no such folder"):
        plans.clicks("smoke", other=str(tmp_path / "nowhere"))


def test_magnetic_tile_is_taken_from_the_data_folder_if_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path))
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    assert clicks.tiles_folder(None) is None
    samples = [procedural.sample("washer", "oracle", i, size=32) for i in range(24)]
    write_dataset(tmp_path / clicks.TILES, samples, provenance={})
    assert clicks.tiles_folder(None).root == tmp_path / clicks.TILES


def test_the_table_is_that_of_the_recorded_clicks(study):
    for (name, method), row in study.table.iterrows():
        found = study.objects(study.cells[name, method])
        assert row["defects"] == len(found)
        counts = [next((k for k, v in enumerate(ious, 1) if v >= 0.85), 5) for ious in found["ious"]]
        assert row[MAIN] == pytest.approx(np.mean(counts))
        assert row["failed"] == pytest.approx(np.mean([max(ious) < 0.85 for ious in found["ious"]]))
        assert row["IoU 1"] == pytest.approx(np.mean([ious[0] for ious in found["ious"]]))
        assert row["IoU 5"] == pytest.approx(np.mean([ious[-1] for ious in found["ious"]]))
        assert row[f"{MAIN}_low"] <= row[MAIN] <= row[f"{MAIN}_high"]
        assert row["seconds"] > 0
    assert list(study.table.index) == [("softgel", method) for method in (OURS, *CLASSICAL)]


def test_sizes_divide_the_defects(study):
    counts = study.by_size["defects"].groupby("method").sum()
    assert (counts == study.table["defects"].groupby("method").sum()).all()
    assert set(study.by_size.index.unique("size")) <= set(clicks.SIZES)


def test_differences_are_paired_defect_by_defect(study):
    ours, other = (study.outcomes[study.outcomes["method"] == method] for method in (OURS, "GrabCut"))
    value, low, high = clicks.paired(other, ours, MAIN)
    assert value == pytest.approx(other[MAIN].mean() - ours[MAIN].mean())
    assert low <= value <= high
    assert study.leads.at["GrabCut", "more"] == pytest.approx(value)
    assert clicks.paired(ours, ours, MAIN) == (0, 0, 0)
    assert study.adaptations.at[WHOLE, "more"] == 0


def test_the_interval_is_over_groups_of_images():
    alike = pd.DataFrame({"group": ["a"] * 4 + ["b"] * 4, "x": [1.0] * 4 + [3.0] * 4})
    value, low, high = clicks.bounds(alike, "x")
    assert (value, low, high) == (2, 1, 3)  # either group may be drawn twice
    assert np.isnan(clicks.bounds(alike[:4], "x")[1:]).all()


def test_the_error_of_a_mean_over_products_is_that_of_independent_ones():
    assert clicks.mean_of([(1, 0, 2), (3, 2, 4)]) == pytest.approx((2, 2 - 2**0.5 / 2, 2 + 2**0.5 / 2))


def test_curves_end_where_annotators_stopped(study):
    rows = study.curves.xs(("softgel", "GrabCut"), level=("data", "method"))["IoU"]
    found = study.objects(study.cells["softgel", "GrabCut"])["ious"]
    assert list(rows.index) == [1, 2, 3, 4, 5]
    assert rows[5] == pytest.approx(np.mean([ious[-1] for ious in found]))


def test_the_best_other_method_takes_the_fewest_clicks(study):
    means = study.table[MAIN].droplevel("data").drop(OURS)
    assert means[study.best_other] == means.min()


def test_replays_hold_what_was_clicked(study):
    assert set(study.replays.index.unique("method")) == {OURS, study.best_other}
    for (name, number, defect, method), row in study.replays.iterrows():
        found = study.objects(study.cells[name, method])
        one = found[(found["number"] == number) & (found["defect"] == defect)].iloc[0]
        assert json.loads(row["clicks"]) == one["clicks"]
        assert study.image(name, number, row["size"]).key == one["key"]


def test_the_records_can_be_written_and_read_and_say_what_they_are_of(study, tmp_path, monkeypatch):
    records = study.records()
    assert set(records) == {clicks.RECORD} | {
        f"{clicks.RECORD}_{end}" for end in ("sizes", "adaptations", "leads", "curves", "time", "replays")
    }
    for name, (frame, about) in records.items():
        tables.write_record(name, frame, about, tmp_path)
        again = tables.record(name, tmp_path)
        pd.testing.assert_frame_equal(again, frame, check_dtype=False, check_names=False)
        assert again.attrs["provenance"]["size"] == study.profile.annotator.size
    monkeypatch.setattr(tables, "REFERENCE", tmp_path)
    rows = claims.judge({"16_defect_click": study})
    judged = ["click-better", "click-domains", "click-crops", "click-edges", "click-time-here"]
    assert (rows.loc[judged, "reference"] == rows.loc[judged, "this run"]).all()
    assert rows.loc[judged, "this run"].str.endswith("n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}1").all()
    assert (rows.loc[["click-sam", "click-hours"], ["reference", "this run"]] == "").all(axis=None)


def test_printed_tables_give_intervals_and_leave_out_what_is_compared_with_itself(study):
    shown = clicks.in_clicks(study.adaptations, more="more")
    assert shown.at[WHOLE, "more"] == ""
    assert shown.iloc[1]["more"].startswith("+0.0")
    assert clicks.in_clicks(study.table).loc[("softgel", OURS), MAIN].endswith("]")
    assert clicks.in_shares(study.table).columns.tolist()[-1] == "ms a click"
    assert (clicks.in_clicks(None), clicks.in_shares(None), clicks.in_percent(None)) == (None, None, None)


def test_the_simulation_is_printed_with_both_ends(study):
    shown = clicks.in_percent(study.saved)
    assert shown.index.name == "simulated"
    assert shown.at["seconds a click", "upper end"] == "7"
    assert shown.iloc[0]["simulated saving at that, %"].startswith("[")
    assert all("simulated" in column or "end" in column for column in shown.columns)
