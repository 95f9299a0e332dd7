"""Defect-Click at work: a change stays under its click, every click is obeyed, small defects are seen from close by."""

import numpy as np
import pytest
import torch

from defectclick import focal, training
from defectclick.clicks import Click
from defectlib.errors import UserError
from defectlib.settings import ClickerTraining

SIDE = 32


class Bright:
    """A network that holds for the defect what is bright, so that what comes of its answers can be told."""

    def __init__(self):
        self.views = []

    def __call__(self, x):
        small = torch.nn.functional.avg_pool2d(x[:, :1], 4)
        self.views.append(x[0].numpy())
        return 8 * small, small

    def refine(self, x, boxes, coarse, features):
        return 8 * x[:, :1], None


@pytest.fixture
def clicker():
    return focal.FocalClicker(Bright(), SIDE)


@pytest.fixture
def image():
    """Two bright squares, 16 px and 6 px, on black."""
    image = np.zeros((96, 96, 3), np.uint8)
    image[10:26, 10:26] = image[70:76, 60:66] = 255
    return image


def bright(image):
    return image[..., 0] > 128


def nothing(image):
    return np.zeros(image.shape[:2], bool)


def test_one_click_one_defect_and_the_next_click_adds_the_next(clicker, image):
    assert np.array_equal(clicker.segment(image, [Click(15, 15)], bright(image)), bright(image))
    assert clicker.network.views == []  # what it says already holds
    previous = nothing(image)
    first = clicker.segment(image, [Click(15, 15)], previous)
    assert not previous.any()
    expected = bright(image)
    expected[50:] = False
    assert (first ^ expected).sum() <= 8  # a corner pixel here or there
    both = clicker.segment(image, [Click(15, 15), Click(72, 62)], first)
    assert (both ^ bright(image)).sum() <= 12
    assert np.array_equal(both[:50], first[:50])


def test_a_negative_click_takes_its_piece_away_and_no_more(clicker, image):
    previous = bright(image)
    previous[40:60, 10:30] = True  # where nothing is bright
    mask = clicker.segment(image, [Click(50, 20, positive=False)], previous)
    assert not mask[40:60, 10:30].any()
    assert np.array_equal(mask[:30], previous[:30])
    assert np.array_equal(mask[:, 60:], previous[:, 60:])


@pytest.mark.parametrize("positive", [True, False])
def test_a_click_is_obeyed_whatever_the_network_says(clicker, image, positive):
    spot = (85, 20) if positive else (72, 62)  # black, and bright
    mask = clicker.segment(image, [Click(*spot, positive)], nothing(image) if positive else bright(image))
    assert mask[spot] == positive
    assert mask.sum() <= (1 if positive else bright(image).sum())


def test_a_small_defect_is_looked_at_again_from_closer(clicker, image):
    clicker.segment(image, [Click(72, 62)], nothing(image))
    shares = [(view[0] > 0).mean() for view in clicker.network.views]
    assert len(shares) >= 2
    assert shares[-1] > 4 * shares[0]


def test_a_piece_hangs_together_across_small_gaps():
    region = np.zeros((5, 20), bool)
    region[2, [*range(5), *range(7, 10), *range(16, 20)]] = True
    assert focal.piece(region, (2, 0), 0).sum() == 5
    joined = focal.piece(region, (2, 0), 3)
    assert np.array_equal(np.flatnonzero(joined[2]), [*range(5), *range(7, 10)])


def test_the_threshold_moves_only_so_far():
    assert focal.threshold(0.9, positive=True) == 0.5
    assert focal.threshold(0.3, positive=True) < 0.3
    assert focal.threshold(0.001, positive=True) == focal.LEAST_THRESHOLD
    assert focal.threshold(0.7, positive=False) > 0.7
    assert focal.threshold(0.1, positive=False) == 0.5


def test_the_first_view_of_a_large_image_is_not_all_of_it(clicker):
    image = np.zeros((1000, 1000, 3), np.uint8)
    image[436:565, 872:] = 255
    clicker.segment(image, [Click(500, 990)], nothing(image))
    assert (clicker.network.views[0][0] > 0.99).all()


# On disk ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    out = tmp_path_factory.mktemp("clicker")
    small = {"widths": (8, 16, 20, 32), "depths": (1, 1, 1, 1), "crop": SIDE, "steps": 1, "batch": 2}
    training.run(ClickerTraining(products=("twill",), sizes=(32,), scenes=2, **small), {}, out)
    return out


@pytest.mark.parametrize("shape", [(50, 60), (40, 200), (7, 9)])
def test_loaded_it_clicks_on_images_of_all_shapes(artifact, shape):
    clicker = focal.load(artifact)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    mask = clicker.segment(image, [Click(3, 5)], nothing(image))
    assert (mask.dtype, mask.shape, bool(mask[3, 5])) == (bool, shape, True)
    assert np.array_equal(mask, clicker.segment(image, [Click(3, 5)], nothing(image)))


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_file_cut_in_half_is_one_line(artifact, tmp_path, name):
    for file in ("model.safetensors", "model.json"):
        content = (artifact / file).read_bytes()
        (tmp_path / file).write_bytes(content[: len(content) // 2] if file == name else content)
    with pytest.raises(UserError, match=r"not a readable clicker \(.+\); delete it and train again$") as error:
        focal.load(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_without_a_shipped_clicker_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(focal, "SHIPPED", tmp_path)
    with pytest.raises(UserError, match=r"^no trained clicker comes with this package; make one: defectlib train-cli"):
        focal.shipped()
