"""Copies of training crops are told from crops of other parts, also when they are noisy; blur alone is no copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import ndimage

from defectlib.data.sample import Sample
from defectlib.defectgen.crops import Crops
from defectlib.defectgen.measures import crop_copies
from defectlib.defectgen.measures.crop_copies import crop_nearness
from defectlib.device import generator
from tests.defectgen.complaint import complaint, part


@pytest.fixture(scope="module", autouse=True)
def few():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crop_copies, "MOST", 30)
        yield


def crops(samples: Sequence[Sample], count: int = 30, side: int = 64, seed: int = 1) -> list[Sample]:
    images, masks = Crops(samples, side, by="defect").draw(count, generator(seed, "pairs"))
    pairs = zip(images.movedim(1, -1).numpy(), masks.numpy(), strict=True)
    return [Sample(str(i), image, mask, ("spot",), "cover") for i, (image, mask) in enumerate(pairs)]


def changed(pairs: Sequence[Sample], change) -> list[Sample]:
    return [
        Sample(p.key, change(p.image.astype(float)).clip(0, 255).astype(np.uint8), p.mask, p.classes, p.product)
        for p in pairs
    ]


TRAINING, HELD_OUT = complaint(6), [part(i) for i in range(6, 10)]


def test_copies_from_any_place_to_the_pixel_are_found():
    share, chance = crop_nearness(crops(TRAINING), TRAINING, HELD_OUT)
    assert share > 0.95
    assert chance < 1e-6


def test_copies_with_noise_are_found():
    noise = np.random.default_rng(0)
    share, chance = crop_nearness(
        changed(crops(TRAINING), lambda image: image + noise.normal(0, 8, image.shape)), TRAINING, HELD_OUT
    )
    assert share > 0.75
    assert chance < 0.01


@pytest.mark.parametrize("blur", [0, 1.5])
def test_crops_of_other_parts_are_no_copies_blurred_or_not(blur):
    others = crops([part(i) for i in range(20, 26)])
    new = changed(others, lambda image: ndimage.gaussian_filter(image, (blur, blur, 0)))
    share, _ = crop_nearness(new, TRAINING, HELD_OUT)
    assert 0.2 < share < 0.85  # far from ½ by chance: there are four held-out parts


def test_the_distance_is_that_of_the_nearest_window_by_cells():
    """Against every window, one by one."""
    rng = np.random.default_rng(3)
    photo = ndimage.gaussian_filter(rng.uniform(0, 255, (40, 44, 3)), (2, 2, 0)).astype(np.uint8)
    crop = (photo[5:37, 7:39] + rng.normal(0, 3, (32, 32, 3))).clip(0, 255).astype(np.uint8)
    cells = [
        photo[y : y + 32, x : x + 32].reshape(16, 2, 16, 2, 3).mean(axis=(1, 3)) for y in range(9) for x in range(13)
    ]
    own = crop.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
    expected = min(np.sqrt(np.square(own - cell).mean()) for cell in cells)
    (found,) = crop_copies._distances(crop[None], [photo], 2)
    assert found == pytest.approx(expected)


def test_photographs_smaller_than_a_pair_are_continued_by_reflection():
    small = [Sample(s.key, s.image[190:230, 280:330], s.mask[190:230, 280:330], s.classes, "cover") for s in TRAINING]
    share, _ = crop_nearness(crops(small, 8), small, small)
    assert 0 <= share <= 1
