import json
import math

import numpy as np
import pytest
import torch

from defectlib.data import folder, loading
from defectlib.data.sample import Sample
from defectlib.errors import UserError
from defectlib.segmentation import training
from defectlib.segmentation.evaluation import predict
from defectlib.segmentation.models import MODELS
from defectlib.settings import EmbeddedData, SegmenterTraining

CLASSES = ("bright", "dark")
DATA = EmbeddedData(product="softgel", size=32, shots=1, eval_count=4)


def settings(**changes):
    return SegmenterTraining(**{"data": DATA, "model": "UNet", "steps": 4, "batch": 2, **changes})


def squares(count, side=32, classes=CLASSES, seed=0):
    """Grey noise with one bright or dark square in turn; a sample of each kind in every two."""
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(count):
        image = rng.integers(110, 140, (side, side, 3)).astype(np.uint8)
        mask = np.zeros((side, side), np.uint8)
        row, column = rng.integers(2, side - 12, 2)
        mask[row : row + 10, column : column + 10] = 1 + i % 2
        image[mask == 1], image[mask == 2] = 220, 30
        samples.append(Sample(f"{i:03d}", image, mask, classes, "grey"))
    return samples


def weights_equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# Training -----------------------------------------------------------------------------------------------------------


def test_it_learns(tmp_path):
    chosen = settings(model="UNet", steps=25, batch=4, lr=3e-3)
    model, losses = training.fit(chosen, squares(6), (), CLASSES, tmp_path / "unfinished")
    assert [step for step, _ in losses] == list(range(25))
    assert losses[-1][1] < losses[0][1] / 2
    unseen = squares(6, seed=1)
    preds = predict(model, [sample.image for sample in unseen])
    assert np.mean([pred == sample.mask for pred, sample in zip(preds, unseen, strict=True)]) > 0.9
    assert not model.training
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.parametrize("name", MODELS)
def test_a_run_cut_off_goes_on_to_the_same_weights(tmp_path, monkeypatch, name):
    chosen = settings(model=name, steps=3, checkpoint_every=2)
    whole, losses = training.fit(chosen, squares(3), squares(2, seed=5), CLASSES, tmp_path / "whole")

    poly, visited = training.poly, []

    def cut(lr, step, steps):
        visited.append(step)
        if step == 2 and visited.count(2) == 1:
            raise KeyboardInterrupt
        return poly(lr, step, steps)

    monkeypatch.setattr(training, "poly", cut)
    with pytest.raises(KeyboardInterrupt):
        training.fit(chosen, squares(3), squares(2, seed=5), CLASSES, tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["checkpoint.safetensors"]
    torch.rand(7)  # chance consumed elsewhere must not matter
    resumed, resumed_losses = training.fit(chosen, squares(3), squares(2, seed=5), CLASSES, tmp_path / "cut")
    assert visited == [0, 1, 2, 2]
    assert weights_equal(whole, resumed)
    assert losses == resumed_losses


def test_the_seed_decides_and_the_global_generator_is_left_alone(tmp_path):
    state = torch.random.get_rng_state()
    first, again, other = (
        training.fit(settings(steps=1, seed=seed), squares(2), (), CLASSES, tmp_path)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(state, torch.random.get_rng_state())
    assert weights_equal(first, again)
    assert not weights_equal(first, other)


def test_crops_of_images_of_several_sizes_in_half_precision(tmp_path):
    images = [*squares(2, side=48), *squares(2, side=24)]
    model, losses = training.fit(settings(crop=32, dtype="bf16", steps=2), images, (), CLASSES, tmp_path)
    assert all(math.isfinite(loss) for _, loss in losses)
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


def test_long_loss_curves_are_thinned(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LOSS_POINTS", 3)
    _, losses = training.fit(settings(steps=8), squares(2), (), CLASSES, tmp_path)
    assert [step for step, _ in losses] == [0, 2, 4, 6, 7]


def test_what_cannot_be_trained(tmp_path):
    with pytest.raises(UserError, match=r"^training images differ in size \(32x32, 48x48\): set crop$"):
        training.fit(settings(), squares(2), squares(1, side=48), CLASSES, tmp_path)


# Parts --------------------------------------------------------------------------------------------------------------


def test_poly_rule():
    assert training.poly(0.1, 0, 100) == 0.1
    assert training.poly(0.1, 50, 100) == pytest.approx(0.1 * 0.5**0.9)
    assert training.poly(0.1, 100, 100) == 0


def pool(real, synthetic):
    return training.Pool(real, synthetic, torch.device("cpu"))


@pytest.mark.parametrize(("real", "synthetic", "share"), [(4, 0, 0), (8, 2, 1 / 5), (4, 4, 1 / 2), (2, 40, 1 / 2)])
def test_synthetic_pairs_in_proportion_but_never_more_than_half(real, synthetic, share):
    pairs = pool(squares(real), squares(synthetic))
    draw = torch.Generator().manual_seed(0)
    drawn = np.array([pairs.draw(place, draw)[0] >= real for place in range(400)])
    assert drawn.mean() == share
    assert set(drawn.reshape(-1, 8).sum(axis=1)) <= {math.floor(8 * share), math.ceil(8 * share)}


def test_strata_take_turns_however_rare():
    plain = [Sample(f"plain{i}", s.image, np.zeros_like(s.mask), CLASSES, "grey") for i, s in enumerate(squares(2))]
    both = squares(1)[0].mask.copy()
    both[0, 0] = 2
    mixed = Sample("mixed", squares(1)[0].image, both, CLASSES, "grey")
    pairs = pool([*squares(8)[::2], mixed, *plain], [])  # four bright ones, one bright and dark, two without defects
    draw = torch.Generator().manual_seed(0)
    drawn = [pairs.draw(place, draw) for place in range(300)]
    kinds = [kind for _, kind in drawn]
    assert kinds == [0, 1, 2] * 100
    assert {index for index, kind in drawn if kind == 2} == {4}
    assert {index for index, kind in drawn if kind == 1} == {0, 1, 2, 3, 4}
    assert {index for index, kind in drawn if kind == 0} == {5, 6}


def test_a_batch_follows_from_its_step():
    pairs = pool(squares(4), squares(4, seed=1))
    images, masks = pairs.batch(settings(batch=6), 3)
    assert images.shape == (6, 3, 32, 32)
    assert masks.shape == (6, 32, 32)
    assert masks.dtype == torch.int64
    assert all(torch.equal(a, b) for a, b in zip((images, masks), pairs.batch(settings(batch=6), 3), strict=True))
    assert not torch.equal(images, pairs.batch(settings(batch=6), 4)[0])


# The stage ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    out = tmp_path_factory.mktemp("segmenter")
    real = loading.load_train(DATA)
    (out / "synthetic").mkdir()
    folder.write_dataset(out / "synthetic" / "dataset", real[:3])
    training.run(settings(steps=2), {"synthetic": out / "synthetic"}, out)
    return out


def test_the_artifact(artifact):
    card = json.loads((artifact / "model.json").read_text())
    real = loading.load_train(DATA)
    assert card["model"] == "UNet"
    assert card["classes"] == list(real[0].classes)
    assert (card["real"], card["synthetic"]) == (len(real), 3)
    assert [step for step, _ in json.loads((artifact / "losses.json").read_text())] == [0, 1]
    expected, _ = training.fit(settings(steps=2), real, real[:3], real[0].classes, artifact / "none")
    assert weights_equal(training.load(artifact), expected)
    assert not training.load(artifact).training


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("model.safetensors", r"not a readable segmenter \(.+\); delete it and train again$"),
        ("model.json", r"model\.json: cannot be read as JSON \(.+\); delete the folder and train again$"),
    ],
)
def test_a_file_cut_in_half_is_one_line(artifact, tmp_path, name, fault):
    for file in ("model.safetensors", "model.json"):
        (tmp_path / file).write_bytes((artifact / file).read_bytes())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=fault) as error:
        training.load(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_of_another_model_are_one_line(artifact, tmp_path):
    card = json.loads((artifact / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(card | {"model": "M-B0"}))
    (tmp_path / "model.safetensors").write_bytes((artifact / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"not a readable segmenter \(Error\(s\) in loading state_dict") as error:
        training.load(tmp_path)
    assert "\n" not in str(error.value)


def test_an_unknown_model_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(UserError, match="unknown model 'segfromer': did you mean 'M-B0'"):
        training.run(settings(model="segfromer", data=EmbeddedData(product="nothing")), {}, tmp_path)


def test_synthetic_pairs_of_other_classes_are_refused(tmp_path):
    (tmp_path / "synthetic").mkdir()
    folder.write_dataset(tmp_path / "synthetic" / "dataset", squares(2))
    with pytest.raises(
        UserError, match=r"synthetic.dataset: its classes are bright, dark, those of the real images scratch"
    ):
        training.run(settings(), {"synthetic": tmp_path / "synthetic"}, tmp_path)
