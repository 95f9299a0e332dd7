"""What Defect-Click trains on: views that hold their defect, at every scale, of scenes that nothing is evaluated on."""

import numpy as np
import pytest
from scipy import ndimage

from defectclick.crops import Box, whole
from defectclick.imagined import LEAST_SEEN, imagined, patched
from defectclick.views import (
    LARGEST,
    ONE_LEVEL,
    SMALLEST,
    Look,
    View,
    domains,
    draw_box,
    draw_target,
    draw_view,
)
from defectlib import runtime
from defectlib.data import folder, procedural
from defectlib.data.loading import folder_data
from defectlib.data.sample import Sample
from defectlib.settings import ClickerTraining

PLAIN = Look((0, 1, 2), np.tile(np.arange(256, dtype=np.uint8), (3, 1)), 0.0, 0)


def settings(**changes):
    return ClickerTraining(**{"products": ("softgel", "twill"), "sizes": (32, 64), "crop": 32, "steps": 2, **changes})


def draws(count, name="test"):
    return (runtime.numpy_generator(0, name, i) for i in range(count))


# Scenes -------------------------------------------------------------------------------------------------------------


def test_products_take_turns_and_every_type_comes_at_every_size():
    softgel, twill = domains(settings(scenes=20))
    assert [sample.key for sample in softgel] == [f"softgel_oracle_{i:05d}" for i in range(10)]
    assert {sample.product for sample in twill} == {"twill"}
    assert [sample.image.shape[0] for sample in softgel] == [32] * 5 + [64] * 5  # one after the other the five types


def test_no_scene_is_one_that_something_is_evaluated_on():
    learnt = {sample.image.tobytes() for sample in domains(settings(products=("softgel",), sizes=(32,), scenes=12))[0]}
    for split in ("train", "eval"):
        assert not learnt & {procedural.sample("softgel", split, i, size=32).image.tobytes() for i in range(12)}


def test_other_data_are_a_domain_of_their_training_images_with_defects(tmp_path):
    pairs = [procedural.sample("washer", "train", i, size=32) for i in range(8)]
    good = [Sample("good", pairs[0].image, np.zeros_like(pairs[0].mask), pairs[0].classes, "washer")]
    folder.write_dataset(tmp_path / "own", [*pairs, *good])
    data = folder_data(tmp_path / "own", shots=1)
    (own,) = domains(settings(products=(), data=(data,)))
    assert 0 < len(own) < len(pairs)
    assert all(sample.mask.any() for sample in own)


# Targets and boxes --------------------------------------------------------------------------------------------------


def test_a_target_is_a_type_or_one_defect_of_it():
    mask = np.zeros((20, 20), np.uint8)
    mask[2:6, 2:6] = mask[12:16, 12:16] = 1
    mask[2:6, 12:16] = 2
    found = {draw_target(mask, draw).tobytes() for draw in draws(60)}
    ones = [np.zeros_like(mask, bool) for _ in range(2)]
    ones[0][2:6, 2:6] = ones[1][12:16, 12:16] = True
    assert found == {(mask == 1).tobytes(), (mask == 2).tobytes(), *(one.tobytes() for one in ones)}


@pytest.mark.parametrize("multi_level", [True, False])
def test_boxes_hold_a_pixel_of_the_target_and_come_at_many_levels_or_one(multi_level):
    target = np.zeros((100, 140), bool)
    target[70:74, 30:36] = True
    sides = []
    for draw in draws(300):
        box = draw_box(target, settings(multi_level=multi_level), draw)
        assert box.top >= 0 <= box.left
        assert box.bottom <= 100.001
        assert box.right <= 140.001
        rows, columns = slice(int(box.top), int(np.ceil(box.bottom))), slice(int(box.left), int(np.ceil(box.right)))
        assert target[rows, columns].any()
        sides.append(max(box.sides))
    largest = min(140, LARGEST * 32)
    assert max(sides) == pytest.approx(largest)
    if multi_level:
        assert min(sides) < 1.3 * SMALLEST * 32
    else:
        assert min(sides) >= ONE_LEVEL * largest


def test_a_view_that_would_lose_its_target_looks_from_closer():
    mask = np.zeros((256, 256), np.uint8)
    mask[100, 100] = 1  # a twelfth of a pixel, seen whole
    sample = Sample("dot", np.zeros((256, 256, 3), np.uint8), mask, ("dot",), "dots")
    assert all(draw_view(sample, settings(sizes=(256,)), draw).truth.any() for draw in draws(20))


