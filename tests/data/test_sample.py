"""A sample refuses what is not an image-mask pair."""

import numpy as np
import pytest

from defectlib.data.sample import Sample, reduced

IMAGE = np.zeros((4, 6, 3), np.uint8)
MASK = np.zeros((4, 6), np.uint8)


def test_present_names_the_types_in_id_order():
    mask = MASK.copy()
    mask[0, 0], mask[1, 1] = 3, 1
    assert Sample("k", IMAGE, mask, ("x", "y", "z"), "part").present == ("x", "z")
    assert Sample("k", IMAGE, MASK, ("x",), "part").present == ()


@pytest.mark.parametrize(
    ("image", "mask", "fault"),
    [
        (IMAGE[..., 0], MASK, "image must be uint8"),
        (IMAGE.astype(np.float32), MASK, "image must be uint8"),
        (IMAGE[..., :2], MASK, "image must be uint8"),
        (IMAGE, MASK[:3], "mask must be uint8"),
        (IMAGE, MASK.astype(np.int64), "mask must be uint8"),
        (IMAGE, MASK + 2, "mask value 2 has no class; there are 1"),
    ],
)
def test_what_is_no_pair_is_refused(image, mask, fault):
    with pytest.raises(ValueError, match=fault):
        Sample("k", image, mask, ("x",), "part")


def test_reduced_images_are_means_and_masks_what_covers_half():
    image, mask = np.zeros((5, 4, 3), np.uint8), np.zeros((5, 4), np.uint8)
    image[:2, :2] = [[[10]], [[30]]]
    mask[0, :2], mask[2:4, 2:], mask[4, 0] = 1, 2, 1  # half of a square, a whole one, half of one below the border
    small = reduced(Sample("a", image, mask, ("one", "two"), "part"), 2)
    assert small.mask.tolist() == [[1, 0], [0, 2], [1, 0]]
    assert small.image[0, 0].tolist() == [20, 20, 20]
    assert small.image.shape == (3, 2, 3)
