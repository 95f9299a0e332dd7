"""From claims to answers: every claim has what answers it, on a real run, on records, and on nothing at all."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from defectlib import detection, metrics, runtime
from defectlib.data.loading import load, load_eval
from defectlib.report import scoreboard, tables
from defectlib.store import Store
from defectlib.studies import claims, plans
from defectlib.studies.baselines import Baselines
from defectlib.studies.claims import boost
from defectlib.studies.claims.answers import answered
from defectlib.studies.claims.finding import About, Verdict
from defectlib.studies.claims.given import newest, products_in_words, seeds_of, side
from defectlib.studies.scoreboard import Scoreboard

OF_PEOPLE = {"click-time", "click-hours"}  # hours of annotators: nobody was timed
SILENT = {"best-u", "own-data", "measured"}  # nothing is measured where these stand


@pytest.fixture
def printed(monkeypatch, tmp_path):
    """All that is not of a run, with no numbers of record."""
    monkeypatch.setattr(tables, "REFERENCE", tmp_path)
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    return scoreboard.numbers()


SKILL = {"UNet": 0.6, "DL": 0.8}  # share of the defects' pixels that a model sees


@pytest.fixture(scope="module")
def baselines(smoke, tmp_path_factory) -> Baselines:
    """Evaluations of predictions that miss a known share of every defect, a little more or less by seed."""
    changes = {"products": ("softgel", "twill"), "models": tuple(SKILL), "seeds": (0, 1, 2), "eval_count": 20}
    study = Baselines(smoke.model_copy(update=changes), store=Store(tmp_path_factory.mktemp("store"), shipped=None))
    for stage in study.stages():
        study.store.build(stage, {"segmenter": lambda settings, inputs, out: None, "evaluation": evaluate})
    return study


def evaluate(settings, inputs, out):
    trained = settings.segmenter
    masks = [sample.mask for sample in load_eval(trained.data)]
    classes = len(load(trained.data).classes) + 1
    seen = runtime.numpy_generator(trained.seed, trained.model, trained.data.product)
    preds = [np.where(seen.random(mask.shape) < SKILL[trained.model], mask, 0) for mask in masks]
    np.save(out / "counts.npy", metrics.image_counts(masks, preds, classes))
    np.save(out / "defects.npy", np.stack([detection.tally(*pair, classes) for pair in zip(masks, preds, strict=True)]))


def every_claim() -> set[str]:
    return {name for chapter in plans.NOTEBOOKS for name in scoreboard.claims(chapter).index} | set(
        scoreboard.claims().index
    )


def test_every_claim_has_something_that_answers_it_and_nothing_answers_what_is_not_claimed():
    assert every_claim() - OF_PEOPLE - SILENT == answered()
    assert {About(about) for about in scoreboard.claims()["about"]} == set(About) - {About.NONE}


def test_a_real_run_is_read_and_judged(baselines, printed, nothing_runs):
    rows = claims.answers(scoreboard.claims("14_baselines"), baselines, printed)
    robust = rows.loc["robust-here"]
    assert robust["run"].endswith("from UNet, the best other (3 seeds)")
    assert "no interval" not in robust["run"]
    assert (robust["record"], robust["data"]) == ("", "procedural softgel and twill, 32 px")
    assert robust["verdict"] == Verdict.DIRECTION
    lead = baselines.table["miou"].unstack("model").mean()
    assert robust["run"].startswith(f"mean over products {100 * (lead['DL'] - lead['UNet']):+.1f} [")
    assert rows.loc["fabric-here", "run"] == ""  # no transformer was run
    assert rows.loc["table3", "verdict"] == Verdict.NEEDS
    assert rows.loc["printed-mean-vision", "verdict"] == Verdict.REPRODUCED


def test_one_seed_of_the_same_run_is_undecided(baselines, printed, nothing_runs):
    single = replace(baselines, profile=baselines.profile.model_copy(update={"seeds": (0,)}))
    rows = claims.answers(scoreboard.claims("14_baselines"), single, printed)
    assert "no interval" in rows.loc["robust-here", "run"]
    assert rows.loc["robust-here", "run"].endswith("(1 seed)")
    assert rows.loc["robust-here", "verdict"] == Verdict.UNDECIDED


def test_a_record_of_the_run_gives_the_same_numbers_as_the_run(baselines, printed, tmp_path):
    (name, (frame, made)), *_ = baselines.records().items()
    tables.write_record(name, frame, made, tmp_path)
    recorded = printed | {name: tables.record(name, tmp_path)}
    rows = claims.answers(scoreboard.claims("14_baselines"), baselines, recorded)
    assert rows.loc["robust-here", "record"] == rows.loc["robust-here", "run"] != ""
    assert rows.loc["robust-here", "data"] == "procedural softgel and twill, 32 px"


def test_nothing_is_made_for_a_study_that_is_not_built(printed, tmp_path, nothing_runs):
    for chapter, make in plans.STUDIES.items():
        if make is None or chapter == "00_scoreboard":
            continue
        study = replace(make(profile="smoke"), store=Store(tmp_path / "empty", shipped=None))
        rows = claims.answers(scoreboard.claims(chapter), study, printed)
        counted = rows["about"] == About.COUNT
        assert (rows.loc[~counted, ["record", "run"]] == "").all(axis=None), chapter
        assert set(rows.loc[~counted, "verdict"]) <= {Verdict.UNDECIDED, Verdict.NEEDS, ""}
        assert set(rows.loc[rows["about"] == About.PAPER, "verdict"]) <= {Verdict.NEEDS}


def test_the_scoreboard_reads_all_chapters_and_makes_nothing(printed, nothing_runs):
    study = plans.scoreboard("smoke")
    assert isinstance(study, Scoreboard)
    assert study.chapters.keys() == {name for name, make in plans.STUDIES.items() if make} - {"00_scoreboard"}
    assert set(study.stages()) == {stage for one in study.chapters.values() for stage in one.stages()}
    study.build()
    rows = study.answers(scoreboard.claims(), printed)
    assert list(rows.index) == list(scoreboard.claims().index)
    assert set(rows["verdict"]) == set(Verdict) - {Verdict.DIRECTION}


def test_the_record_with_most_seeds_is_taken(baselines, tmp_path):
    (name, (frame, made)), *_ = baselines.records().items()
    for other, seeds in (("baselines_64px", 1), ("baselines_128px", 3), ("baselines_64px_classes", 9)):
        tables.write_record(other, frame.assign(seeds=seeds), made, tmp_path)
    known = {path.stem: tables.record(path.stem, tmp_path) for path in tmp_path.glob("*.json")}
    found, table = newest(known, r"baselines_\d+px")
    assert (found, seeds_of(table), side(found)) == ("baselines_128px", 3, "128")
    assert newest(known, "ratios_.*") is None
    assert name == "baselines_32px"


def test_products_are_named_by_what_they_are():
    assert products_in_words(["softgel"], 64) == "procedural softgel, 64 px"
    assert products_in_words(["a", "b", "c"]) == "procedural a, b and c"
    assert products_in_words(["a", "mvtec_ad/screw"], "32") == "procedural a, mvtec_ad/screw, 32 px"
    assert products_in_words(["mvtec_ad/screw"]) == "mvtec_ad/screw"


def test_a_run_on_the_paper_s_own_data_is_found_under_the_name_that_it_gets():
    study = plans.boost("gpu", products=["defect_spectrum/mvtec_cable"])
    assert re.fullmatch(boost.SPECTRUM_RECORD, study.ratios.record_name)
    assert not re.fullmatch(boost.EMBEDDED_RECORD, study.ratios.record_name)
    embedded = plans.boost("gpu").ratios.record_name
    assert re.fullmatch(boost.EMBEDDED_RECORD, embedded)
    assert not re.fullmatch(boost.SPECTRUM_RECORD, embedded)
