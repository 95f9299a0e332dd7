"""Work counted from plans, hours by hand from speeds of known answer, commands that the command line takes."""

from __future__ import annotations

import shlex

import numpy as np
import pandas as pd
import pytest

from defectlib.experiments import cost, hours, plans
from defectlib.experiments.cost import Cost
from defectlib.plots import tables
from defectlib.profiles import load_profile
from defectlib.publishing import parameters
from defectlib.runtime import REPOSITORY
from defectlib.settings import MODEL_NAMES, Throughput


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
        assert {each.batch for each in stage.segmenters} == {profile.segmenter_batch}
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
    assert hours.of_machine(again) == "1 core of this CPU"


# What has to be done ------------------------------------------------------------------------------------------------


def test_trainings_are_counted_once(study):
    table = hours.by_table(study.work)
    seeds, products, mvtec = 3, 22, 15
    assert table.at["Table 3", "trainings"] == 8 * seeds * products
    # Two nets for each product, and two models at five ratios; without pairs both are in Table 3.
    assert table.at["Figure 8; Table 4, MVTec", "trainings"] == 2 * mvtec + 2 * 5 * seeds * mvtec
    assert table.at["Figure 8; Table 4, MVTec", "shared"] == 2 * seeds * mvtec
    assert table.loc["Table 4, VISION", ["trainings", "shared"]].tolist() == [2 * 5 + seeds * 5, seeds * 5]
    assert table.loc["Table 4, Cotton-Fabric", ["trainings", "shared"]].tolist() == [2 + seeds, seeds]
    assert (table.loc["everything"] == table.iloc[:-1].sum()).all()


def test_steps_and_calls_are_those_of_the_settings(study):
    gpu, work = load_profile("gpu"), study.work
    for net in ("large", "small"):
        assert work.at[("Table 4, Cotton-Fabric", net, "step", 256), "images"] == 160_000 * 2
    types = len(gpu.data("defect_spectrum/cotton_fabric").classes)
    calls = hours.by_table(work).at["Table 4, Cotton-Fabric", "calls"]
    assert calls == gpu.num_inference_steps * types * gpu.shots
    images = work.at[("Table 3", "DL", "step", 256), "images"]
    assert images == 22 * 3 * gpu.segmenter_steps * gpu.segmenter_batch
    assert work.at[("Table 2", "DL", "call", 512), "images"] == 3 * (3 + 100)


def test_operations_are_those_of_the_whole_setting(study):
    row = study.work.loc[("Table 3", "UNet", "step", 256)]
    # Convolutions take as many operations for every pixel: 256 px a side are 64 times 32 px.
    here = study.speeds.loc[("UNet", "step")]
    assert row["operations"] / row["images"] == pytest.approx(here["operations"] / here["images"] * 64, rel=1e-3)


def test_rivals_are_said_to_be_left_out(study):
    rivals = cost.uncounted(study.beside().stages)
    assert rivals == ["CycleGAN", "SinGAN"]
    assert all(cost.uncounted(job.stages) == [] for job in study.jobs())
    assert "The controls also train CycleGAN and SinGAN" in hours.notes(study.work, study.speeds, None, rivals)[-1]


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
        ("A", "large", "step", 256): (1, 0, 10, 7.2e12),
        ("A", "UNet", "step", 256): (2, 0, 20, 3.6e12),
        ("B", "large", "call", 256): (0, 0, 30, 1.8e12),
        ("B", "DL", "step", 256): (1, 2, 40, 3.6e12),
    }
    index = pd.MultiIndex.from_tuples(rows, names=["makes", "network", "work", "side"])
    return pd.DataFrame(list(rows.values()), index, columns=["trainings", "shared", "images", "operations"])


