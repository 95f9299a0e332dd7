"""Work counted from plans, hours by hand from speeds of known answer, commands that the command line takes."""

from __future__ import annotations

import shlex

import numpy as np
import pandas as pd
import pytest

from defectlib.experiments import cost, plans
from defectlib.experiments.cost import Cost
from defectlib.plots import tables
from defectlib.profiles import load_profile
from defectlib.publishing import parameters
from defectlib.runtime import REPOSITORY
from defectlib.settings import MODEL_NAMES, RivalTraining, SegmenterTraining, Throughput


@pytest.fixture(scope="module")
def study(smoke, store) -> Cost:
    made = Cost(smoke, store=store)
    made.build()
    return made


# What was measured --------------------------------------------------------------------------------------------------


def test_one_stage_that_trains_nothing(study, nothing_runs, capsys):
    (stage,) = study.stages()
    assert isinstance(stage, Throughput)
    assert stage.inputs() == {}
    study.build()
    assert capsys.readouterr().err == ""


def test_every_network_is_timed_at_the_profile_s_size():
    gpu = load_profile("gpu")
    for name in ("cpu", "gpu"):
        profile, stage = load_profile(name), Cost(load_profile(name)).throughput
        assert [each.model for each in stage.segmenters] == list(MODEL_NAMES)
        assert {each.batch for each in stage.segmenters} == {
            profile.segmenter.get("batch", SegmenterTraining.model_fields["batch"].default)
        }
        assert not any(each.pretrained for each in stage.segmenters)
        # How many operations a second a net does depends on its width, so both profiles time the paper's.
        assert [each.net for each in stage.denoisers] == [gpu.large_net, gpu.small_net(gpu.receptive_field)]
        assert {each.batch for each in stage.denoisers} == {2}
        assert {each.data.size for each in (*stage.denoisers, *stage.segmenters)} == {profile.size}
        assert stage.rounds == 3


def test_the_smoke_profile_times_its_own_nets(smoke):
    stage = Cost(smoke).throughput
    assert [each.net for each in stage.denoisers] == [smoke.large_net, smoke.small_net(smoke.receptive_field)]
    assert (stage.device, {each.dtype for each in stage.denoisers}) == ("cpu", {"fp32"})


def test_a_gpu_is_called_on_as_many_images_as_are_sampled_together():
    stage = Cost(load_profile("gpu", device="cuda")).throughput
    assert (stage.device, stage.pairs) == ("cuda", 25)
    assert {(each.device, each.dtype) for each in (*stage.denoisers, *stage.segmenters)} == {("cuda", "bf16")}


def test_speeds_are_medians_and_survive_a_file(study, tmp_path):
    ((name, (frame, provenance)),) = study.records().items()
    assert name == "throughput_cpu"
    tables.write_record(name, frame, provenance, tmp_path)
    again = tables.record(name, tmp_path)
    pd.testing.assert_frame_equal(again, study.speeds)
    assert (frame["seconds_low"] <= frame["seconds"]).all()
    assert (frame["seconds"] <= frame["seconds_high"]).all()


# What has to be done ------------------------------------------------------------------------------------------------


def test_trainings_are_counted_once(study):
    trainings = study.work.groupby(level="makes")["trainings"].sum()
    seeds, products, mvtec = 3, 22, 15
    assert trainings["Table 3"] == 8 * seeds * products
    # Two nets for each product, and two models at five ratios; without pairs both are in Table 3.
    assert trainings["Figure 8; Table 4, MVTec"] == 2 * mvtec + 2 * 5 * seeds * mvtec
    assert trainings["Table 4, VISION"] == 2 * 5 + seeds * 5
    assert trainings["Table 4, Cotton-Fabric"] == 2 + seeds


def test_steps_and_calls_are_those_of_the_settings(study):
    gpu, steps = load_profile("gpu"), study.work["steps"]
    assert steps["Table 4, Cotton-Fabric", "large", "step", 256] == 160_000
    assert steps["Table 4, Cotton-Fabric", "small", "step", 256] == 160_000
    types = len(gpu.data("defect_spectrum/cotton_fabric").classes)
    calls = steps.xs("Table 4, Cotton-Fabric").xs("call", level="work").sum()
    assert calls == gpu.num_inference_steps * types * gpu.shots
    assert steps["Table 3", "DL", "step", 256] == 22 * 3 * gpu.segmenter["steps"]
    assert steps["Table 2", "DL", "call", 512] == 3 * (3 + 100)