# Views --------------------------------------------------------------------------------------------------------------


def test_a_click_on_the_crop_lands_on_that_place_in_the_image():
    target = np.zeros((64, 64), bool)
    target[20:30, 40:50] = True
    view = View(np.zeros((64, 64, 3), np.uint8), target, Box(10, 30, 42, 62), PLAIN, 64)  # at twice its size
    view.click((20, 20), positive=True)
    assert (view.clicks[0].row, view.clicks[0].column) == (20, 40)
    rows, columns = np.nonzero(view.input()[4])
    assert (rows.mean(), columns.mean()) == pytest.approx((20.5, 20.5))
    assert view.truth[20, 20]
    assert not view.truth[19, 19]


def test_the_focus_is_the_same_place_cut_anew():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    target = np.zeros((64, 64), bool)
    target[:32] = True
    view = View(image, target, whole(target), PLAIN, 32)
    view.previous[:, :16] = True
    x, truth = view.focus((0.25, 0.25, 0.75, 0.75))
    np.testing.assert_allclose((x[:3] + 1) * 127.5, image[16:48, 16:48].transpose(2, 0, 1), atol=1e-3)
    assert np.array_equal(truth, target[16:48, 16:48])
    assert x[3, :, :15].all()
    assert not x[3, :, 17:].any()


def test_light_leaves_shapes_alone_and_differs_from_draw_to_draw():
    image = np.zeros((16, 16, 3), np.uint8)
    image[4:8, 4:8] = 200
    for draw in draws(20):
        look = Look.drawn(draw)
        lit = Look(look.order, look.table, 0.0, 0).on(image)
        inside, outside = lit[4:8, 4:8].reshape(-1, 3), lit[:4].reshape(-1, 3)
        assert (inside == inside[0]).all()
        assert (outside == outside[0]).all()
        assert (inside[0].astype(int) != outside[0]).any()
    assert np.array_equal(PLAIN.on(image), image)


def test_a_view_follows_from_its_draw():
    sample = procedural.sample("softgel", "oracle", 0, size=64)
    first, again, other = (draw_view(sample, settings(), runtime.numpy_generator(seed, "view")) for seed in (0, 0, 1))
    assert np.array_equal(first.input(), again.input())
    assert not np.array_equal(first.input(), other.input())


# Imagined defects -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image():
    return procedural.sample("twill", "oracle", 0, size=64).image


def test_a_defect_is_seen_and_the_image_far_from_it_is_as_it_was(image):
    kept = image.copy()
    for draw in draws(60, "imagined"):
        found, target = imagined(image, draw)
        assert (found.shape, found.dtype, target.dtype) == (image.shape, np.uint8, bool)
        changed = np.abs(found.astype(int) - image)
        assert changed[target].mean() >= LEAST_SEEN
        assert not changed[ndimage.distance_transform_edt(~target) > 8].any()
    assert np.array_equal(image, kept)


def test_defects_are_large_and_small_thin_and_round(image):
    shares, widths = [], []
    for draw in draws(150, "imagined"):
        _, target = imagined(image, draw)
        shares.append(target.mean())
        widths.append(ndimage.distance_transform_edt(target).max() / np.sqrt(target.sum()))
    assert min(shares) < 0.005
    assert max(shares) > 0.1
    assert min(widths) < 0.2  # a line
    assert max(widths) > 0.45  # a disk: 0.56


def test_a_defect_follows_from_its_draw(image):
    (one, first), (two, second), (_, third) = (
        imagined(image, runtime.numpy_generator(seed, "imagined")) for seed in (0, 0, 1)
    )
    assert np.array_equal(one, two)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_patches_recolour_parts_and_leave_the_rest_and_the_image_given_alone():
    image = np.full((40, 60, 3), 100, np.uint8)
    image[10:20, 10:20] = 200
    kept = image.copy()
    found = [patched(image, draw) for draw in draws(60, "imagined")]
    assert np.array_equal(image, kept)
    untouched = [np.array_equal(one, image) for one in found]
    assert 0.1 < np.mean(untouched) < 0.6
    assert any((one[0] == 100).any() and (one != image).any() for one in found)
    inside = [(one[12, 12].astype(int) != one[25, 12]).any() for one in found]
    assert np.mean(inside) > 0.9  # a defect goes on through a patch