def speeds(**about) -> pd.DataFrame:
    """A billion operations in a second in steps of the large net, two in its calls, half of one in those of UNet."""
    rows = {("large", "step"): 2e9, ("large", "call"): 4e9, ("UNet", "step"): 1e9, ("UNet", "call"): 1e9}
    frame = pd.DataFrame({"operations": rows}).rename_axis(["network", "work"])
    frame = frame.assign(side=32, images=4, seconds=2.0, seconds_low=1.0, seconds_high=4.0)
    frame.attrs["provenance"] = {"accelerator": "", "threads": 1} | about
    return frame


def test_hours_are_operations_over_speed():
    found = hours.hours(work(), speeds())
    np.testing.assert_allclose(found["hours"], [2.0, 2.0, 0.25, 2.0])
    np.testing.assert_allclose(found["hours_low"], found["hours"] / 2)
    np.testing.assert_allclose(found["hours_high"], found["hours"] * 2)


def test_a_baseline_without_a_time_is_as_slow_as_the_slowest():
    assert hours.untimed(work(), speeds()) == ["DL"]
    slower = pd.concat([speeds(), speeds().rename({"UNet": "M2F"}).loc[["M2F"]].assign(seconds=8.0)])
    assert hours.hours(work(), slower)["hours"].tolist() == [2.0, 2.0, 0.25, 8.0]
    assert "as slow as the slowest: DL." in hours.notes(work(), speeds(), None, [])[-1]


def test_sums_by_table_and_by_share():
    found = hours.hours(work(), speeds())
    table = hours.by_table(found)
    assert table["hours"].tolist() == [4.0, 2.25, 6.25]
    assert table["calls"].tolist() == [0, 30, 30]
    shares = hours.by_share(found)
    assert shares["hours"].to_dict() == {
        ("A", "large nets"): 2.0,
        ("A", "baselines"): 2.0,
        ("B", "sampling"): 0.25,
        ("B", "baselines"): 2.0,
        ("everything", "large nets"): 2.0,
        ("everything", "baselines"): 4.0,
        ("everything", "sampling"): 0.25,
    }


def test_without_a_gpu_its_column_is_empty_and_says_so():
    shown = hours.in_words(work(), speeds(), None)
    assert shown["GPU-hours"].tolist() == ["", "", ""]
    assert shown.at["A", "hours, 1 core of this CPU"].replace("\N{NO-BREAK SPACE}", " ") == "4.00 [2.00, 8.00]"
    assert "Nothing was measured on a GPU: no numbers of record are called throughput_cuda." in hours.notes(
        work(), speeds(), None, []
    )


def test_with_numbers_of_record_from_a_gpu_its_hours_stand_in_a_column_of_their_own():
    gpu = speeds(accelerator="NVIDIA H100").assign(seconds=0.002, seconds_low=0.002, seconds_high=0.002)
    shown = hours.in_words(work(), speeds(), gpu)
    column = shown["hours, NVIDIA H100"].str.replace("\N{NO-BREAK SPACE}", " ")
    assert column["everything"] == "0.00625 [0.00625, 0.00625]"
    assert not [note for note in hours.notes(work(), speeds(), gpu, []) if "GPU" in note]


def test_the_conclusion_gives_hours_years_and_what_they_go_to():
    large = work().assign(operations=lambda frame: frame["operations"] * 1e6)
    said = [sentence.replace("\N{NO-BREAK SPACE}", " ") for sentence in hours.conclusion(large, speeds())]
    assert said == [
        "Everything is 16.2 EFLOP: 6,250,000 [3,120,000, 12,500,000] hours of 1 core of this CPU, or 713 years.",
        "44 % of the operations train generators, two nets for each product.",
    ]


def test_speeds_in_words():
    shown = hours.speeds_in_words(speeds()).loc[("large", "step")]
    assert shown.drop("ms").tolist() == ["4 of 32 px", "2.00", "1.00"]
    assert shown["ms"].replace("\N{NO-BREAK SPACE}", " ") == "2,000 [1,000, 4,000]"
    assert hours.speeds_in_words(None) is None
