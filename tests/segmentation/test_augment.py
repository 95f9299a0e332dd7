import numpy as np
import pytest
import torch

from defectlib.errors import UserError
from defectlib.segmentation.augment import augment, check_one_size, reflected, window


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_reflection_equals_numpys(length):
    padded = np.pad(np.arange(length), 20, mode="reflect")
    np.testing.assert_array_equal(reflected(torch.arange(-20, length + 20), length), padded)


def test_window_inside_and_beyond():
    x = torch.arange(2 * 6 * 9).view(2, 6, 9)
    assert torch.equal(window(x, 1, 2, 3, 4), x[:, 1:4, 2:6])
    padded = np.pad(x.numpy(), ((0, 0), (5, 5), (7, 7)), mode="reflect")
    np.testing.assert_array_equal(window(x, -5, -7, 16, 23), padded)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (7, 4), (16, 3)])
def test_windows_of_any_size_anywhere(height, width):
    x = torch.arange(2 * height * width).view(2, height, width)
    padded = np.pad(x.numpy(), ((0, 0), (40, 40), (40, 40)), mode="reflect")
    chance = np.random.default_rng(0)
    for _ in range(200):
        (top, left), (rows, columns) = chance.integers(-20, 21, 2).tolist(), chance.integers(1, 20, 2).tolist()
        found = window(x, top, left, rows, columns)
        np.testing.assert_array_equal(found, padded[:, 40 + top : 40 + top + rows, 40 + left : 40 + left + columns])


def pair(height=24, width=24):
    """A mask of two classes, and an image from which the mask can be read back."""
    mask = torch.zeros(height, width, dtype=torch.uint8)
    mask[2:7, 3:5] = 1
    mask[-3, -9:] = 2
    return (60 + 60 * mask).expand(3, -1, -1).clone(), mask


@pytest.mark.parametrize("crop", [None, 16, 40])
def test_image_and_mask_move_together(crop):
    image, mask = pair(24, 30)
    draw = generator()
    for _ in range(40):
        view, cut = augment(image, mask, crop, np.argwhere(mask.numpy() == 2), draw)
        assert view.dtype == torch.float32
        assert cut.dtype == torch.uint8
        assert view.shape[1:] == cut.shape == (mask.shape if crop is None else (crop, crop))
        assert 0 <= view.min() <= view.max() <= 255
        levels = [view[:, cut == k].unique() for k in cut.unique().tolist()]
        assert all(level.numel() == 1 for level in levels)  # one grey per class, whatever the light
        assert levels == sorted(levels)


def test_images_are_mirrored_and_never_turned():
    ramp = 2 * torch.arange(16)[:, None] + torch.arange(16)  # falls downwards by more than to the right
    image, mask = ramp.to(torch.uint8).expand(3, -1, -1), torch.zeros(16, 16, dtype=torch.uint8)
    draw, seen = generator(), set()
    for _ in range(100):
        view = augment(image, mask, None, (), draw)[0][0]
        down, right = view[-1].mean() - view[0].mean(), view[:, -1].mean() - view[:, 0].mean()
        seen.add((bool(down > 0), bool(right > 0), bool(abs(down) > abs(right))))
    assert seen == {(True, True, True), (True, False, True)}


def test_the_generator_decides():
    image, mask = pair()
    (a, a_mask), (b, b_mask), (c, _) = (augment(image, mask, None, (), generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert torch.equal(a_mask, b_mask)
    assert not torch.equal(a, c)


def test_half_the_crops_hold_a_pixel_in_focus():
    mask = torch.zeros(200, 300, dtype=torch.uint8)
    mask[199, 299] = 1  # a random crop of 32 px holds this corner once in 45,000 times
    image = torch.zeros(3, 200, 300, dtype=torch.uint8)
    draw = generator()
    held = [bool((augment(image, mask, 32, [(199, 299)], draw)[1] == 1).any()) for _ in range(200)]
    assert 0.4 < np.mean(held) < 0.6
    assert not any((augment(image, mask, 32, (), draw)[1] == 1).any() for _ in range(50))


def test_focused_crops_stay_inside_and_are_spread():
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[30, 30] = 1
    image = torch.arange(64).to(torch.uint8).expand(3, 64, 64)
    draw = generator()
    views = [augment(image, mask, 16, [(30, 30)], draw)[1] for _ in range(300)]
    places = {tuple(view.nonzero()[0].tolist()) for view in views if view.any()}
    assert len(places) > 80
    assert all(view.sum() == 1 for view in views if view.any())  # a reflected copy would be a second one


def test_sizes_that_cannot_be_stacked():
    masks = [torch.zeros(64, 64), torch.zeros(64, 80), torch.zeros(64, 64)]
    check_one_size(masks[::2])
    with pytest.raises(UserError, match=r"^training images differ in size \(64x64, 80x64\): set crop$"):
        check_one_size(masks)
