"""A pasted defect is a real one, whole, at another place, lit as its new surroundings; the rest stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

from defectlib.data.sample import Sample
from defectlib.defectgen.crops import Crops
from defectlib.rivals.copy_paste import MARGIN, pasted_pair


def part(key: str, gray: int, defect: int) -> Sample:
    """A flat surface with a bright bar of type 1, or without one."""
    image, mask = np.full((40, 40, 3), gray, np.uint8), np.zeros((40, 40), np.uint8)
    if defect:
        mask[10:14, 5:17] = 1
        image[mask == 1] = gray + defect
    return Sample(key, image, mask, ("bar",), "part")


@pytest.mark.parametrize("seed", range(8))
def test_the_defect_is_whole_and_lit_as_its_new_place(seed):
    crops = Crops([part("bad", 100, 50), part("good", 160, 0)], 40, "defect")
    image, mask = pasted_pair(crops, np.random.default_rng(seed))
    surroundings = int(np.median(image))
    pasted = mask == 1
    if surroundings == 160:  # the other surface has a bar already
        assert pasted.sum() == 4 * 12
        rows, columns = np.nonzero(pasted)
        assert sorted((np.ptp(rows) + 1, np.ptp(columns) + 1)) == [4, 12]
    assert (image[pasted] == surroundings + 50).all()
    near = np.zeros_like(pasted)
    for row, column in np.argwhere(pasted):
        near[max(row - MARGIN, 0) : row + MARGIN + 1, max(column - MARGIN, 0) : column + MARGIN + 1] = True
    assert (image[~near] == surroundings).all()


def test_the_same_seed_gives_the_same_pair():
    crops = Crops([part("bad", 100, 50), part("good", 160, 0)], 40, "defect")
    one, other = (pasted_pair(crops, np.random.default_rng(3)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
