"""Captions from masks name what is there, counted and placed, and nothing else."""

import numpy as np
import pytest

from defectlib.data import procedural
from defectlib.data.describe import describe, instances
from defectlib.data.words import noun, plural

CLASSES = ("scratch", "oil_stain")


def mask_with(**windows):
    """A 60 x 60 mask; a type's windows are one slice or a list of them."""
    mask = np.zeros((60, 60), np.uint8)
    for name, given in windows.items():
        for window in given if isinstance(given, list) else [given]:
            mask[window] = CLASSES.index(name) + 1
    return mask


@pytest.mark.parametrize(
    ("windows", "sentence"),
    [
        ({}, "Brushed plate without a defect."),
        ({"scratch": np.s_[2:4, 2:4]}, "Brushed plate with a tiny scratch at the upper left."),
        ({"oil_stain": np.s_[20:40, 20:40]}, "Brushed plate with a large oil stain in the centre."),
        (
            {"scratch": np.s_[2:8, 25:33], "oil_stain": np.s_[50:58, 45:58]},
            "Brushed plate with a small scratch at the top and a medium-sized oil stain at the lower right.",
        ),
        # Two of a kind are two, each where it is and not in the middle between them.
        (
            {"scratch": [np.s_[2:8, 2:8], np.s_[50:56, 50:57]]},
            "Brushed plate with two small scratches at the upper left and the lower right.",
        ),
        (
            {"scratch": [np.s_[2:8, 2:8], np.s_[2:8, 11:17]]},
            "Brushed plate with two small scratches at the upper left.",
        ),
        (
            {"scratch": [np.s_[27:33, 27:33], np.s_[27:33, 50:56]]},
            "Brushed plate with two small scratches in the centre and at the right.",
        ),
        # Of different size, they are named one by one, the larger first.
        (
            {"oil_stain": [np.s_[2:6, 2:7], np.s_[42:58, 42:58]]},
            "Brushed plate with a medium-sized oil stain at the lower right and a small oil stain at the upper left.",
        ),
        (
            {"scratch": [np.s_[2:8, 2:8], np.s_[50:56, 2:8]], "oil_stain": np.s_[20:40, 20:40]},
            "Brushed plate with two small scratches at the upper left and the lower left, and a large oil stain in the "
            "centre.",
        ),
        (
            {"scratch": [np.s_[y : y + 2, x : x + 2] for y in (5, 30, 55) for x in (5, 30)]},
            "Brushed plate with six tiny scratches in several places.",
        ),
    ],
)
def test_sentences(windows, sentence):
    assert describe(mask_with(**windows), CLASSES, "brushed_plate") == sentence


def test_pieces_that_nearly_touch_are_one():
    line = np.zeros((64, 64), bool)
    line[30, 5:40] = True
    line[30, 20:22] = False  # a gap of two pixels, as sampling leaves in thin lines
    assert len(instances(line)) == 1
    line[30, 22] = False
    assert len(instances(line)) == 2


def test_specks_are_passed_over_unless_there_is_nothing_else():
    where = np.zeros((64, 64), bool)
    where[10, 10:12] = True
    (only,) = instances(where)
    assert only.area == 2 / 64**2
    where[40:46, 40:46] = True
    (found,) = instances(where)
    assert (found.area, found.x, found.y) == (36 / 64**2, 43 / 64, 43 / 64)
    where[10, 12] = True  # three pixels are no speck
    assert len(instances(where)) == 2


def test_gaps_and_specks_go_with_the_image():
    where = np.zeros((256, 256), bool)
    where[100:104, 20:80] = where[100:104, 88:160] = True  # a gap of 8 pixels, as 2 at a quarter of the size
    where[200, 200:211] = True  # 11 pixels are a speck
    assert len(instances(where)) == 1
    where[200, 211] = True
    assert len(instances(where)) == 2
    where[100:104, 88] = False
    assert len(instances(where)) == 3


@pytest.mark.parametrize("product", procedural.PRODUCTS)
def test_every_type_present_is_named_and_no_other(product):
    for i in range(12):
        sample = procedural.sample(product, "eval", i, size=48)
        sentence = describe(sample.mask, sample.classes, product)
        for name in sample.classes:
            named = any(f" {word} " in sentence for word in (noun(name), plural(noun(name))))
            assert named == (name in sample.present)


@pytest.mark.parametrize("product", procedural.PRODUCTS)
def test_defects_are_counted_as_they_were_painted(product):
    """Scenes are the truth; in the first dozen no two defects of one type touch."""
    for i in range(12):
        scene = procedural.scene(product, "eval", i)
        sample = procedural.render(scene, 64)
        kinds = [defect.kind for defect in scene.defects]
        counted = {name: len(instances(sample.mask == k)) for k, name in enumerate(sample.classes, start=1)}
        assert counted == {name: kinds.count(name) for name in sample.classes}
