"""The latency study under the smoke profile; what it says of tables of known answer."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from defectlib.errors import UserError
from defectlib.experiments import plans, speed
from defectlib.experiments.speed import Speed
from defectlib.plots import paper, tables
from defectlib.profiles import load_profile
from defectlib.settings import MODEL_NAMES, SegmenterTiming


@pytest.fixture(scope="module")
def study(smoke, store) -> Speed:
    made = Speed(smoke.model_copy(update={"speed": smoke.speed.model_copy(update={"models": ("UNet",)})}), store=store)
    made.build()
    return made


def test_one_stage_with_the_profile_s_budget(study, nothing_runs, capsys):
    (stage,) = study.stages()
    assert isinstance(stage, SegmenterTiming)
    assert (stage.models, stage.data.size, stage.rounds) == (("UNet",), 64, 3)
    study.build()
    assert capsys.readouterr().err == ""


def test_where_nothing_is_said_every_baseline_is_timed():
    assert plans.speed("cpu").timing.models == plans.speed("gpu").timing.models == tuple(MODEL_NAMES)
    assert [load_profile(name).speed.size for name in ("smoke", "cpu", "gpu")] == [64, 256, 512]


def test_parameters_of_the_notebook_change_the_budget():
    timing = plans.speed("cpu", product="washer", models=["DL"], size=128, rounds=5).timing
    assert (timing.models, timing.data.size, timing.rounds, timing.data.product) == (("DL",), 128, 5, "washer")
    with pytest.raises(UserError, match="setting 'size' of Speed"):
        plans.speed(size=8)
    with pytest.raises(UserError, match="did you mean 'DL'"):
        plans.plan("13_speed", {"models": ["D"]})


def test_the_table_is_of_medians_and_quartiles_in_milliseconds(study):
    (record,) = json.loads((study.path(study.timing) / "latency.json").read_text())["models"]
    row = study.table.loc["UNet"]
    for way in speed.WAYS:
        ordered = sorted(1e3 * np.array(record["ways"][way]["seconds"]))
        assert row[way] == pytest.approx(ordered[1])
        assert row[f"{way}_low"] == pytest.approx((ordered[0] + ordered[1]) / 2)
        assert row[f"{way}_high"] == pytest.approx((ordered[1] + ordered[2]) / 2)
    assert row["parameters"] == record["parameters"]
    assert row["onnx_within"] == True  # noqa: E712 (a numpy bool)


def test_numbers_of_record_survive_a_file_and_say_where_they_come_from(study, tmp_path):
    ((name, (frame, provenance)),) = study.records().items()
    assert name == "speed_cpu"
    tables.write_record(name, frame, provenance, tmp_path)
    again = tables.record(name, tmp_path)
    assert speed.readable(again).equals(speed.readable(study.table))
    assert again.attrs["provenance"]["sides"] == [64, 64]
    assert (again.attrs["provenance"]["threads"], again.attrs["provenance"]["accelerator"]) == (1, "")


# What is said -------------------------------------------------------------------------------------------------------


def table(**about) -> pd.DataFrame:
    rows = {
        "UNet": {"eager": 40.0, "optimised": 20.0, "onnx": 10.0, "optimised_within": True, "onnx_within": True},
        "M2F": {"eager": 90.0, "optimised": 30.0, "onnx": np.nan, "optimised_within": False, "onnx_reason": "no way"},
    }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    for way in speed.WAYS:
        frame[f"{way}_low"], frame[f"{way}_high"] = 0.9 * frame[way], 1.1 * frame[way]
    frame["parameters"], frame["multiply_adds"] = [4_400_000, 25_300_000], [6_810_000_000, 14_490_000_000]
    frame["optimised_probability"], frame["optimised_changed"], frame["done"] = 0.01, 0.02, "folded"
    where = {"machine": "a PC", "device": "cpu", "finished": "2026-01-01", "commit": "abc", "accelerator": ""}
    frame.attrs["provenance"] = where | {"sides": [64, 64]} | about
    return frame


def test_times_in_words_flag_what_is_beyond_the_tolerance():
    shown = speed.readable(table()).map(lambda text: text.replace("\N{NO-BREAK SPACE}", " "))
    assert shown.loc["UNet"].tolist() == ["4.4", "6.81", "40.0 [36.0, 44.0]", "20.0 [18.0, 22.0]", "10.0 [9.0, 11.0]"]
    assert shown.loc["M2F"].tolist() == ["25.3", "14.49", "90.0 [81.0, 99.0]", "30.0† [27.0, 33.0]", "none"]
    assert speed.readable(None) is None


def test_differences_say_what_is_within_the_tolerance_and_why_a_way_is_missing():
    found = speed.differences(table())
    assert found.loc["UNet", ["optimised: probability", "optimised: changed pixels (%)"]].tolist() == [
        "1.0e-02",
        "2.00",
    ]
    assert found["optimised: within"].tolist() == [True, False]
    assert found.at["M2F", "ONNX Runtime, CPU: reason"] == "no way"


def test_the_fastest_and_the_gain():
    assert speed.fastest(table()).T.to_dict("list") == {
        "eager": ["UNet", 40.0, 1.0, 1.0, 1.0],
        "optimised": ["UNet", 20.0, 2.5, 2.0, 3.0],
        "ONNX Runtime, CPU": ["UNet", 10.0, 4.0, 4.0, 4.0],
    }


def test_every_column_of_table_2_names_its_machine():
    gpu = speed.eager(table(accelerator="NVIDIA H100", sides=[512, 512], device="cuda"))
    shown = tables.table2(speed.eager(table()), [gpu], ["A note."])
    columns = ["paper, RTX 3090", "reference, NVIDIA H100, 512×512 px", "this run, CPU, 64×64 px"]
    assert list(shown.frame.columns) == ["model", *columns]
    assert list(shown.frame["model"]) == list(paper.table2().index)
    assert shown.frame.set_index("model").loc["UNet"].tolist() == ["33.9", "40.0", "40.0"]
    assert shown.frame.set_index("model").loc["HR"].tolist() == ["15.7", "no reference", "not run"]
    assert shown.notes == ("A note.",)