def test_operations_are_those_of_the_whole_setting(study):
    row = study.work.loc[("Table 3", "UNet", "step", 256)]
    # Convolutions take as many operations for every pixel: 256 px a side are 64 times 32 px.
    here = study.speeds.loc[("UNet", "step")]
    images = row["steps"] * load_profile("gpu").segmenter["batch"]
    assert row["operations"] / images == pytest.approx(here["operations"] / here["images"] * 64, rel=1e-3)


def test_only_two_rivals_of_the_controls_are_left_out(study):
    def rivals(stages):
        return {each.method for each in cost.every_stage(stages, set()) if isinstance(each, RivalTraining)}

    assert rivals(study.beside().stages) == {"CycleGAN", "SinGAN"}  # as the chapter says
    assert not any(rivals(job.stages) for job in study.jobs())


# Commands -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(5))
def test_a_command_makes_what_was_counted(study, monkeypatch, tmp_path, number):
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path / "none"))
    job = study.jobs()[number]
    program, command, source, _, flag, document = shlex.split(job.command)
    assert (program, command, flag) == ("defectlib", "run-notebook", "-y")
    declared = parameters.declared(REPOSITORY / source)
    values = parameters.parse([], document, declared)
    parameters.check(source, values, declared)
    planned = set(plans.plan(job.notebook, values))
    assert set(job.stages) <= planned
    assert planned - set(job.stages) <= set(study.beside().stages)


def test_no_command_overwrites_what_another_has_made(study):
    outs = [shlex.split(job.command)[3] for job in study.jobs()]
    assert outs[0] == "table-2.ipynb"
    assert len(set(outs)) == len(outs)


# Hours --------------------------------------------------------------------------------------------------------------


def work() -> pd.DataFrame:
    rows = {
        ("A", "large", "step", 256): (1, 10, 7.2e12),
        ("A", "UNet", "step", 256): (2, 20, 3.6e12),
        ("B", "large", "call", 256): (0, 30, 1.8e12),
        ("B", "DL", "step", 256): (1, 40, 3.6e12),
    }
    index = pd.MultiIndex.from_tuples(rows, names=["makes", "network", "work", "side"])
    return pd.DataFrame(list(rows.values()), index, columns=["trainings", "steps", "operations"])


def speeds() -> pd.DataFrame:
    """A billion operations in a second in steps of the large net, two in its calls, half of one in those of UNet."""
    rows = {("large", "step"): 2e9, ("large", "call"): 4e9, ("UNet", "step"): 1e9, ("UNet", "call"): 1e9}
    frame = pd.DataFrame({"operations": rows}).rename_axis(["network", "work"])
    return frame.assign(side=32, images=4, seconds=2.0, seconds_low=1.0, seconds_high=4.0)


def test_hours_are_steps_times_the_seconds_of_a_step():
    found = cost.hours(work(), speeds())
    np.testing.assert_allclose(found["hours"], [2.0, 2.0, 0.25, 2.0])  # DL, not timed, is as slow as the slowest
    np.testing.assert_allclose(found["steps"] * found["seconds"] / 3600, found["hours"])
    np.testing.assert_allclose(found["hours_low"], found["hours"] / 2)
    np.testing.assert_allclose(found["hours_high"], found["hours"] * 2)
    assert found["share"].tolist() == ["large nets", "baselines", "sampling", "baselines"]
    assert cost.by_table(found)["hours"].to_dict() == {"A": 4.0, "B": 2.25, "everything": 6.25}


def test_a_baseline_without_a_time_is_as_slow_as_the_slowest():
    slower = pd.concat([speeds(), speeds().rename({"UNet": "M2F"}).loc[["M2F"]].assign(seconds=8.0)])
    assert cost.hours(work(), slower)["hours"].tolist() == [2.0, 2.0, 0.25, 8.0]
