"""The simulated annotator on tiny sets: what is written follows from masks, a cut run goes on, replays are read."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from skimage.draw import disk, polygon

from defectclick import evaluation, sam_weights
from defectclick import evaluation as measures
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


def test_what_is_written_is_what_the_method_made_of_every_type_of_an_image(objects):
    samples = [load_eval(DATA)[number] for number in evaluation.chosen(load_eval(DATA), 3)]
    expected = [(sample.key, name) for sample in samples for name in sample.present]
    assert [(one["key"], one["defect"]) for one in objects] == expected
    by_key = {sample.key: sample for sample in load_eval(DATA)}
    for one in objects:
        sample = by_key[one["key"]]
        truth = sample.mask == sample.classes.index(one["defect"]) + 1
        assert load_eval(DATA)[one["number"]] is sample
        assert (one["area"], one["pixels"]) == (truth.sum(), 32 * 32)
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


# Measures, against closed forms and a computation of their own --------------------------------------------------------


def square(side, top, left, length):
    mask = np.zeros((side, side), bool)
    mask[top : top + length, left : left + length] = True
    return mask


def test_iou_in_closed_form():
    a, b = square(20, 2, 2, 10), square(20, 2, 7, 10)  # they share one half of each
    assert measures.iou(a, b) == pytest.approx(50 / 150)
    assert measures.iou(a, a) == 1
    assert measures.iou(a, ~a) == 0
    assert measures.iou(a & ~a, a & ~a) == 1


def test_the_number_of_clicks_is_that_of_the_first_click_that_is_good_enough():
    ious = [0.5, 0.84, 0.9, 0.7, 0.95]
    assert [measures.clicks_to(ious, target) for target in measures.TARGETS] == [2, 3, 3]
    assert not measures.fails(ious, 0.95)
    assert measures.clicks_to(ious, 0.95) == 5
    assert measures.clicks_to(ious, 0.95, most=4) == 4
    assert measures.fails(ious, 0.95, most=4)
    assert measures.clicks_to(ious, 0.99) == measures.MOST_CLICKS
    assert measures.fails(ious, 0.99)


def test_boundary_f_in_closed_form():
    truth = square(64, 20, 20, 20)
    assert measures.boundary_f(truth, truth) == 1
    # Shrunk by the tolerance of one pixel: of 76 pixels of the true boundary only the corners are farther off.
    assert measures.boundary_f(square(64, 21, 21, 18), truth) == pytest.approx(2 * (72 / 76) / (1 + 72 / 76))
    assert measures.boundary_f(square(64, 23, 23, 14), truth) == 0
    assert measures.boundary_f(truth & ~truth, truth) == 0
    assert measures.boundary_f(truth & ~truth, truth & ~truth) == 1
    # A second square that is not there doubles the boundary: precision 1/2, recall 1.
    assert measures.boundary_f(truth | square(64, 42, 42, 20), truth) == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_boundary_f_against_all_pairs_of_boundary_pixels(seed):
    draw = np.random.default_rng(seed)
    masks = []
    for _ in range(2):
        mask = np.zeros((160, 200), bool)
        mask[disk(draw.integers(60, 100, 2), draw.integers(20, 50), shape=mask.shape)] = True
        masks.append(mask ^ (draw.random(mask.shape) < 0.002))
    points = [np.argwhere(measures.boundary(mask)) for mask in masks]
    apart, within = cdist(*points), measures.TOLERANCE * math.hypot(160, 200)
    precision, recall = (apart.min(1) <= within).mean(), (apart.min(0) <= within).mean()
    assert measures.boundary_f(*masks) == pytest.approx(2 * precision * recall / (precision + recall))


# What people would draw ---------------------------------------------------------------------------------------------


def test_a_straight_outline_needs_its_corners_alone():
    # The line between the pixels cuts each corner of a square, so four corners are eight vertices if drawn exactly.
    assert measures.outline_vertices(square(64, 10, 10, 30), 0.1) == 8
    assert measures.outline_vertices(square(64, 10, 10, 30), 1) == 4
    assert measures.outline_vertices(np.zeros((8, 8), bool), 1) == 0
    assert measures.outline_vertices(square(9, 4, 4, 1), 5) == 3  # no polygon has fewer


def test_pieces_and_holes_are_outlined_each_for_itself():
    ring = square(64, 10, 10, 30) & ~square(64, 20, 20, 10)
    assert measures.outline_vertices(ring, 1) == 8
    assert measures.outline_vertices(ring | square(64, 45, 45, 15), 1) == 12


@pytest.mark.parametrize("within", [0.5, 1.0, 2.0])
def test_polygons_of_so_many_vertices_do_keep_within_the_tolerance(within):
    from skimage.measure import approximate_polygon, find_contours

    mask = np.zeros((128, 128), bool)
    mask[disk((64, 64), 40)] = True
    (line,) = find_contours(mask.astype(float), 0.5)
    drawn = approximate_polygon(line, within)
    assert len(drawn) - 1 == measures.outline_vertices(mask, within)
    again = np.zeros_like(mask)
    again[polygon(*drawn.T, mask.shape)] = True
    wrong = np.argwhere(again ^ mask)
    if len(wrong):
        assert cdist(wrong, line).min(1).max() <= within + 0.5
    assert measures.outline_vertices(mask, within) < len(line) / 2


def test_repairs_outline_errors_that_reach_farther_than_the_tolerance():
    truth = square(64, 20, 20, 20)
    assert measures.repair_vertices(truth, truth, 1) == 0
    assert measures.repair_vertices(square(64, 21, 21, 18), truth, 1) == 0  # a frame as wide as the tolerance
    assert measures.repair_vertices(square(64, 21, 21, 18), truth, 0.5) > 0
    beside = square(64, 45, 45, 10)
    assert measures.repair_vertices(truth | beside, truth, 1) == measures.outline_vertices(beside, 0.5)
    nothing = np.zeros_like(truth)
    assert measures.repair_vertices(nothing, truth, 1) == measures.outline_vertices(truth, 0.5)
    assert measures.repair_vertices(beside, nothing, 1) == measures.outline_vertices(beside, 0.5)
