"""A net that is watched while it learns: what its pictures hold comes back whole, and the table follows from them."""

from __future__ import annotations

import numpy as np
import pytest

from defectlib.data.loading import load_train
from defectlib.defectgen.journal import PAIRS, grid
from defectlib.experiments.watched import StepByStep, cut
from defectlib.settings import Fidelity, LargeNet


@pytest.fixture(scope="module")
def watched(smoke, store):
    study = StepByStep(smoke, store=store).watched
    study.build()
    return study


@pytest.mark.parametrize("types", [1, 3, 5, 30])
def test_a_grid_is_cut_into_the_pairs_it_was_made_of(types):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (4, 8, 8, 3), np.uint8)
    masks = draw.integers(0, types + 1, (4, 8, 8), np.uint8)
    for made, found in zip((images, masks), cut(grid(images, masks, types), types), strict=True):
        assert np.array_equal(made, found)


def test_pairs_are_kept_after_the_steps_that_the_profile_names(watched):
    pairs = watched.pairs()
    assert tuple(pairs) == watched.profile.watched.at
    assert {len(found) for found in pairs.values()} == {PAIRS}
    first, last = pairs[min(pairs)], pairs[max(pairs)]
    assert {pair.classes for pair in first} == {load_train(watched.training.data)[0].classes}
    assert not np.array_equal(first[0].image, last[0].image)


def test_the_net_is_a_large_one_and_has_a_name_of_its_own(watched):
    assert isinstance(watched.training.net, LargeNet)
    assert watched.training.key() != watched.training.model_copy(update={"samples_at": ()}).key()


def test_the_table_follows_from_the_pairs(watched):
    table = watched.table()
    training = [sample.image.astype(float) / 255 for sample in load_train(watched.training.data)]
    for step, pairs in watched.pairs().items():
        apart = [min(np.sqrt(np.mean((pair.image / 255 - image) ** 2)) for image in training) for pair in pairs]
        assert table.loc[step, "nearest"] == pytest.approx(np.mean(apart))
    assert (table["loss"] > 0).all()


def test_the_notebook_builds_the_three_regimes_and_the_net(smoke, store, watched):
    *regimes, net = StepByStep(smoke, store=store).stages()
    assert len(regimes) == 3
    assert all(isinstance(stage, Fidelity) for stage in regimes)
    assert net == watched.training
