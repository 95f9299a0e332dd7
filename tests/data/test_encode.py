"""encode and decode are inverse, exactly; ranges and channels are what the paper's equation says."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defectlib.data import encode
from defectlib.data.sample import Sample


@st.composite
def batches(draw):
    defect_types = draw(st.integers(1, 12))
    count, height, width = (draw(st.integers(1, top)) for top in (3, 9, 9))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = generator.integers(0, 256, (count, 3, height, width), dtype=np.uint8)
    masks = generator.integers(0, defect_types + 1, (count, height, width), dtype=np.uint8)
    return torch.from_numpy(images), torch.from_numpy(masks), defect_types


@settings(max_examples=60, deadline=None)
@given(batches())
def test_decode_is_the_inverse_of_encode(batch):
    images, masks, defect_types = batch
    x = encode.encode(images, masks, defect_types)
    assert x.shape == (len(images), encode.channels(defect_types), *masks.shape[1:])
    assert x.dtype == torch.float32
    assert x.min() >= -1
    assert x.max() <= 1
    again = encode.decode(x)
    assert torch.equal(again[0], images)
    assert torch.equal(again[1], masks)


@settings(max_examples=30, deadline=None)
@given(batches(), st.integers(0, 2**31))
def test_noise_below_half_a_step_changes_nothing(batch, seed):
    images, masks, defect_types = batch
    x = encode.encode(images, masks, defect_types)
    noise = (torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) - 0.5) * (0.98 / 127.5)
    again = encode.decode(x + noise)
    assert torch.equal(again[0], images)
    assert torch.equal(again[1], masks)


def test_every_byte_survives_and_the_ends_are_one():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(encode.to_bytes(encode.to_unit(values)), values)
    assert encode.to_unit(values)[[0, 255]].tolist() == [-1.0, 1.0]
    assert encode.to_bytes(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


def test_background_comes_before_the_defect_types():
    masks = torch.tensor([[[0, 1, 2]]], dtype=torch.uint8)
    x = encode.encode(torch.zeros(1, 3, 1, 3, dtype=torch.uint8), masks, 2)
    assert x[0, 3:, 0].tolist() == [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]


def test_stack_keeps_order_and_values():
    images = [np.full((2, 3, 3), value, np.uint8) for value in (5, 9)]
    masks = [np.array([[0, 1, 0], [0, 0, 1]], np.uint8), np.zeros((2, 3), np.uint8)]
    samples = [Sample(str(i), images[i], masks[i], ("x",), "part") for i in (0, 1)]
    stacked_images, stacked_masks = encode.stack(samples)
    assert stacked_images.shape == (2, 3, 2, 3)
    assert stacked_images[:, 0, 0, 0].tolist() == [5, 9]
    assert stacked_masks.tolist() == [mask.tolist() for mask in masks]
