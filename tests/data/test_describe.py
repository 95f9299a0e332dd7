"""Captions from masks name what is there, and nothing else."""

import numpy as np
import pytest

from defectlib.data import procedural
from defectlib.data.describe import describe

CLASSES = ("scratch", "oil_stain")


def mask_with(**windows):
    mask = np.zeros((60, 60), np.uint8)
    for name, window in windows.items():
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
    ],
)
def test_sentences(windows, sentence):
    assert describe(mask_with(**windows), CLASSES, "brushed_plate") == sentence


@pytest.mark.parametrize("product", procedural.PRODUCTS)
def test_every_type_present_is_named_and_no_other(product):
    for i in range(12):
        sample = procedural.sample(product, "eval", i, size=48)
        sentence = describe(sample.mask, sample.classes, product)
        for name in sample.classes:
            assert (f" {name.replace('_', ' ')} " in sentence) == (name in sample.present)
