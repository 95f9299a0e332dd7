"""The curve over u of a user's own folder: photographs of several sizes, nets trained on crops, their windows shown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from defectlib.data import procedural
from defectlib.data.folder import write_dataset
from defectlib.data.loading import load_train
from defectlib.data.sample import continued
from defectlib.experiments import plans
from defectlib.experiments.judging import NO_ORACLE
from defectlib.store import Store

SIZES = (48, 40, 72)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Of fifteen photographs, some narrower than a crop."""
    root, store = tmp_path_factory.mktemp("folder") / "washers", tmp_path_factory.mktemp("folder_store")
    samples = [procedural.sample("washer", "oracle", i, size=SIZES[i % 3]) for i in range(15)]
    samples[0] = dataclasses.replace(samples[0], image=samples[0].image[:, :20], mask=samples[0].mask[:, :20])
    write_dataset(root, samples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEFECTLIB_STORE", str(store))
        study = plans.switch_step(profile="smoke", data=str(root), switch_steps=[0, 1000])
        study = dataclasses.replace(study, store=Store(store, shipped=None))
        study.build()
    return study


def test_its_nets_are_trained_on_crops_of_the_folder(study):
    synthetic = study.synthetic(1000)
    assert synthetic.large.crop == synthetic.size == study.profile.own.crop
    assert synthetic.data == study.folder
    assert [pair.mask.shape for pair in study.pairs(0)] == [(32, 32)] * study.profile.gallery


def test_what_is_nearest_is_a_window_of_a_photograph(study):
    found, windows = study.measures(0), study.nearest(0)
    photographs = load_train(study.folder)
    for i, corner, shown in zip(found["nearest_training"], found["nearest_corner"], windows, strict=True):
        image, mask = continued(photographs[i].image, photographs[i].mask, 32)
        top, left = corner
        np.testing.assert_array_equal(shown.image, image[top : top + 32, left : left + 32])
        np.testing.assert_array_equal(shown.mask, mask[top : top + 32, left : left + 32])


def test_the_curve_has_every_number_but_those_of_an_oracle(study):
    assert not study.table().isna().any().any()
    assert study.measures(0)["held_out"]["nearness"] > 0
    assert study.remarks()[0] == NO_ORACLE
    assert study.agreement()["agreement"].isna().all()
