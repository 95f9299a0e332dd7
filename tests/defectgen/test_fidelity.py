"""What the stage writes about real pairs of tiny nets, and of sets whose relation is known."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from defectlib.data import procedural
from defectlib.data.folder import read_dataset
from defectlib.data.loading import load_eval, load_train
from defectlib.data.sample import Sample
from defectlib.defectgen import fidelity
from defectlib.defectgen.fidelity import MEASURES, compare, explained, measure, measure_crops, points, table
from defectlib.errors import UserError
from defectlib.plots import charts
from defectlib.runtime import numpy_generator
from defectlib.settings import EmbeddedData, Fidelity
from tests.defectgen.conftest import SYNTHETIC

DATA = EmbeddedData(product="softgel", size=32, shots=2, eval_count=7)


@pytest.fixture(scope="module")
def training():
    return load_train(DATA)


@pytest.fixture(scope="module")
def held_out():
    return load_eval(DATA)


@pytest.fixture(scope="module")
def of_copies(training, held_out):
    return measure(training[:6], training, held_out)


def test_the_stage_writes_every_measure_of_the_pairs_and_of_held_out_images(store, tmp_path):
    fidelity.run(Fidelity(synthetic=SYNTHETIC), {"synthetic": store.find(SYNTHETIC)}, tmp_path)
    found = json.loads((tmp_path / "fidelity.json").read_text())
    pairs = read_dataset(store.find(SYNTHETIC) / SYNTHETIC.dataset)
    data = SYNTHETIC.large.data
    assert {key: found[key] for key in MEASURES} == pytest.approx(compare(pairs, load_train(data)))
    assert found["held_out"] == pytest.approx(compare(load_eval(data), load_train(data)))
    assert len(found["nearest_training"]) == len(found["nearest_distance"]) == found["pairs"] == SYNTHETIC.count


def test_no_more_images_are_held_out_than_there_are(training):
    keys = [sample.key for sample in load_eval(DATA)]
    assert [sample.key for sample in fidelity.held_out_of(DATA, 3)] == keys[:3]
    assert [sample.key for sample in fidelity.held_out_of(DATA, 30)] == keys


def test_copies_of_training_images_are_told(of_copies):
    assert of_copies["nearest_mean"] == 0
    assert of_copies["nearest_training"] == list(range(6))
    assert of_copies["nearness"] == of_copies["patch_nearness"] == 1
    assert of_copies["precision"] == of_copies["patch_precision"] == 1
    assert of_copies["density"] > 1
    assert of_copies["training_nearest_mean"] > 0


def test_the_training_set_against_itself(training, held_out):
    found = measure(training, training, held_out)
    for key in ("nearest_mean", "patch_distance", "types_distance", "sizes_distance", "places_distance"):
        assert found[key] == pytest.approx(0, abs=1e-3), key
    for key in ("precision", "recall", "coverage", "patch_precision", "patch_recall", "patch_coverage"):
        assert found[key] == 1, key
    for key in ("spread", "diversity", "defect_free"):
        assert found[f"training_{key}"] == found[key]
    assert found["types_share"] == found["training_types_share"]


def test_held_out_images_are_no_copies_and_noise_is_no_product(training, held_out, of_copies):
    image = numpy_generator(0, "noise").integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    noise = [dataclasses.replace(sample, image=pixels) for sample, pixels in zip(training, image, strict=False)]
    of_noise = measure(noise, training, held_out)
    assert of_noise["held_out"] == of_copies["held_out"]
    fresh = of_noise["held_out"]
    assert of_noise["patch_distance"] > 2 * fresh["patch_distance"]
    assert of_noise["precision"] == of_noise["coverage"] == of_noise["patch_precision"] == 0
    assert of_noise["nearness"] == 0 == pytest.approx(of_noise["patch_nearness"], abs=0.01)
    assert of_noise["diversity"] > of_noise["training_diversity"]
    assert of_noise["types_distance"] == of_copies["types_distance"]  # the masks are the same
    assert 0.2 < fresh["nearness"] < 0.8


def test_another_product_is_far_in_details(training, held_out):
    other = [procedural.sample("twill", "train", index, size=32) for index in range(6)]
    renamed = [dataclasses.replace(sample, classes=training[0].classes, mask=sample.mask % 5) for sample in other]
    found = measure(renamed, training, held_out)
    assert found["patch_distance"] > 3 * found["held_out"]["patch_distance"]
    assert found["precision"] == 0


def test_pairs_without_defects_have_a_type_and_neither_size_nor_place(training, held_out):
    empty = [dataclasses.replace(sample, mask=np.zeros_like(sample.mask)) for sample in training[:4]]
    found = measure(empty, training, held_out)
    assert found["defect_free"] == 1 == pytest.approx(found["types_distance"])
    assert found["sizes_distance"] is found["places_distance"] is None
    shown = table({0: found})
    assert np.isnan(shown.loc["sizes of defects", "u = 0"])


def test_one_of_a_kind_cannot_be_compared(training, held_out):
    with pytest.raises(UserError, match=r"^synthetic pairs: 1 given, but .*; take 2 or more$"):
        measure(training[:1], training, held_out)
    with pytest.raises(UserError, match=r"^training images: 1 given"):
        measure(training, training[:1], held_out)


# Tables -------------------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_per_measure_and_what_real_images_come_to(of_copies):
    shown = table({0: of_copies, 400: of_copies})
    assert list(shown.columns) == ["u = 0", "u = 400", "held out", "training"]
    assert shown.loc["diversity", "u = 400"] == of_copies["diversity"]
    assert shown.loc["precision, patches", "held out"] == of_copies["held_out"]["patch_precision"]
    own = shown["training"].dropna()
    assert own["nearness, patch by patch"] == 0.5
    assert own["distance to the nearest training image"] == of_copies["training_nearest_mean"]
    assert len(own) == 6
    assert list(explained().index) == list(shown.index)
    assert explained().iloc[:, 0].str.len().between(20, 90).all()


def test_without_held_out_images_their_column_is_empty(training):
    found = measure(training[:3], training, ())
    assert table({0: found})["held out"].isna().all()


def test_points_are_flat(of_copies):
    flat = points({400: of_copies, 0: of_copies})
    assert flat["u"].tolist() == [400, 0]
    assert flat.loc[0, "held_out_patch_distance"] == of_copies["held_out"]["patch_distance"]
    assert flat.loc[1, "training_spread"] == of_copies["training_spread"]


def test_types_are_shares_and_areas():
    mask = np.zeros((4, 4), np.uint8)
    mask[0, :2] = 1
    image = np.zeros((4, 4, 3), np.uint8)
    pair = [Sample("a", image, mask, ("pit", "stain"), "disc"), Sample("b", image, 0 * mask, ("pit", "stain"), "disc")]
    found = fidelity._types(pair, "")
    assert found == {"types_share": {"pit": 0.5, "stain": 0.0}, "types_area": {"pit": 1 / 8, "stain": 0.0}}


def test_the_points_are_drawn_beside_held_out_images(of_copies, training, held_out):
    measured = {0: of_copies, 400: measure(held_out[:4], training, held_out)}
    names = {"x": "patch_nearness", "x_label": "nearness", "y": "patch_coverage", "y_label": "coverage (0 to 1)"}
    (axes,) = charts.fidelity_diversity(points(measured), **names, reference="held_out").axes
    places = {text.get_text(): tuple(text.xy) for text in axes.texts}
    assert places == {f"u = {u}": (found["patch_nearness"], found["patch_coverage"]) for u, found in measured.items()}
    path, cross = axes.lines
    assert cross.get_label() == "held-out images"
    yardstick = of_copies["held_out"]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (yardstick["patch_nearness"], yardstick["patch_coverage"])
    # No text lies on a point of the path.
    axes.figure.draw_without_rendering()
    dots = axes.transData.transform(np.column_stack(path.get_data()))
    assert not any(text.get_window_extent().count_contains(dots) for text in axes.texts)


# Crops of photographs -------------------------------------------------------------------------------------------------

SIDE = 24


@pytest.fixture(scope="module")
def photographs():
    """Of two sizes."""
    data = [EmbeddedData(product="twill", size=size, shots=2, eval_count=4) for size in (48, 64)]
    return [sample for one in data for sample in load_train(one)], [sample for one in data for sample in load_eval(one)]


def cropped(sample, top, left):
    window = slice(top, top + SIDE), slice(left, left + SIDE)
    return dataclasses.replace(sample, image=sample.image[window], mask=sample.mask[window])


def test_crops_that_were_copied_are_told_wherever_they_come_from(photographs):
    training, held_out = photographs
    found = measure_crops([cropped(training[k], 2 * k, 20 - 2 * k) for k in range(5)], training, held_out)
    assert found["nearest_training"] == [0, 1, 2, 3, 4]
    assert found["nearest_corner"] == [[2 * k, 20 - 2 * k] for k in range(5)]
    assert found["nearest_mean"] == pytest.approx(0, abs=1e-3)
    assert found["nearness"] == 1
    assert found["training_nearest_mean"] > 0.02


def test_crops_that_nothing_was_trained_on_are_as_near_as_those_of_other_photographs(photographs):
    training, held_out = photographs
    found = measure_crops([cropped(held_out[k % 8], 3 * k % 20, 11 * k % 20) for k in range(12)], training, held_out)
    assert 0.2 < found["nearness"] < 0.8
    assert 0.2 < found["held_out"]["nearness"] < 0.8
    assert found["held_out"].keys() == set(MEASURES)


def test_crops_of_a_single_photograph_have_nothing_to_be_compared_with(photographs):
    training, _ = photographs
    with pytest.raises(UserError, match="training images: 1 given, but crops are looked for in the others"):
        measure_crops([cropped(training[0], 0, 0)] * 2, training[:1])
