"""Training crops: exact pairs, every type seen, small images continued by reflection."""

import numpy as np
import pytest

from defectlib.data.sample import Sample
from defectlib.defectgen.crops import Crops, crop_shares
from defectlib.device import generator

CLASSES = ("speck", "slab")


def sample(key, height, width, paint=()):
    """Red encodes the row, green the column, so that a crop says where it was taken."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)
    mask = np.zeros((height, width), np.uint8)
    for k, window in paint:
        mask[window] = k
    return Sample(key, image, mask, CLASSES, "sheet")


@pytest.fixture
def sheets():
    rare = sample("rare", 90, 120, [(1, np.s_[80:82, 5:7])])
    common = [sample(f"common{i}", 100, 64, [(2, np.s_[10:60, 10:50])]) for i in range(9)]
    return [rare, *common]


def test_image_and_mask_of_a_crop_belong_together(sheets):
    images, masks = Crops(sheets, 32).draw(64, generator(0, "test"))
    assert images.shape == (64, 3, 32, 32)
    assert masks.shape == (64, 32, 32)
    for image, mask in zip(images.numpy(), masks.numpy(), strict=True):
        top, left = int(image[0, 0, 0]), int(image[1, 0, 0])
        source = next(s for s in sheets if np.array_equal(s.mask[top : top + 32, left : left + 32], mask))
        assert np.array_equal(source.image[top : top + 32, left : left + 32], image.transpose(1, 2, 0))


def test_a_rare_tiny_type_is_not_drowned(sheets):
    _, masks = Crops(sheets, 32).draw(400, generator(0, "test"))
    shares = [float((masks == k).any(dim=(1, 2)).float().mean()) for k in (1, 2)]
    assert shares[0] > 0.3  # 3/8 of the crops are drawn for each of the two types
    assert shares[1] > 0.3


def test_defects_are_not_always_in_the_middle(sheets):
    _, masks = Crops(sheets[:1], 32).draw(300, generator(0, "test"))
    columns = [int(np.nonzero(mask == 1)[1].mean()) for mask in masks.numpy() if (mask == 1).any()]
    assert np.std(columns) > 1


def test_the_same_generator_gives_the_same_crops(sheets):
    crops = Crops(sheets, 32)
    first, again = (crops.draw(8, generator(0, "test"))[0] for _ in range(2))
    other = crops.draw(8, generator(0, "other"))[0]
    assert bool((first == again).all())
    assert not bool((first == other).all())


def test_an_image_smaller_than_the_crop_is_continued_by_reflection():
    small = sample("small", 20, 48, [(1, np.s_[5:8, 5:8])])
    images, masks = Crops([small], 32).draw(4, generator(0, "test"))
    assert images.shape[-2:] == (32, 32)
    assert bool((masks == 1).any())


def test_images_without_any_defect_can_train_too():
    images, masks = Crops([sample("good", 40, 40)], 32).draw(4, generator(0, "test"))
    assert images.shape == (4, 3, 32, 32)
    assert int(masks.max()) == 0


# By defect ----------------------------------------------------------------------------------------------------------


def test_a_defect_that_fits_lies_whole_and_anywhere_in_the_crop():
    sheet = sample("sheet", 100, 120, [(1, np.s_[40:60, 50:65])])
    crops = Crops([sheet], 32, by="defect")
    windows = list(crops.windows(400, np.random.default_rng(0), defect_share=1))
    assert all(rows.start <= 40 and rows.stop >= 60 for _, rows, _ in windows)
    assert all(columns.start <= 50 and columns.stop >= 65 for *_, columns in windows)
    assert {rows.start for _, rows, _ in windows} == set(range(28, 41))
    assert {columns.start for *_, columns in windows} == set(range(33, 51))


def test_a_defect_too_long_lies_whole_along_the_other_side():
    sheet = sample("sheet", 100, 120, [(1, np.s_[50:54, 10:110])])
    windows = list(Crops([sheet], 32, by="defect").windows(300, np.random.default_rng(0), defect_share=1))
    assert all(rows.start <= 50 and rows.stop >= 54 for _, rows, _ in windows)
    assert all(columns.stop > 10 and columns.start < 110 for *_, columns in windows)
    assert len({columns.start for *_, columns in windows}) > 50


def test_a_small_defect_beside_a_large_one_of_its_type_is_drawn_as_often():
    sheet = sample("sheet", 200, 200, [(1, np.s_[10:40, 10:40]), (1, np.s_[150:153, 150:153])])
    shares = {}
    for by in ("pixel", "defect"):
        _, masks = Crops([sheet], 64, by=by).draw(300, generator(0, "test"))
        shares[by] = np.mean([0 < int(mask.sum()) <= 9 for mask in masks])
    assert shares["pixel"] < 0.1
    assert 0.25 < shares["defect"] < 0.5  # 3/8


def test_specks_that_nearly_touch_are_one_defect():
    sheet = sample("sheet", 90, 90, [(1, np.s_[20:24, 20:24]), (1, np.s_[27:31, 20:24]), (1, np.s_[60:64, 60:64])])
    ((_, parts),) = Crops([sheet], 32, by="defect").pixels[1]
    assert sorted(len(part) for part in parts) == [16, 32]


def test_crops_by_pixel_are_those_that_nets_were_trained_on_before(sheets):
    """What is drawn is part of a training's identity, which does not name it where it is the default."""
    windows = list(Crops(sheets, 32).windows(5, np.random.default_rng(7)))
    assert [(int(i), int(rows.start), int(columns.start)) for i, rows, columns in windows] == [
        (9, 14, 20),
        (0, 53, 0),
        (0, 7, 70),
        (3, 19, 0),
        (0, 58, 0),
    ]


def test_shares_are_counted_by_hand():
    sheet = sample("sheet", 32, 64, [(1, np.s_[0:32, 0:1])])  # every crop is 32 of 64 columns; the type in the first
    measured = crop_shares([sheet], 32, "defect", count=3000)
    assert list(measured.index) == list(CLASSES)
    assert measured.loc["slab"].tolist() == [0, 0, 0, 0]
    speck = measured.loc["speck"]
    assert speck["images"] == 1
    assert speck["anywhere"] == pytest.approx(1 / 33, abs=0.01)
    assert speck["shown"] == speck["whole"] == pytest.approx(0.75 + 0.25 / 33, abs=0.03)
