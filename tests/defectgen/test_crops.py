"""Training crops: exact pairs, every type seen, small images continued by reflection."""

import numpy as np
import pytest

from defectlib.data.sample import Sample
from defectlib.defectgen.crops import Crops
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
