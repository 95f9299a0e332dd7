"""The oracle: it learns, never sees what it is scored on, goes on after a cut, and can be shipped."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from defectlib.data import procedural
from defectlib.data.encode import stack
from defectlib.data.loading import load_eval, load_train
from defectlib.errors import UserError
from defectlib.runtime import numpy_generator
from defectlib.segmentation import oracle
from defectlib.segmentation.evaluation import predict
from defectlib.settings import EmbeddedData, OracleTraining
from defectlib.shipping import ship
from defectlib.store import Store

SETTINGS = OracleTraining(product="softgel", size=32, scenes=6, unseen=5, width=8, levels=3, steps=4, batch=3)
CLASSES = procedural.PRODUCTS["softgel"].classes


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = Store(tmp_path_factory.mktemp("oracle") / "store", shipped=None)
    made.build(SETTINGS, {"oracle": oracle.run})
    return made


def weights_equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# What it sees -------------------------------------------------------------------------------------------------------


def test_it_is_scored_on_scenes_that_neither_it_nor_a_generator_nor_a_baseline_saw():
    trained, unseen = ({scene.key for scene in oracle.paint(SETTINGS, unseen=which)} for which in (False, True))
    assert (len(trained), len(unseen)) == (6, 5)
    data = EmbeddedData(product="softgel", size=32, eval_count=20)
    others = {sample.key for sample in (*load_train(data), *load_eval(data))}
    assert not trained & unseen
    assert not (trained | unseen) & others


def test_its_score_is_that_of_its_predictions(store):
    artifact = store.find(SETTINGS)
    model, found = oracle.load(artifact), oracle.read_score(artifact)
    scenes = oracle.paint(SETTINGS, unseen=True)
    target = np.stack([scene.mask for scene in scenes])
    preds = np.stack(predict(model, [scene.image for scene in scenes]))
    iou = []
    for k in np.unique(target):
        iou.append(((target == k) & (preds == k)).sum() / ((target == k) | (preds == k)).sum())
    assert found["miou"] == pytest.approx(np.mean(iou), abs=1e-6)
    assert found["images"] == 5
    assert found["iou"].keys() == {"background", *CLASSES}
    assert found["parameters"] == sum(weight.numel() for weight in model.parameters())


def test_it_learns_and_can_overfit_a_few_scenes(tmp_path):
    chosen = SETTINGS.model_copy(update={"scenes": 4, "steps": 150, "batch": 4, "lr": 5e-3, "width": 16})
    model, losses = oracle.fit(chosen, CLASSES, tmp_path)
    assert losses[-1][1] < losses[0][1] / 20
    scenes = oracle.paint(chosen)
    preds = np.stack(predict(model, [scene.image for scene in scenes]))
    defects = np.stack([scene.mask for scene in scenes]) > 0
    right = preds == np.stack([scene.mask for scene in scenes])
    assert right[defects].mean() > 0.9
    assert right.mean() > 0.98


# Parts --------------------------------------------------------------------------------------------------------------


def test_rare_classes_weigh_more_up_to_a_limit():
    masks = torch.zeros(1, 100, 100, dtype=torch.uint8)
    masks[0, :10] = 1
    masks[0, 50, 0] = 2
    weights = oracle.class_rarity(masks, 3)
    mean = 10000 / 3
    assert weights.tolist() == pytest.approx([(mean / 8999) ** 0.5, (mean / 1000) ** 0.5, 8.0])
    assert oracle.class_rarity(masks, 4)[3] == 8  # a class that does not occur


def test_features_are_standardised_means_over_places_of_every_level(store):
    model = oracle.load(store.find(SETTINGS))
    images, _ = stack(oracle.paint(SETTINGS, unseen=True))
    kept = []
    for level in model.net.down:
        level.register_forward_hook(lambda module, given, out: kept.append(out.mean(dim=(2, 3))))
    with torch.inference_mode():
        model(images)
        means = torch.cat(kept, dim=1)
        found = model.features(images)
    assert found.shape == (5, 8 + 16 + 32)
    assert found.mean(dim=0).abs().max() < 1e-3
    alive = means.std(dim=0) > oracle._LEAST_STD
    assert torch.allclose(found.std(dim=0)[alive], torch.ones(int(alive.sum())), atol=1e-3)
    assert alive.sum() > 10
    expected = (means - means.mean(dim=0)) / means.std(dim=0)
    assert torch.allclose(found[:, alive], expected[:, alive], atol=1e-3)


# As an artifact -----------------------------------------------------------------------------------------------------


def test_a_training_cut_off_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    chosen = SETTINGS.model_copy(update={"checkpoint_every": 2})
    whole, losses = oracle.fit(chosen, CLASSES, tmp_path / "whole")
    step, taken = oracle._step, []

    def cut(*arguments):
        taken.append(1)
        if len(taken) == 4:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(oracle, "_step", cut)
    with pytest.raises(KeyboardInterrupt):
        oracle.fit(chosen, CLASSES, tmp_path / "cut")
    resumed, resumed_losses = oracle.fit(chosen, CLASSES, tmp_path / "cut")
    assert len(taken) == 4 + 2  # from the checkpoint after step 1 on
    assert weights_equal(whole, resumed)
    assert losses == resumed_losses


def test_the_seed_decides_and_the_global_generator_is_left_alone(tmp_path):
    state = torch.random.get_rng_state()
    short = SETTINGS.model_copy(update={"steps": 1})
    first, again, other = (
        oracle.fit(short.model_copy(update={"seed": seed}), CLASSES, tmp_path)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(state, torch.random.get_rng_state())
    assert weights_equal(first, again)
    assert not weights_equal(first, other)


def test_a_shipped_oracle_is_found_on_any_machine_and_sees_the_same(store, tmp_path):
    artifact = store.find(SETTINGS)
    shipped = ship(SETTINGS, artifact, tmp_path)
    on_gpu = SETTINGS.model_copy(update={"device": "cuda", "dtype": "bf16"})
    assert Store(tmp_path / "none", tmp_path).find(on_gpu) == shipped
    sizes = [(place / oracle.WEIGHTS).stat().st_size for place in (artifact, shipped)]
    assert 0.45 < sizes[1] / sizes[0] < 0.6
    assert oracle.read_score(shipped) == oracle.read_score(artifact)
    images = numpy_generator(0, "images").integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    ours, theirs = (np.stack(predict(oracle.load(place), list(images))) for place in (artifact, shipped))
    assert np.mean(ours == theirs) > 0.99
    assert ship(SETTINGS, shipped, tmp_path) == shipped
    assert not [path for path in shipped.parent.iterdir() if path.name.startswith(".")]


# What cannot be done ------------------------------------------------------------------------------------------------


def test_what_cannot_be_trained(tmp_path):
    with pytest.raises(UserError, match=r"^unknown product 'wahser': did you mean 'washer'\?"):
        oracle.run(SETTINGS.model_copy(update={"product": "wahser"}), {}, tmp_path)
    with pytest.raises(UserError, match=r"^setting 'size' is 50 px, but the oracle needs a multiple of 8 px$"):
        OracleTraining(product="softgel", size=50, steps=1)


def test_a_damaged_oracle_is_one_line(store, tmp_path):
    card = oracle.read_score(store.find(SETTINGS)) | {"width": 4}
    (tmp_path / oracle.SCORE).write_text(json.dumps(card))
    (tmp_path / oracle.WEIGHTS).write_bytes((store.find(SETTINGS) / oracle.WEIGHTS).read_bytes())
    for spoil in ("of another width", "cut in half", "without a score"):
        with pytest.raises(UserError, match=r"not a readable oracle \(.+\); delete it and train again$") as told:
            oracle.load(tmp_path)
        assert "\n" not in str(told.value), spoil
        if spoil == "of another width":
            (tmp_path / oracle.WEIGHTS).write_bytes(b"half")
        else:
            (tmp_path / oracle.SCORE).unlink(missing_ok=True)


def test_the_painter_of_the_scenes_is_part_of_the_identity(monkeypatch):
    before = SETTINGS.key()
    monkeypatch.setitem(EmbeddedData.versions, "painter_version", 99)
    assert SETTINGS.key() != before
