"""What networks say of pairs: by hand, with a judge that reads colours, and as a stage with a real oracle."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from defectlib.data.folder import read_dataset
from defectlib.data.loading import load_eval, load_train
from defectlib.data.sample import Sample
from defectlib.engine import RUNNERS
from defectlib.errors import UserError
from defectlib.experiments import judging
from defectlib.segmentation import oracle
from defectlib.segmentation.evaluation import predict
from defectlib.settings import EmbeddedData, Judgement, OracleTraining
from defectlib.store import Store

CLASSES = ("pit", "stain")
STEP = 100  # of a grey level, from class to class


class ReadsColours(torch.nn.Module):
    """Sees class k where the image has the grey level 100 k; its features are the mean of each colour."""

    def __init__(self):
        super().__init__()
        self.levels = torch.nn.Parameter(STEP * torch.arange(3.0))

    def forward(self, images):
        return -(images[:, :1].float() - self.levels.view(1, 3, 1, 1)).abs()

    def features(self, images):
        return images.float().mean(dim=(2, 3))


def painted(key, mask, shown=None):
    """A sample whose image shows ``shown``, by default its mask."""
    levels = (STEP * (mask if shown is None else shown)).astype(np.uint8)
    return Sample(key, np.repeat(levels[..., None], 3, axis=-1), mask, CLASSES, "disc")


def mask_of(**regions):
    mask = np.zeros((8, 8), np.uint8)
    for rows, kind in regions.values():
        mask[rows] = kind
    return mask


PIT = mask_of(pit=(slice(0, 2), 1))
STAIN = mask_of(stain=(slice(4, 8), 2))
BOTH = mask_of(pit=(slice(0, 2), 1), stain=(slice(4, 8), 2))
NONE = mask_of()
FITTING = [painted("a", PIT), painted("b", STAIN), painted("c", BOTH), painted("d", NONE)]


# By hand ------------------------------------------------------------------------------------------------------------


def test_agreement_by_hand():
    masks, seen = np.stack([PIT, NONE]), np.stack([mask_of(pit=(slice(1, 4), 1)), PIT])
    found = judging.agreement(masks, seen, CLASSES)
    # The pit covers 16 pixels of the first mask; 24 are seen there, 8 of them in both, and 16 in the second.
    assert found["iou"] == {
        "background": pytest.approx(80 / 120, abs=1e-6),
        "pit": pytest.approx(8 / 48, abs=1e-6),
        "stain": None,
    }
    assert found["miou"] == pytest.approx((80 / 120 + 8 / 48) / 2, abs=1e-6)
    assert found["miou_foreground"] == pytest.approx(8 / 48, abs=1e-6)
    assert found["pixels"] == (80 + 8) / 128


def test_masks_that_fit_and_masks_that_do_not():
    model = ReadsColours()
    found = judging.see(FITTING, FITTING, model)
    assert found["agreement"]["miou"] == found["agreement"]["pixels"] == 1
    assert found["agreement_of_pairs"] == [1, 1, 1, 1]  # without a defect in either there is nothing to disagree on
    assert found["oracle_features"]["fid"] == pytest.approx(0, abs=1e-6)
    wrong = [painted("a", PIT, STAIN), painted("b", BOTH, STAIN), painted("c", NONE, PIT)]
    found = judging.see(wrong, FITTING, model)
    assert found["agreement_of_pairs"] == [0, pytest.approx(2 / 3, abs=1e-4), 0]
    assert found["agreement"]["iou"]["pit"] == 0
    assert found["oracle_features"]["fid"] > 1


def test_the_features_are_those_of_the_images_and_not_of_the_masks():
    model = ReadsColours()
    shuffled = [dataclasses.replace(sample, mask=NONE) for sample in FITTING]
    ours, theirs = (judging.see(side, FITTING, model) for side in (FITTING, shuffled))
    assert ours["oracle_features"] == theirs["oracle_features"]
    assert ours["agreement"] != theirs["agreement"]


@pytest.mark.usefixtures("no_weights")
def test_without_a_judge_there_is_no_number_and_it_is_said():
    found = judging.judge(FITTING, FITTING, FITTING[:1], None)
    assert found["held_out"] == {}
    assert found["pairs"] == 4
    names = ("agreement", "agreement_of_pairs", "oracle_features", "inception", "lpips")
    assert {name: found[name] for name in names} == dict.fromkeys(names)
    assert len(found["missing"]) == 2
    both = judging.judge(FITTING, FITTING, FITTING[:2], ReadsColours())
    assert both["held_out"]["agreement"]["miou"] == 1
    assert both["inception"] is both["held_out"]["lpips"] is None


@pytest.mark.usefixtures("no_weights")
def test_held_out_images_are_seen_in_sets_as_large_as_that_of_the_pairs():
    wrong = [painted("e", PIT, STAIN), painted("f", PIT)]
    found = judging.judge(FITTING[:2], FITTING, [*FITTING[:2], *wrong, FITTING[0]], ReadsColours())
    alone = [judging.see(samples, FITTING, ReadsColours()) for samples in (FITTING[:2], wrong)]
    assert found["held_out_sets"] == 2  # the fifth image makes no set
    for name, statistic in (("held_out", np.mean), ("held_out_spread", np.std)):
        for key in ("fid", "kid"):
            numbers = [each["oracle_features"][key] for each in alone]
            assert found[name]["oracle_features"][key] == pytest.approx(statistic(numbers))
        assert found[name]["agreement"]["miou"] == pytest.approx(statistic([s["agreement"]["miou"] for s in alone]))
        assert found[name]["agreement"]["iou"]["stain"] == statistic([1.0])  # the masks of one set have none
        assert "agreement_of_pairs" not in found[name]
    few = judging.judge(FITTING, FITTING, FITTING[:3], ReadsColours())
    assert few["held_out_sets"] == 1  # fewer than the pairs: one set of all there are
    assert few["held_out_spread"] == {}


@pytest.mark.parametrize(("miou", "heard"), [(0.9, True), (0.95, True), (0.8999, False), (0.1, False)])
def test_an_oracle_that_errs_too_often_is_not_heard(miou, heard):
    score = {"miou": miou, "iou": {"background": 1.0, "pit": 2 * miou - 1}, "images": 7, "parameters": 3}
    found = judging.hearing(score)
    assert found["oracle"] == {"miou": miou, "iou": score["iou"], "images": 7}
    silent = f"The oracle's own mIoU is {miou:.3f} on 7 unseen scenes: below 0.90 it judges nothing."
    assert found["silent"] == ("" if heard else silent)


# As a stage ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


def run(settings, store, out):
    inputs = {name: store.build(stage, RUNNERS) for name, stage in settings.inputs().items()}
    out.mkdir()
    judging.run(settings, inputs, out)
    return inputs, json.loads((out / judging.JUDGEMENT).read_text())


@pytest.fixture
def settings(smoke):
    data = smoke.data("softgel")
    return smoke.judgement(smoke.synthesis(data))


@pytest.mark.usefixtures("no_weights")
def test_an_oracle_of_four_steps_judges_nothing(settings, store, tmp_path):
    inputs, found = run(settings, store, tmp_path / "out")
    own = oracle.read_score(inputs["oracle"])
    assert own["miou"] < 0.9
    assert found["oracle"]["miou"] == own["miou"]
    assert found["silent"].startswith(f"The oracle's own mIoU is {own['miou']:.3f} on 6 unseen scenes")
    for side in (found, found["held_out"]):
        assert side["agreement"] is side["oracle_features"] is None
    assert found["agreement_of_pairs"] is None
    assert [path.name for path in (tmp_path / "out").iterdir()] == [judging.JUDGEMENT]


@pytest.mark.usefixtures("no_weights")
def test_one_that_is_heard_judges_pairs_and_held_out_images(settings, store, tmp_path, monkeypatch):
    monkeypatch.setattr(oracle, "LEAST_MIOU", 0.0)
    inputs, found = run(settings, store, tmp_path / "out")
    pairs = read_dataset(inputs["synthetic"] / settings.synthetic.dataset)
    model, data = oracle.load(inputs["oracle"]), settings.synthetic.data
    assert found["silent"] == ""
    again = judging.see(pairs, load_train(data), model)
    assert found["agreement"] == again["agreement"]
    assert found["agreement_of_pairs"] == again["agreement_of_pairs"]
    assert found["oracle_features"] == pytest.approx(again["oracle_features"])
    held_out = judging.see(load_eval(data)[: len(pairs)], load_train(data), model)
    assert found["held_out_sets"] == 1
    assert found["held_out"]["agreement"] == held_out["agreement"]
    with np.load(tmp_path / "out" / judging.SEEN) as arrays:
        assert np.array_equal(arrays["seen"], np.stack(predict(model, [pair.image for pair in pairs])))


@pytest.mark.usefixtures("no_weights")
def test_where_no_oracle_can_be_it_is_said(settings, store, tmp_path):
    alone = Judgement(synthetic=settings.synthetic)
    assert set(alone.inputs()) == {"synthetic"}
    _, found = run(alone, store, tmp_path / "out")
    assert found["silent"] == judging.NO_ORACLE
    assert found["oracle"] is found["agreement"] is None


def test_the_stage_has_its_runner_and_finds_what_was_judged(settings, store):
    artifact = store.build(settings, RUNNERS)
    assert Store(store.root, shipped=None).find(settings) == artifact
    assert (artifact / judging.JUDGEMENT).is_file()


# Settings -----------------------------------------------------------------------------------------------------------


def test_an_oracle_judges_what_it_knows(smoke):
    pairs = smoke.synthesis(smoke.data("softgel"))
    other = smoke.oracle_training(smoke.data("washer"))
    with pytest.raises(UserError, match=r"^the oracle knows washer at 32 px, but the pairs are of softgel at 32 px; "):
        Judgement(synthetic=pairs, oracle=other)
    with pytest.raises(UserError, match=r"the pairs are of softgel at 32 px"):
        Judgement(synthetic=pairs, oracle=OracleTraining(product="softgel", size=64, steps=1))


def test_what_a_profile_asks_of_a_judge(smoke):
    data = smoke.data("twill")
    assert smoke.oracle_training(data).model_dump().items() >= smoke.oracle.items()
    assert smoke.oracle_training(data).product == "twill"
    again = smoke.model_copy(update={"retrain": True})
    assert again.oracle_training(data).key(any_machine=True) != smoke.oracle_training(data).key(any_machine=True)
    more = EmbeddedData(product="twill", size=32, shots=3, eval_count=9)
    assert smoke.oracle_training(more) == smoke.oracle_training(data)  # one judge, whatever trained the generator
    assert load_eval(more)[0].key not in {scene.key for scene in oracle.paint(smoke.oracle_training(data))}
