from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from defectlib import profiles
from defectlib.config import (
    DenoiserTraining,
    Density,
    EmbeddedData,
    Evaluation,
    Judgement,
    LargeNet,
    OracleTraining,
    SegmenterTraining,
    SmallNet,
    Synthesis,
)
from defectlib.errors import UserError
from defectlib.profiles import load_profile
from defectlib.publishing import jobs
from defectlib.store import Store
from defectlib.studies import plans

DATA = EmbeddedData(product="softgel", size=32)
LARGE = DenoiserTraining(data=DATA, net=LargeNet(), steps=1)
SMALL = DenoiserTraining(data=DATA, net=SmallNet(), steps=1)
SYNTHETIC = Synthesis(large=LARGE, small=SMALL, count=1)
SEGMENTER = SegmenterTraining(data=DATA, model="UNet", synthetic=SYNTHETIC, steps=1)


def write_something(settings, inputs, out: Path) -> None:
    (out / "content").write_text(settings.stage)


RUNNERS = dict.fromkeys(("denoiser", "synthetic", "segmenter"), write_something)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", shipped=None)


def name(settings) -> str:
    return f"{settings.stage}/{settings.key()}"


def test_collect_lists_what_is_missing_below_and_each_stage_once(store, tmp_path):
    found = jobs.collect([SEGMENTER, SYNTHETIC, SEGMENTER], store, tmp_path)
    assert set(found) == {name(s) for s in (LARGE, SMALL, SYNTHETIC, SEGMENTER)}
    assert set(found[name(SYNTHETIC)].inputs) == {jobs.receipt_path(s, tmp_path) for s in (LARGE, SMALL)}
    assert found[name(SEGMENTER)].inputs == (jobs.receipt_path(SYNTHETIC, tmp_path),)
    assert not any(job.receipt.exists() for job in found.values())


def test_a_plan_file_leads_back_to_its_settings(store, tmp_path):
    found = jobs.collect([SEGMENTER], store, tmp_path)
    assert {jobs.read_plan(job.plan) for job in found.values()} == {LARGE, SMALL, SYNTHETIC, SEGMENTER}


def test_what_is_in_the_store_has_a_receipt_and_needs_nothing(store, tmp_path):
    artifact = store.build(SYNTHETIC, RUNNERS)
    shutil.rmtree(store.find(LARGE))
    found = jobs.collect([SYNTHETIC], store, tmp_path)
    assert set(found) == {name(SYNTHETIC)}
    job = found[name(SYNTHETIC)]
    assert job.inputs == ()
    assert str(artifact) in job.receipt.read_text()
    assert job.receipt.stat().st_mtime_ns == (artifact / "provenance.json").stat().st_mtime_ns


def test_a_receipt_without_its_artifact_is_removed(store, tmp_path):
    artifact = store.build(SMALL, RUNNERS)
    receipt = jobs.collect([SMALL], store, tmp_path)[name(SMALL)].receipt
    assert receipt.exists()
    shutil.rmtree(artifact)
    jobs.collect([SMALL], Store(store.root, shipped=None), tmp_path)
    assert not receipt.exists()


def test_after_the_clock_was_set_back_nothing_lies_ahead_of_it(store, tmp_path):
    artifact = store.build(SMALL, RUNNERS)
    receipt = jobs.collect([SMALL], store, tmp_path)[name(SMALL)].receipt
    tomorrow, earlier = time.time_ns() + 86_400 * 10**9, 10**18
    for path in (artifact / "provenance.json", receipt):
        os.utime(path, ns=(tomorrow, tomorrow))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "old.ipynb").touch()
    os.utime(tmp_path / "notebooks" / "old.ipynb", ns=(earlier, earlier))
    jobs.date_back(tmp_path)
    assert receipt.stat().st_mtime_ns <= time.time_ns()
    assert (tmp_path / "notebooks" / "old.ipynb").stat().st_mtime_ns == earlier
    receipt.unlink()
    jobs.collect([SMALL], store, tmp_path)
    assert receipt.stat().st_mtime_ns <= time.time_ns()
    assert (artifact / "provenance.json").stat().st_mtime_ns == tomorrow


def test_titles_say_what_is_built():
    job = jobs.Job(LARGE, (), Path(), Path())
    assert job.title == f"denoiser large on softgel [{LARGE.key()}]"
    assert jobs.Job(SEGMENTER, (), Path(), Path()).title == f"segmenter UNet on softgel [{SEGMENTER.key()}]"
    assert jobs.Job(SYNTHETIC, (), Path(), Path()).title == f"synthetic on softgel [{SYNTHETIC.key()}]"


