"""A sample refuses what is not an image-mask pair."""

import numpy as np
import pytest

from defectlib.data.sample import Sample

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
