"""Table 3 on embedded data: what is in a cell, from counts made by hand, and one real tiny run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from defectlib import detection, metrics
from defectlib.data.loading import load_eval
from defectlib.data.sources.manifest import read_manifest
from defectlib.errors import UserError
from defectlib.experiments.baselines import Baselines, _varied, table_3_row
from defectlib.experiments.study import AS_BUILT
from defectlib.plots import baselines as report
from defectlib.plots import paper
from defectlib.settings import PRETRAINABLE
from defectlib.store import Store
from tests.experiments.test_boost import image_counts


def study_of(smoke, root, products=("softgel",), models=("UNet",), **changes) -> Baselines:
    profile = smoke.model_copy(update=changes)
    return Baselines(profile, products=products, models=models, store=Store(root / "store", shipped=None))


def build(study, counts_of, tally_of) -> None:
    """Evaluations with counts and tallies by seed."""

    def evaluate(settings, inputs, out):
        np.save(out / "counts.npy", counts_of(settings.segmenter.seed))
        np.save(out / "defects.npy", tally_of(settings.segmenter.seed))

    for stage in study.stages():
        study.store.build(stage, {"segmenter": lambda settings, inputs, out: None, "evaluation": evaluate})


def test_a_cell_is_the_mean_over_seeds_with_their_standard_deviation(smoke, tmp_path, nothing_runs):
    study = study_of(smoke, tmp_path, seeds=(0, 1))
    hits = {0: (80, 5), 1: (70, 7)}
    tally = np.zeros((6, 3), np.int64)
    tally[0], tally[1] = (1, 1, 2), (3, 2, 1)  # one image with two false alarms; two of three scratches found
    build(study, lambda seed: np.stack([image_counts(*hits[seed])] * 6), lambda seed: np.stack([tally] * 6))
    row = study.table.loc["softgel", "UNet"]
    each = [(80 / (90 + 5) + 5 / (10 + 10)) / 2, (70 / (90 + 3) + 7 / (10 + 20)) / 2]
    assert row["miou"] == pytest.approx(np.mean(each))
    assert row["spread"] == pytest.approx(np.std(each, ddof=1))
    assert row["low"] <= row["high"]
    assert row["background_only"] == pytest.approx((0.9 + 0) / 2)
    assert row["recall"] == pytest.approx(2 / 3)
    assert row["fpr"] == 1
    assert (row["seeds"], row["images"], row["pretrained"]) == (2, 6, False)
    assert study.detections("softgel").loc[(detection.ALARMS, "all images"), "UNet"] == pytest.approx(2)


def test_one_seed_has_no_spread(smoke, tmp_path, nothing_runs):
    study = study_of(smoke, tmp_path)
    build(study, lambda seed: np.stack([image_counts(80, 5)] * 6), lambda seed: np.ones((6, 6, 3), np.int64))
    assert np.isnan(study.table["spread"].iloc[0])


def test_what_is_no_better_than_seeing_nothing_is_named(smoke, tmp_path, nothing_runs):
    study = study_of(smoke, tmp_path)
    build(study, lambda seed: np.stack([image_counts(90, 0)] * 6), lambda seed: np.ones((6, 6, 3), np.int64))
    assert study.not_better() == [("softgel", "UNet")]


def test_the_same_cells_as_other_studies_ask_for(smoke, tmp_path):
    study = study_of(smoke, tmp_path, models=("UNet", "M2F"))
    stages = study.cells()["softgel", "M2F"]
    assert stages == (study.profile.evaluation(study.data("softgel"), "M2F"),)
    assert stages[0].segmenter.lr < study.cells()["softgel", "UNet"][0].segmenter.lr
    pretrained = study_of(smoke, tmp_path, models=("UNet", "M2F"), pretrained=True)
    asked = {model: stages[0].segmenter.pretrained for (_, model), stages in pretrained.cells().items()}
    assert asked == {model: model in PRETRAINABLE for model in asked}


def test_a_real_run(smoke, tmp_path):
    study = study_of(smoke, tmp_path, models=("UNet", "PSP"))
    table, classes = study.table, study.classes()
    assert list(table.index) == [("softgel", "UNet"), ("softgel", "PSP")]
    present = classes.xs("UNet", level="model")["iou"].dropna()
    assert table.loc[("softgel", "UNet"), "miou"] == pytest.approx(present.mean())
    losses = study.losses()["softgel", "PSP"]
    assert list(losses["step"]) == [0, 1, 2]
    seen = study.predictions("softgel", 3)
    assert list(seen) == ["truth", "UNet", "PSP"]
    held = load_eval(study.data("softgel"))
    for i, (truth, pred) in enumerate(zip(seen["truth"], seen["UNet"], strict=True)):
        assert np.array_equal(truth.image, pred.image)
        counts = np.load(study.path(study.stages()[0]) / "counts.npy", allow_pickle=False)
        place = [sample.key for sample in held].index(truth.key)
        assert np.array_equal(metrics.confusion(truth.mask, pred.mask, counts.shape[1]), counts[place]), i
    for i, (name, shown) in enumerate(study.inspected(3).items()):  # the same, image by image
        assert name == f"softgel: {seen['truth'][i].key}"
        assert list(shown) == list(seen)
        assert all(np.array_equal(shown[model].mask, seen[model][i].mask) for model in seen)
        assert shown["truth"].caption


def test_defect_spectrum_alone_stands_beside_the_paper(smoke, tmp_path, nothing_runs):
    rows = paper.table3().index
    products = read_manifest("defect_spectrum").products
    named = {table_3_row(f"defect_spectrum/{name}") for name in products}
    assert named == {*rows, ("VISION", "Groove")}  # which the paper's table leaves out
    assert table_3_row("softgel") is table_3_row("mvtec_ad/bottle") is None
    assert study_of(smoke, tmp_path).beside_paper() is None


def test_the_record_is_the_table_and_the_classes(smoke, tmp_path):
    study = study_of(smoke, tmp_path)
    records = study.records()
    assert list(records) == ["baselines_32px", "baselines_32px_classes"]
    table, origin = records["baselines_32px"]
    pd.testing.assert_frame_equal(table, study.table)
    assert (origin["profile"], origin["seeds"], origin["steps"]) == ("smoke", [0], 3)


def test_images_with_new_types_come_first(smoke, tmp_path):
    held = load_eval(study_of(smoke, tmp_path).data("softgel"))
    chosen = _varied(held, 3)
    types = {name for i in chosen for name in held[i].present}
    assert chosen == sorted(chosen)
    assert len(types) >= len({name for sample in held[:3] for name in sample.present})


# What is there so far -----------------------------------------------------------------------------------------------


def test_a_table_of_what_is_built_has_empty_cells_for_the_rest(smoke, tmp_path, nothing_runs, monkeypatch):
    study = study_of(smoke, tmp_path, products=("softgel", "twill"), models=("UNet", "DL"), seeds=(0, 1))
    runners = {"segmenter": lambda settings, inputs, out: None, "evaluation": evaluated}
    for stage in (*study.cells()["softgel", "DL"], study.cells()["softgel", "UNet"][0]):  # of the latter one seed
        study.store.build(stage, runners)
    monkeypatch.setenv(AS_BUILT, "1")
    study.build()
    assert list(study.shown()) == [("softgel", "DL")]
    assert study.table["miou"].notna().to_dict() == {cell: cell == ("softgel", "DL") for cell in study.cells()}
    shown = report.table(None, study.table, "tab-part", "part").frame.set_index("product")
    assert list(shown.loc["twill", ["UNet", "DL", report.BLIND]]) == ["not run"] * 3
    assert shown.at["softgel", "UNet"] == "not run"
    assert shown.at["softgel", "DL"].startswith("**")
    assert study.not_better() == []


def evaluated(settings, inputs, out):
    np.save(out / "counts.npy", np.stack([image_counts(80, 5)] * 6))
    np.save(out / "defects.npy", np.ones((6, 6, 3), np.int64))


def test_where_nothing_is_built_yet_it_is_said(smoke, tmp_path, nothing_runs, monkeypatch):
    monkeypatch.setenv(AS_BUILT, "1")
    study = study_of(smoke, tmp_path)
    with pytest.raises(UserError, match=r"none of the 1 artifacts to be shown is built yet in .*store; build some"):
        study.build()
    stage = study.stages()[0]
    with pytest.raises(UserError, match=f"evaluation {stage.key()} is not built yet; build it, or leave"):
        study.path(stage)
