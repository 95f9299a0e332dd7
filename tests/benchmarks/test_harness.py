"""The arithmetic of a comparison, and that each benchmark runs and returns what the page reads; nothing is timed."""

from __future__ import annotations

import json
import math
from itertools import count

import pandas as pd
import pytest
import torch

from benchmarks import __main__ as runner
from benchmarks import baselines, harness, results
from benchmarks.harness import Finding, Floor, by_turns, geometric_mean, roofline, spread
from defectlib.plots import tables


@pytest.fixture
def _rates(monkeypatch):
    monkeypatch.setattr(harness, "peak", lambda device, dtype: {"fp32": 100.0, "bf16": 400.0}[dtype])
    monkeypatch.setattr(harness, "bandwidth", lambda device: 10.0)


def test_ways_take_turns_forth_and_back_after_the_warm_up():
    called = []
    ways = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = by_turns(ways, rounds=3, warm_up=2)
    assert "".join(called) == "aabb" + "ab" + "ba" + "ab"
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 3, "b": 3}
    assert min(min(taken) for taken in seconds.values()) >= 0


def test_quartiles_and_geometric_means():
    assert spread([1, 2, 3, 4, 5]) == (2, 3, 4)
    assert geometric_mean([[1, 4], [4, 9]]) == pytest.approx([2, 6])


@pytest.mark.usefixtures("_rates")
def test_a_floor_is_what_takes_longer_of_arithmetic_and_bytes():
    assert roofline(200, 10).seconds == 2
    assert "arithmetic in fp32" in roofline(200, 10).of
    assert roofline(200, 10, dtype="bf16") == Floor(1, "bytes, at the rate of a copy")


def test_rates_are_those_of_real_work():
    assert harness.peak(harness.CPU, "fp32") > 1e8
    assert harness.best(lambda: None) < 1


def test_the_ratio_is_taken_round_by_round_and_set_beside_the_goal():
    found = Finding("b", "c", "image", "ours", [1, 1, 4], "plain", [2, 3, 4], floor=Floor(0.25, "bytes"), goal=2).row()
    assert (found["ratio_low"], found["ratio"], found["ratio_high"]) == (1.5, 2, 2.5)
    assert found["ratio"] != found["plain"] / spread([1, 1, 4])[1]
    assert (found["ours"], found["above_floor"], found["met"], found["rounds"]) == (1, 4, True, 3)
    assert Finding("b", "c", "image", "ours", [1], "plain", [1], goal=2).row()["met"] is False


def test_what_has_no_plain_way_no_floor_or_no_goal_says_nothing_of_it():
    alone = Finding("b", "c", "image", "ours", [1, 2, 3]).row()
    assert [alone[key] for key in ("plain", "ratio", "floor", "above_floor", "goal", "met")] == [None] * 6
    mean = Finding("b", "mean", "image", "ours", (), ratios=[2, 4], goal=2).row()
    assert (mean["ours"], mean["ratio"], mean["met"], mean["rounds"]) == (None, 3, True, 2)


def test_a_model_beyond_the_tolerance_counts_as_no_faster(monkeypatch):
    from defectlib.profiles import load_profile

    settings = load_profile("smoke").segmenter_timing("softgel")
    with torch.inference_mode():
        assert baselines._compared("UNet", settings, harness.CPU, 2).ratios != [1.0, 1.0]
        monkeypatch.setattr(baselines.optimise, "within", lambda found, dtype: False)
        found = baselines._compared("UNet", settings, harness.CPU, 2)
    assert found.ratios == [1.0, 1.0]
    assert "beyond the tolerance" in found.note


# Every benchmark, tiny ----------------------------------------------------------------------------------------------

GOALS = {
    "sampling": {25},
    "training": {1.3},
    "baselines": {1.5},
    "confusion": {5},
    "loading": {5},
    "listing": set(),
    "store": set(),
    "start-up": set(),
}


@pytest.mark.parametrize("name", GOALS)
def test_a_benchmark_runs_tiny_and_returns_what_the_page_reads(name, monkeypatch):
    if name == "start-up":
        monkeypatch.setattr("benchmarks.startup.TORCH", "")  # seconds, and nothing else
    monkeypatch.setattr(harness, "peak", lambda device, dtype: 1e12)
    monkeypatch.setattr(harness, "bandwidth", lambda device: 1e12)
    rows, left_out = runner.measure([name], tiny=True)
    assert left_out == {}
    assert {row["goal"] for row in rows if row["goal"]} == GOALS[name]
    for row in rows:
        assert row["benchmark"] == name
        assert row["ours"] is None or row["ours_low"] <= row["ours"] <= row["ours_high"]
        assert row["ratio"] is None or math.isfinite(row["ratio"])
        assert row["floor"] is None or row["floor"] > 0
        assert harness.in_words(row).startswith(f"{name}, {row['case']} (cpu): ")


def test_the_committed_page_is_that_of_the_committed_results():
    assert results.page() == (runner.runtime.REPOSITORY / "benchmarks" / "RESULTS.md").read_text()


def test_a_part_without_results_says_so(tmp_path):
    assert results.page(tmp_path).count("No results yet.") == 4


# The runner ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A repository to write into, and rates that need no large matrix."""
    monkeypatch.setattr(runner.runtime, "REPOSITORY", tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    rates = {"bytes_per_second": 1.0, "operations_per_second": {}, "accelerator": ""}
    monkeypatch.setattr(harness, "hardware", lambda: {"cpu": rates})
    numbers = count(1)
    of = {name: Finding(name, "c", "image", "ours", [next(numbers)]) for name in runner.BENCHMARKS}
    monkeypatch.setattr(runner, "_run", lambda name, tiny: iter([of[name]]))
    before = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(before)


def test_one_file_in_the_form_of_a_record(places, capsys):
    assert runner.main(["store", "training"]) == 0
    found = tables.record("bench", places / "build")
    assert [benchmark for benchmark, _, _ in found.index] == ["store", "training"]
    assert found.attrs["provenance"]["threads"] == 1
    assert not (places / "results").exists()
    assert "store, c (cpu): 7 s per image" in capsys.readouterr().out


def test_only_all_of_it_becomes_the_record(places, capsys):
    assert runner.main(["store", "--record"]) == 2
    assert "--record wants every benchmark" in capsys.readouterr().err
    assert not (places / "build").exists()
    assert runner.main(["--record"]) == 0
    assert len(tables.record("benchmarks", places / "results")) == len(runner.BENCHMARKS)


def test_an_unknown_benchmark_is_told_in_one_line(places, capsys):
    assert runner.main(["trainnig"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("unknown benchmark 'trainnig': known are sampling, training")
    assert error.count("\n") == 1


def test_what_is_left_out_is_named_with_its_reason(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("benchmarks.book.REPOSITORY", tmp_path)
    rows, left_out = runner.measure(["book"], tiny=True)
    assert rows == []
    assert left_out == {"book": "no finished book of profile cpu: run make book first"}
    assert "left out" in capsys.readouterr().out


def test_the_file_can_be_read_without_this_package(places):
    runner.main(["store"])
    content = json.loads((places / "build" / "bench.json").read_text())
    assert dict(zip(content["columns"], content["rows"][0], strict=True))["ours"] == 7
    assert isinstance(pd.DataFrame(content["rows"], columns=content["columns"]), pd.DataFrame)
