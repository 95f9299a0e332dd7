import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from defectlib import detection, metrics
from defectlib.data import loading
from defectlib.data.sample import Sample
from defectlib.segmentation import evaluation, training
from defectlib.segmentation.models import Segmenter
from defectlib.settings import EmbeddedData, Evaluation, SegmenterTraining
from defectlib.store import Store


def pixelwise(classes=4, seed=0):
    """A segmenter that judges each pixel by its colour alone, so that the way images are cut cannot matter."""
    net = nn.Conv2d(3, classes, 1)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)))
    return Segmenter(net, min_side=1).eval()


class Position(nn.Module):
    """Logits that grow from 0 at the centre of whatever is shown to the network towards its border."""

    def forward(self, x):
        rows, columns = (torch.arange(side) - (side - 1) / 2 for side in x.shape[-2:])
        far = torch.maximum(rows.abs()[:, None], columns.abs()[None])
        return far.expand(len(x), 1, *x.shape[-2:])


def image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (70, 90), (20, 50), (33, 32), (9, 7)])
def test_sliding_windows_cover_every_pixel_once(size):
    model = pixelwise()
    x = torch.from_numpy(image(*size)).movedim(-1, 0)
    with torch.inference_mode():
        torch.testing.assert_close(evaluation.sliding_logits(model, x, 32), model(x[None])[0])


def test_windows_are_weighted_towards_their_centres():
    model = Segmenter(Position(), min_side=32)
    with torch.inference_mode():
        logits = evaluation.sliding_logits(model, torch.zeros(3, 96, 96, dtype=torch.uint8), 32)[0]
    # In the interior four windows meet; an even mean of them would never fall below 8 there.
    assert logits[32:64, 32:64].min() < 4
    assert logits[32:64, 32:64].max() < 12
    assert logits[0, 0] == pytest.approx(15.5)


def test_predictions_keep_order_and_size():
    model = pixelwise()
    images = [image(40, 64, 0), image(40, 64, 1), image(64, 40, 2), image(40, 64, 3)]
    whole, sliding = evaluation.predict(model, images), evaluation.predict(model, images, crop=32)
    for picture, pred, slid in zip(images, whole, sliding, strict=True):
        with torch.inference_mode():
            expected = model(torch.from_numpy(picture).movedim(-1, 0)[None])[0].argmax(dim=0)
        assert pred.dtype == np.uint8
        np.testing.assert_array_equal(pred, expected)
        np.testing.assert_array_equal(slid, expected)


def test_batches_do_not_matter(monkeypatch):
    model = pixelwise()
    images = [image(32, 32, i) for i in range(5)]
    together = evaluation.predict(model, images)
    monkeypatch.setattr(evaluation, "BATCH", 2)
    np.testing.assert_array_equal(together, evaluation.predict(model, images))


@pytest.mark.parametrize("crop", [None, 32])
def test_judging_batch_by_batch_gives_what_all_predictions_together_give(crop):
    model, types = pixelwise(), ("scratch", "stain", "pit")
    sizes = [(40, 64)] * 20 + [(64, 40), (33, 70), (33, 70), (40, 64)] + [(16, 16)] * 5
    masks = [np.random.default_rng(i).integers(0, 4, size).astype(np.uint8) for i, size in enumerate(sizes)]
    samples = [Sample(str(i), image(*mask.shape, i), mask, types, "plate") for i, mask in enumerate(masks)]
    judged = evaluation.judge(model, samples, 4, crop)
    preds = evaluation.predict(model, [sample.image for sample in samples], crop)
    assert judged.counts.dtype == judged.defects.dtype == np.int64
    np.testing.assert_array_equal(judged.counts, metrics.image_counts(masks, preds, 4))
    np.testing.assert_array_equal(
        judged.defects, [detection.tally(mask, pred, 4) for mask, pred in zip(masks, preds, strict=True)]
    )
    assert len(judged.shown) == evaluation.SHOWN == 24
    for kept, pred in zip(judged.shown, preds, strict=False):
        np.testing.assert_array_equal(kept, pred)


