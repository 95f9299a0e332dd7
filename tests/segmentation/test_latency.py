"""The timing of baselines: every model every way in every round, with its cost by closed form."""

from __future__ import annotations

import json
import time

import pytest
import torch
from torch import nn

from defectlib import clock
from defectlib.errors import UserError
from defectlib.segmentation import export, latency
from defectlib.segmentation.models import Segmenter, build, parameter_count
from defectlib.settings import EmbeddedData, SegmenterTiming

IMAGE = torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
DATA = EmbeddedData(product="softgel", size=32, shots=1)


def settings(**changes):
    return SegmenterTiming(**{"data": DATA, "models": ("UNet",), "machine": "this one", "rounds": 3, **changes})


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("latency")
    latency.run(settings(), {}, out)
    return json.loads((out / "latency.json").read_text())


def test_every_way_is_timed_in_every_round(found):
    assert (found["accelerator"], found["sides"], found["outputs"]) == ("", [32, 32], 6)
    (record,) = found["models"]
    assert record["model"] == "UNet"
    assert list(record["ways"]) == ["eager", "optimised", "onnx"]
    assert all(len(way["seconds"]) == 3 and min(way["seconds"]) > 0 for way in record["ways"].values())


def test_outputs_are_compared_with_those_of_eager(found):
    ways = found["models"][0]["ways"]
    assert ways["optimised"]["done"] == ["18 of 18 batch normalisations folded", "channels_last"]
    for way in ("optimised", "onnx"):
        assert ways[way]["within"] is True
        assert 0 < ways[way]["difference"]["probability"] < 1e-4


def test_outputs_beyond_the_tolerance_are_recorded_and_said_to_be(monkeypatch, tmp_path):
    monkeypatch.setitem(latency.optimise.TOLERANCE, "fp32", (1e-12, 0.0))
    latency.run(settings(rounds=2), {}, tmp_path)
    ways = json.loads((tmp_path / "latency.json").read_text())["models"][0]["ways"]
    assert (ways["optimised"]["within"], ways["onnx"]["within"]) == (False, False)
    assert len(ways["optimised"]["seconds"]) == 2


def test_a_model_without_an_onnx_file_has_no_time_and_a_reason(monkeypatch, tmp_path):
    def refuse(*_):
        raise UserError("it cannot be exported")

    monkeypatch.setattr(export, "to_onnx", refuse)
    latency.run(settings(rounds=2), {}, tmp_path)
    ways = json.loads((tmp_path / "latency.json").read_text())["models"][0]["ways"]
    assert ways["onnx"] == {"reason": "it cannot be exported", "seconds": []}
    assert len(ways["eager"]["seconds"]) == 2


def test_rounds_go_forth_and_back():
    order = []
    ways = [latency.Way({}, lambda name=name: order.append(name), torch.device("cpu")) for name in "abc"]
    latency._time(ways, 3)
    assert "".join(order) == "abccbaabc"


# Cost ---------------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Attention with one head over every pixel, as the fused kernels compute it."""

    def forward(self, x):
        tokens = x.flatten(2).mT.contiguous()[:, None]  # (N, 1, H W, 3)
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens).mT.reshape(x.shape)


PIXELS = 32 * 64
COSTS = {
    "convolution": (nn.Conv2d(3, 7, 5, padding=2), PIXELS * 3 * 7 * 25, 7 * (3 * 25 + 1)),
    "stride": (nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), PIXELS // 4 * 3 * 8 * 9, 8 * 3 * 9),
    "groups": (nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False), PIXELS * 3 * 9, 27),
    "attention": (Attention(), 2 * PIXELS * PIXELS * 3, 0),
}


@pytest.mark.parametrize(("net", "multiply_adds", "parameters"), COSTS.values(), ids=COSTS)
def test_multiply_adds_by_closed_form(net, multiply_adds, parameters):
    found = latency.cost(Segmenter(net, 32).eval(), IMAGE)
    assert found == {"multiply_adds": multiply_adds, "parameters": parameters}


def test_an_image_that_is_enlarged_costs_more():
    small, large = (latency.cost(build("DL", 2).eval(), torch.zeros(1, 3, side, side)) for side in (64, 128))
    assert small == large


def test_parameters_of_a_whole_network():
    model = build("UNet", 2).eval()
    assert latency.cost(model, IMAGE)["parameters"] == parameter_count(model)


def test_statistics_are_those_of_the_image():
    norm = nn.BatchNorm2d(3)
    model = latency.settled(Segmenter(norm, 32), IMAGE)
    seen = torch.cat([(IMAGE * share - model.mean) / model.std for share in latency.EXPOSURES])
    torch.testing.assert_close(norm.running_mean, seen.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(norm.running_var, seen.var(dim=(0, 2, 3)))
    assert (norm.training, norm.momentum, model.training) == (False, 0.1, False)


# Time ---------------------------------------------------------------------------------------------------------------


def test_the_clock_measures_the_work_and_threads_are_put_back():
    assert 0.02 < clock.clocked(lambda: time.sleep(0.02), torch.device("cpu")) < 1
    before = torch.get_num_threads()
    with clock.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_the_runtime_gets_as_many_threads(monkeypatch):
    content = export.to_onnx(build("UNet", 2).eval(), 32, 32)
    options = export.session(content, 2).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)


def test_another_machine_is_another_timing_and_models_must_be_known():
    assert settings().key() != settings(machine="another").key() != settings(threads=2).key()
    with pytest.raises(UserError, match="did you mean 'M-B0'"):
        settings(models=("MB0",))
