import json

import numpy as np
import pytest
import torch
from torch import nn

from defectlib import metrics
from defectlib.config import EmbeddedData, Evaluation, SegmenterTraining
from defectlib.data import loading
from defectlib.segmentation import evaluation, training
from defectlib.segmentation.models import Segmenter
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
    assert summary["model"] == "UNet"
    assert summary["images"] == summary["groups"] == 26
    assert preds.files == [f"{i:02d}" for i in range(24)]
    for i, sample in enumerate(held[:24]):
        np.testing.assert_array_equal(counts[i], metrics.confusion(sample.mask, preds[f"{i:02d}"], counts.shape[1]))
