"""Nets for the page: the table that the page samples by, and nets that are too large for one."""

from __future__ import annotations

import base64
import gzip
import json
import math

import numpy as np
import onnxruntime
import pytest
import torch

from defectlib.defectgen import live
from defectlib.defectgen.denoiser import build_denoiser
from defectlib.engine import RUNNERS
from defectlib.experiments import plans
from defectlib.settings import SmallNet
from defectlib.store import Store


def payload(path) -> bytes:
    name, text = path.read_text().removeprefix("LIVE.put(").rstrip(")\n").split(",")
    assert json.loads(name) == path.stem
    return gzip.decompress(base64.b64decode(json.loads(text)))


def test_table_holds_the_cosine_schedule_and_hands_over_at_u():
    table = live.sampling_table()
    cosine = [math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(1001)]
    for t in (0, 1, 400, 900):
        assert table["signal"][t] ** 2 == pytest.approx(cosine[t + 1] / cosine[0], abs=1e-5)
        assert table["signal"][t] ** 2 + table["noise"][t] ** 2 == pytest.approx(1)
    for count, steps in table["steps"].items():
        for u, (timesteps, large) in enumerate(zip(steps["timesteps"], steps["large"], strict=True)):
            assert len(timesteps) == count
            assert all(t >= u for t in timesteps[:large])
            assert all(t < u for t in timesteps[large:])


@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize("t", [0, 500, 999])
def test_exported_net_predicts_x_0_as_torch_does(prediction, t):
    denoiser = build_denoiser(SmallNet(receptive_field=9, channels=8, prediction=prediction), 6, seed=0).eval()
    x = torch.randn(1, 6, 32, 32, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(live.to_onnx(denoiser, 32), providers=["CPUExecutionProvider"])
    (x_0,) = session.run(["x_0"], {"x": x.numpy(), "t": np.array([t])})
    with torch.no_grad():
        expected = denoiser(x, torch.tensor([t])).numpy()
    np.testing.assert_allclose(x_0, expected, atol=live.TOLERANCE)
    assert session.get_inputs()[1].type == "tensor(int64)"


def test_net_above_the_limit_is_left_out_and_the_table_says_so(tmp_path, monkeypatch):
    (nets,) = plans.playground("smoke").live().values()
    inputs = {name: Store().build(stage, RUNNERS) for name, stage in nets.inputs().items()}
    monkeypatch.setattr(live, "LIMIT", 1)
    live.run(nets, inputs, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"table.js", "training.js"}
    table = json.loads(payload(tmp_path / "table.js"))
    assert [table["nets"][name]["there"] for name in ("large", "small9", "small17")] == [False] * 3
    assert len(payload(tmp_path / "training.js")) % math.prod([3, *table["shape"][2:]]) == 0
