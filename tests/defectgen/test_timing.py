"""The timing of samplers on tiny nets: every point in every round, on as many threads as asked, with its pairs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from defectlib.clock import threads
from defectlib.data.folder import read_dataset
from defectlib.defectgen import synthesis, timing
from defectlib.settings import SamplerTiming
from tests.defectgen.conftest import LARGE, SMALL, SYNTHETIC

POINTS = (("ddpm", 40), ("ddim", 4), ("dpm++", 4))


def settings(**changes):
    values = {"large": LARGE, "small": SMALL, "points": POINTS, "machine": "this one", "rounds": 3}
    return SamplerTiming(**{**values, **changes})


@pytest.fixture(scope="module")
def out(store, tmp_path_factory):
    made = tmp_path_factory.mktemp("timing")
    timing.run(settings(), {"large": store.find(LARGE), "small": store.find(SMALL)}, made)
    return made


@pytest.fixture(scope="module")
def found(out):
    return json.loads((out / "timing.json").read_text())


def test_every_point_is_timed_in_every_round(found):
    assert [(point["sampler"], point["calls"]) for point in found["points"]] == list(POINTS)
    assert [(point["large"], point["small"]) for point in found["points"]] == [(24, 16), (2, 2), (2, 2)]
    assert all(len(point["seconds"]) == 3 and min(point["seconds"]) > 0 for point in found["points"])
    assert found["pairs"] == 2
    assert found["accelerator"] == ""


def test_ten_times_the_calls_take_longer_and_no_less_than_the_bare_nets(found):
    many, few, _ = (np.median(point["seconds"]) for point in found["points"])
    assert 3 < many / few < 30
    assert {net: len(seconds) for net, seconds in found["call_seconds"].items()} == {"large": 30, "small": 30}
    fastest = {net: min(seconds) for net, seconds in found["call_seconds"].items()}
    assert min(found["points"][0]["seconds"]) > 24 * fastest["large"] + 16 * fastest["small"]


def test_the_pairs_that_were_timed_are_the_first_of_the_set(out, store):
    timed = read_dataset(out / "ddim-4")
    assert [sample.key for sample in timed] == ["synthetic_000000", "synthetic_000001"]
    pipeline = synthesis.assemble(store.find(LARGE), store.find(SMALL))
    images, masks = synthesis.sample_pairs(pipeline, SYNTHETIC, range(2), 32)
    assert all(np.array_equal(pair.image, image) for pair, image in zip(timed, images, strict=True))
    assert all(np.array_equal(pair.mask, mask) for pair, mask in zip(timed, masks, strict=True))


def test_it_runs_on_the_threads_asked_for_and_puts_them_back(monkeypatch):
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_rounds_go_forth_and_back(store, monkeypatch):
    order, sample_pairs = [], timing.sample_pairs

    def watched(pipeline, one, indices, size):
        order.append((one.sampler, one.num_inference_steps))
        return sample_pairs(pipeline, one, indices, size)

    monkeypatch.setattr(timing, "sample_pairs", watched)
    points = (("ddim", 3), ("ddim", 4))
    sets = [timing._set(settings(), *point) for point in points]
    timing._timed(synthesis.assemble(store.find(LARGE), store.find(SMALL)), sets, 3, 32)
    assert order == [("ddim", 2), *points, *points[::-1], *points]


def test_another_machine_is_another_timing():
    assert settings().key() != settings(machine="another").key()
    assert settings().key() != settings(threads=2).key()
