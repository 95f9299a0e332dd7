"""The simulated annotator on tiny sets: what is written follows from masks, a cut run goes on, replays are read."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from defectclick import evaluation, sam_weights
from defectclick.classical import FloodFill
from defectclick.clicks import Click
from defectclick.evaluation import boundary_f, iou, outline_vertices, tolerance
from defectlib.data.loading import load_eval
from defectlib.errors import UserError
from defectlib.settings import Clicking, EmbeddedData
from defectlib.store import UNFINISHED

DATA = EmbeddedData(product="softgel", size=32, shots=1, eval_count=4)
SETTINGS = Clicking(data=DATA, method="flood fill", clicks=4, images=3)


class Perfect:
    """Adds one column of the truth with every click, and never errs."""

    name = "perfect"

    def __init__(self, truth):
        self.truth = truth

    def segment(self, image, clicks, previous):
        assert previous.sum() == min(len(clicks) - 1, 10)
        columns = np.flatnonzero(self.truth.any(axis=0))[: len(clicks)]
        return self.truth & np.isin(np.arange(self.truth.shape[1]), columns)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("clicking")
    evaluation.run(SETTINGS, {}, out)
    return out


@pytest.fixture(scope="module")
def objects(made):
    return json.loads((made / evaluation.OBJECTS).read_text())["objects"]


def test_the_annotator_clicks_where_it_is_wrong_and_stops_when_content():
    truth = np.zeros((8, 12), bool)
    truth[2, 1:11] = True
    steps = list(evaluation.annotate(Perfect(truth), np.zeros((8, 12, 3), np.uint8), truth, most=20))
    assert len(steps) == 10
    assert [iou(mask, truth) for _, mask in steps] == pytest.approx([k / 10 for k in range(1, 11)])
    assert all(truth[click.row, click.column] and click.positive for click, _ in steps)
    assert len({click for click, _ in steps}) == 10
    assert len(list(evaluation.annotate(Perfect(truth), np.zeros((8, 12, 3), np.uint8), truth, most=3))) == 3


def test_every_type_of_an_image_is_a_defect(objects):
    samples = [load_eval(DATA)[number] for number in evaluation.chosen(load_eval(DATA), 3)]
    expected = [(sample.key, name) for sample in samples for name in sample.present]
    assert [(one["key"], one["defect"]) for one in objects] == expected
    by_key = {sample.key: sample for sample in load_eval(DATA)}
    for one in objects:
        sample = by_key[one["key"]]
        assert load_eval(DATA)[one["number"]] is sample
        assert one["area"] == (sample.mask == sample.classes.index(one["defect"]) + 1).sum()
        assert one["pixels"] == 32 * 32


def test_what_is_written_is_what_the_method_made(objects):
    by_key = {sample.key: sample for sample in load_eval(DATA)}
    for one in objects:
        sample = by_key[one["key"]]
        truth = sample.mask == sample.classes.index(one["defect"]) + 1
        clicks, mask = [], np.zeros_like(truth)
        for number, place in enumerate(one["clicks"]):
            clicks.append(Click(*place[:2], positive=bool(place[2])))
            mask = FloodFill().segment(sample.image, clicks, mask)
            assert one["ious"][number] == pytest.approx(iou(mask, truth), abs=1e-5)
            assert one["boundary"][number] == pytest.approx(boundary_f(mask, truth), abs=1e-5)
        assert one["vertices"][1] == outline_vertices(truth, tolerance(truth.shape) / 2)
        assert len(one["repairs"]) == len(one["clicks"]) <= 4


def test_replays_are_of_the_first_defects_of_each_type_and_hold_every_mask(made, objects):
    kept = [one for one in objects if one["replay"]]
    assert {one["defect"] for one in kept} == {one["defect"] for one in objects}
    assert {path.name for path in (made / evaluation.REPLAYS).iterdir()} == {one["replay"] for one in kept}
    for one in kept:
        truth, *masks = evaluation.read_replay(made / evaluation.REPLAYS / one["replay"], len(one["clicks"]))
        assert truth.shape == (32, 32)
        assert truth.sum() == one["area"]
        assert [iou(mask, truth) for mask in masks] == pytest.approx(one["ious"], abs=1e-5)


def test_types_take_turns_and_images_without_a_defect_are_left_out():
    plain = load_eval(DATA)[0]
    masks = [1, 1, 1, 0, 2, 2, 3]
    samples = [replace(plain, mask=np.full_like(plain.mask, one)) for one in masks]
    assert evaluation.chosen(samples, 3) == [0, 4, 6]
    assert evaluation.chosen(samples, 4) == [0, 1, 4, 6]
    assert evaluation.chosen(samples, None) == [0, 1, 2, 4, 5, 6]
    assert evaluation.chosen(samples, 99) == [0, 1, 2, 4, 5, 6]


def test_no_more_replays_than_two_of_a_type():
    samples = load_eval(DATA.model_copy(update={"eval_count": 30}))
    shown = evaluation.first_of_each(samples)
    for name in samples[0].classes:
        have = [name in types for types in shown]
        assert sum(have) == evaluation.SHOWN
        first = [k for k, sample in enumerate(samples) if name in sample.present][: evaluation.SHOWN]
        assert [k for k, one in enumerate(have) if one] == first


def test_a_run_that_was_cut_off_goes_on_and_ends_the_same(made, objects, tmp_path):
    (tmp_path / UNFINISHED).mkdir()
    first = json.loads((made / UNFINISHED / "00000.json").read_text())
    first["seconds"] = [1e6]
    (tmp_path / UNFINISHED / "00000.json").write_text(json.dumps(first))
    for picture in (made / UNFINISHED).glob("00000-*.png"):
        (tmp_path / UNFINISHED / picture.name).write_bytes(picture.read_bytes())
    evaluation.run(SETTINGS, {}, tmp_path)
    assert json.loads((tmp_path / UNFINISHED / "00000.json").read_text()) == first  # not done again
    assert json.loads((tmp_path / evaluation.OBJECTS).read_text())["objects"] == objects
    for picture in (made / evaluation.REPLAYS).iterdir():
        assert (tmp_path / evaluation.REPLAYS / picture.name).read_bytes() == picture.read_bytes()


def test_sam_without_weights_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(sam_weights, "find", lambda: None)
    with pytest.raises(UserError, match="Segment Anything was not run: its weights are not on this machine"):
        evaluation.run(Clicking(data=DATA, method="SAM"), {}, tmp_path)


@pytest.mark.parametrize("method", ["flood fill", "GrabCut", "random walker"])
def test_a_method_is_found_by_its_name(method):
    assert evaluation.clicker(Clicking(data=DATA, method=method), {}).name == method
