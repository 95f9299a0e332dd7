"""The stages of the other generators: what trains is kept where it samples, sets are sound, resumable, shippable."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from defectlib.data.folder import read_dataset
from defectlib.data.loading import load_good, load_one_or_all, load_train
from defectlib.data.verify import check
from defectlib.engine import RUNNERS
from defectlib.errors import UserError
from defectlib.rivals import sampling
from defectlib.rivals.training import load_rival, method, trained_on
from defectlib.settings import EmbeddedData, RivalSynthesis, RivalTraining
from defectlib.shipping import ship
from defectlib.store import UNFINISHED, Store
from tests.interruption import cut_once

DATA = EmbeddedData(product="softgel", size=32, shots=1, eval_count=3)
TRAININGS = {
    "SinGAN": RivalTraining(data=DATA, method="SinGAN", steps=2, channels=8, image=1),
    "CycleGAN": RivalTraining(data=DATA, method="CycleGAN", steps=2, channels=8),
}


def pairs_of(name: str, count: int = 3, batch: int = 2) -> RivalSynthesis:
    return RivalSynthesis(rival=TRAININGS[name], count=count, batch=batch)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    made = Store(tmp_path_factory.mktemp("rivals") / "store", shipped=None)
    for name in TRAININGS:
        made.build(pairs_of(name), RUNNERS)
    return made


@pytest.fixture(params=TRAININGS)
def name(request) -> str:
    return request.param


def test_a_set_is_a_sound_dataset_that_says_where_it_is_from(store, name):
    root = store.find(pairs_of(name)) / RivalSynthesis.dataset
    assert check(root).images == 3
    pairs = read_dataset(root)
    assert pairs[0].classes == load_train(DATA)[0].classes
    assert {pair.image.shape for pair in pairs} == {(32, 32, 3)}
    record = json.loads((root / "provenance.json").read_text())
    assert record["source"] == name
    assert record["settings"]["rival"]["method"] == name


def test_a_pair_is_the_same_in_any_batch_and_unlike_the_next(store, name):
    pairs = read_dataset(store.find(pairs_of(name)) / RivalSynthesis.dataset)
    module = load_rival(TRAININGS[name], store.find(TRAININGS[name]))
    images, masks = sampling.draw_pairs(module, pairs_of(name), range(1, 3))
    assert np.abs(images[1].astype(int) - pairs[2].image).max() <= 1  # rounding in another batch
    assert np.mean(masks[1] != pairs[2].mask) < 0.01
    assert np.abs(images[1].astype(int) - pairs[1].image).max() > 1


def test_what_only_trains_is_not_kept(store, name):
    with safe_open(store.find(TRAININGS[name]) / "net.safetensors", framework="pt") as file:
        kept = set(file.keys())
    built = set(method(name).build(TRAININGS[name], 9, 32).state_dict())
    assert kept < built
    left_out = {key.split(".")[0] for key in built - kept}
    assert left_out == {"SinGAN": {"critics"}, "CycleGAN": {"to_good", "critic_defective", "critic_good"}}[name]


def test_weights_of_another_method_or_width_are_refused(store, name):
    artifact = store.find(TRAININGS[name])
    wider = TRAININGS[name].model_copy(update={"channels": 16})
    other = TRAININGS["SinGAN" if name == "CycleGAN" else "CycleGAN"]
    for settings, why in ((wider, r"net.safetensors holds the weights of another network"), (other, ".+")):
        with pytest.raises(UserError, match=rf"^{artifact}: not a readable {settings.method} \({why}\); delete it and"):
            load_rival(settings, artifact)


def test_sampling_goes_on_where_it_was_cut_off(store, tmp_path, monkeypatch):
    settings, inputs = pairs_of("SinGAN", count=5), {"rival": store.find(TRAININGS["SinGAN"])}
    drawn = cut_once(monkeypatch, sampling, "draw_pairs", after=1)
    with pytest.raises(KeyboardInterrupt):
        sampling.run(settings, inputs, tmp_path)
    assert not (tmp_path / settings.dataset).exists()
    assert len(list((tmp_path / UNFINISHED).glob("*.npz"))) == 1
    sampling.run(settings, inputs, tmp_path)
    assert drawn == [range(0, 2), range(2, 4), range(4, 5)]
    undisturbed = read_dataset(store.find(pairs_of("SinGAN")) / settings.dataset)
    resumed = read_dataset(tmp_path / settings.dataset)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(undisturbed, resumed, strict=False))


def test_what_is_shipped_samples_the_same_to_a_grey_level_or_two(store, tmp_path, name):
    settings = TRAININGS[name]
    put = ship(settings, store.find(settings), tmp_path)
    assert put.name == settings.key(any_machine=True)
    shipped = Store(tmp_path / "none", shipped=tmp_path)
    there = settings.model_copy(update={"device": "cuda", "dtype": "bf16"})
    assert shipped.find(there) == put
    assert (put / "net.safetensors").stat().st_size < 0.7 * (store.find(settings) / "net.safetensors").stat().st_size
    whole, rounded = (
        sampling.draw_pairs(load_rival(settings, artifact), pairs_of(name), range(2))[0].astype(int)
        for artifact in (store.find(settings), put)
    )
    assert np.abs(whole - rounded).max() <= 2


def test_training_pairs_and_defect_free_images(name):
    x, good = trained_on(TRAININGS[name])
    assert x.shape == (5, 9, 32, 32)
    assert (float(x.min()), float(x.max())) == (-1, 1)
    if name == "SinGAN":
        assert good is None
    else:
        assert good.shape == x.shape
        assert torch.equal(good[:, 3], torch.ones(5, 32, 32))  # background everywhere
        one = trained_on(TRAININGS[name].model_copy(update={"image": 3}))[1]
        assert torch.equal(one, good[3:4])


def test_every_defect_free_image_is_new_and_shows_no_defect():
    good = load_good(DATA, 5, 3)
    assert [sample.key for sample in good] == [f"softgel_good_{i:05d}" for i in (5, 6, 7)]
    assert not any(sample.present for sample in good)


def test_one_image_or_all_of_them():
    assert load_one_or_all(DATA, None) == load_train(DATA)
    assert load_one_or_all(DATA, 4) == load_train(DATA)[4:]
    with pytest.raises(UserError, match="setting 'image' is 5, but there are 5 training images, 0 to 4"):
        load_one_or_all(DATA, 5)