def test_squashed_images_are_compared_at_the_size_of_their_published_masks():
    model, types = pixelwise(), ("scratch", "stain", "pit")
    draw = np.random.default_rng(0)
    natives = [draw.integers(0, 4, size).astype(np.uint8) for size in [(48, 80)] * 18 + [(64, 32), (20, 20)]]
    samples = [
        Sample(str(i), image(32, 32, i), np.zeros((32, 32), np.uint8), types, "plate") for i in range(len(natives))
    ]
    judged = evaluation.judge(model, samples, 4, natives=iter(natives))
    assert [int(counts.sum()) for counts in judged.counts] == [mask.size for mask in natives]
    for sample, mask, counts, defects in zip(samples, natives, judged.counts, judged.defects, strict=True):
        x = torch.from_numpy(sample.image).movedim(-1, 0)[None]
        with torch.inference_mode():
            logits = functional.interpolate(model(x), mask.shape, mode="bilinear", align_corners=False)
        pred = logits[0].argmax(dim=0).numpy().astype(np.uint8)
        np.testing.assert_array_equal(counts, metrics.confusion(mask, pred, 4))
        np.testing.assert_array_equal(defects, detection.tally(mask, pred, 4))
    assert {pred.shape for pred in judged.shown} == {(32, 32)}


def test_judging_nothing_gives_counts_of_no_image():
    judged = evaluation.judge(pixelwise(), [], 4)
    assert (judged.counts.shape, judged.defects.shape, judged.shown) == ((0, 4, 4), (0, 4, 3), [])


def test_predicting_leaves_the_callers_gradients_on():
    steps = evaluation._logits(pixelwise(), [image(16, 16)] * 40, None)
    assert next(steps).shape == (evaluation.BATCH, 4, 16, 16)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_summary_of_defects_names_types_and_the_rule_and_holds_valid_json():
    target = np.zeros((2, 8, 8), np.uint8)
    target[:, :4] = 1
    tallies = np.stack([detection.tally(mask, mask, 3) for mask in target])
    summary = evaluation.detected(tallies, ["a", "b"], ("scratch", "stain"))
    lines = {(line["measure"], line["of"]): line for line in summary["rates"]}
    expected = {"measure": "recall", "of": "scratch", "cases": 2, "value": 1, "low": 1, "high": 1}
    assert lines["recall", "scratch"] == expected
    assert lines["recall", "stain"] == expected | {"of": "stain", "cases": 0} | dict.fromkeys(("value", "low", "high"))
    assert lines["false-positive rate", "defect-free images"]["value"] is None
    assert summary["rule"] == detection.RULE
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_summary_names_absent_classes_and_holds_valid_json():
    target = np.zeros((3, 8, 8), np.uint8)
    target[:, :4] = 1
    counts = metrics.image_counts(target, target, 3)
    summary = evaluation.summarise(counts, ["a", "a", "b"], ("scratch", "stain"))
    assert summary["iou"] == {"background": 1, "scratch": 1, "stain": None}
    assert summary["miou"] == summary["miou_foreground"] == 1
    assert summary["miou_interval"] == [1, 1]
    assert (summary["images"], summary["groups"]) == (3, 2)
    assert summary["rule"] == metrics.RULE
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_the_stage_through_the_store(tmp_path):
    data = EmbeddedData(product="softgel", size=32, shots=1, eval_count=26)
    settings = Evaluation(segmenter=SegmenterTraining(data=data, model="UNet", steps=2, batch=2))
    runners = {"segmenter": training.run, "evaluation": evaluation.run}
    artifact = Store(tmp_path, shipped=None).build(settings, runners)

    held = loading.load_eval(data)
    counts = np.load(artifact / "counts.npy", allow_pickle=False)
    summary = json.loads((artifact / "summary.json").read_text())
    preds = np.load(artifact / "predictions.npz", allow_pickle=False)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(
        counts.sum(axis=2), [np.bincount(sample.mask.ravel(), minlength=counts.shape[1]) for sample in held]
    )
    assert summary["keys"] == [sample.key for sample in held]
    assert summary["miou"] == pytest.approx(metrics.miou(counts), abs=1e-6)
    assert summary["miou_interval"] == pytest.approx(metrics.bootstrap(counts, None), abs=1e-6)
    defects = np.load(artifact / "defects.npy", allow_pickle=False)
    assert defects.shape == (26, counts.shape[1], 3)
    rates = detection.rates(defects, held[0].classes, None)
    assert [line["cases"] for line in summary["detection"]["rates"]] == [rate.cases for rate in rates]
    assert summary["detection"]["rates"][0]["value"] == pytest.approx(rates[0].value, abs=1e-6)
    assert summary["model"] == "UNet"
    assert summary["images"] == summary["groups"] == 26
    assert preds.files == [f"{i:02d}" for i in range(24)]
    for i, sample in enumerate(held[:24]):
        np.testing.assert_array_equal(counts[i], metrics.confusion(sample.mask, preds[f"{i:02d}"], counts.shape[1]))
        np.testing.assert_array_equal(defects[i], detection.tally(sample.mask, preds[f"{i:02d}"], counts.shape[1]))
