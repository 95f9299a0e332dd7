"""The soak on few pairs, killed once; and its slope against lines that are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import soak


def readings(slope, noise=0.0, count=200):
    """Of memory that grows by ``slope`` MB per 10,000 pairs."""
    draw = np.random.default_rng(0)
    pairs = np.linspace(2_000, 20_000, count).astype(int)
    memory = 300 + slope * pairs / 10_000 + noise * draw.standard_normal(count)
    return [soak.Reading(float(i), int(n), int(m * 2**20)) for i, (n, m) in enumerate(zip(pairs, memory, strict=True))]


@pytest.mark.parametrize("slope", [0.0, 5.0, -2.0])
def test_the_slope_is_found_within_its_interval(slope):
    assert soak.growth(readings(slope))["slope"] == pytest.approx(slope, abs=0.02)
    found = soak.growth(readings(slope, noise=1.0))
    assert found["low"] <= slope <= found["high"]
    assert found["high"] - found["low"] > 0.1
    assert soak.growth(readings(slope)[:3]) is None


def test_pairs_are_sampled_through_a_kill_in_flat_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "EVERY", 0.02)  # so few pairs may take less than a second
    found = soak.sampling(tmp_path, 150)
    assert found["written"] == found["pairs"] == 150
    assert 75 <= found["killed at"] < 150
    assert found["first pairs equal"] is True
    assert found["files"] == 2 * 150 + 4  # with captions, classes and two records of how they came to be
    assert found["progress (lines)"][1] < 60


def test_the_logs_of_a_training_are_measured(tmp_path):
    found = soak.logs(tmp_path, 60)
    assert found["TensorBoard log (bytes)"] > 6 * 3 * 20  # three values at each of six points
    assert found["loss curve (bytes)"] > 6 * 20
    assert found["lines a minute"] < 60
    assert found["loss curve of 160,000 steps (MB)"] < 2


def test_a_short_run_is_not_made_the_record(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["soak", "--pairs", "150", "--record"])
    with pytest.raises(SystemExit, match="2"):
        soak.main()
    assert "leave out --pairs" in capsys.readouterr().err