def test_what_a_title_lacks_is_left_out():
    stage = Density(samples=3)
    assert jobs.Job(stage, (), Path(), Path()).title == f"density [{stage.key()}]"


def test_a_process_that_does_one_job_reads_what_another_wrote_down(store, tmp_path):
    store.build(LARGE, RUNNERS)
    planned = jobs.collect([SEGMENTER], store, tmp_path)
    for key in (name(SMALL), name(SYNTHETIC), name(SEGMENTER)):
        assert jobs.written(tmp_path, key) == planned[key]


def test_a_plan_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"denoiser/abc.json: is not there; run the workflow again, in a folder that"):
        jobs.written(tmp_path, "denoiser/abc")


# What a job takes ---------------------------------------------------------------------------------------------------


def on_cuda(settings, **more):
    return settings.model_copy(update={"device": "cuda", **more})


def test_only_what_runs_on_a_gpu_asks_for_one():
    segmenter = on_cuda(SEGMENTER, synthetic=None)
    oracle = OracleTraining(product="softgel", size=32, steps=1, device="cuda")
    assert [jobs.gpus(stage) for stage in (LARGE, SYNTHETIC, SEGMENTER, Evaluation(segmenter=SEGMENTER))] == [0] * 4
    assert jobs.gpus(on_cuda(LARGE)) == jobs.gpus(segmenter) == jobs.gpus(Evaluation(segmenter=segmenter)) == 1
    assert jobs.gpus(Judgement(synthetic=SYNTHETIC, oracle=oracle)) == 1
    assert jobs.gpus(Judgement(synthetic=SYNTHETIC)) == 0
    assert jobs.gpus(on_cuda(LARGE, processes=4)) == 4


def test_a_process_on_a_gpu_needs_more_memory():
    assert jobs.memory(LARGE) == 4_000
    assert jobs.memory(on_cuda(LARGE)) == 16_000
    assert jobs.memory(on_cuda(LARGE, processes=4)) == 64_000


def test_time_grows_with_the_work():
    paper = load_profile("gpu", device="cuda", precision="bf16")
    data = paper.data("softgel")
    assert jobs.minutes(paper.large_training(data)) == jobs.START + round(160_000 * jobs.STEP["cuda"] / 60 + 0.5)
    assert jobs.minutes(on_cuda(SYNTHETIC, count=60, num_inference_steps=100)) == jobs.START + 10
    assert jobs.minutes(Evaluation(segmenter=SEGMENTER)) == jobs.START
    assert jobs.minutes(SEGMENTER.model_copy(update={"steps": 30})) == jobs.START + 2


# Files --------------------------------------------------------------------------------------------------------------


def test_a_file_keeps_its_date_while_its_content_stays(tmp_path):
    path = tmp_path / "plans" / "x.json"
    jobs.write_if_changed(path, [1])
    os.utime(path, (1, 1))
    jobs.write_if_changed(path, [1])
    assert path.stat().st_mtime == 1
    jobs.write_if_changed(path, [2])
    assert path.stat().st_mtime > 1
    assert path.read_text() == "[\n 2\n]\n"


def test_a_profile_value_concerns_only_the_notebooks_that_read_it(tmp_path, monkeypatch):
    """Notebooks without stages read the profile as they please and depend on all of it."""
    names = ("01_datasets", "03_defect_gen", "04_switch_step", "05_synthetic_boost")
    folder = tmp_path / "profiles"
    shutil.copytree(profiles.PROFILES, folder)
    monkeypatch.setattr(profiles, "PROFILES", folder)

    def write() -> dict[str, str]:
        values = {"profile": "smoke"}
        for name in names:
            jobs.write_notebook_plan(tmp_path / f"{name}.json", name, values, plans.plan(name, values))
        return {name: (tmp_path / f"{name}.json").read_text() for name in names}

    def changed(old: str, new: str) -> set[str]:
        before, path = write(), folder / "smoke.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
        after = write()
        return {name for name in names if before[name] != after[name]}

    assert changed("\nsegmenter_batch: 4\n", "\nsegmenter_batch: 2\n") == {"01_datasets", "05_synthetic_boost"}
    assert changed("switch_steps: [0, 400, 1000]", "switch_steps: [0, 300]") == {"01_datasets", "04_switch_step"}
