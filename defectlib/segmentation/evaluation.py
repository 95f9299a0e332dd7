"""A trained segmenter on the held-out images, at their own size: per-image counts, and what follows from them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from defectlib import detection, metrics, runtime
from defectlib.data import loading
from defectlib.data.published import native_masks
from defectlib.data.sample import Sample
from defectlib.device import configure
from defectlib.segmentation.augment import window
from defectlib.segmentation.confusion import image_confusions
from defectlib.segmentation.models import Segmenter, parameter_count
from defectlib.segmentation.training import load
from defectlib.settings import Evaluation
from defectlib.store import write_atomically

COUNTS = "counts.npy"
DEFECTS = "defects.npy"
SUMMARY = "summary.json"
PREDICTIONS = "predictions.npz"
SHOWN = 24
"""Predictions kept for figures: those of the first evaluation images."""
BATCH = 16
"""Images, or windows, per forward pass."""


class Judged(NamedTuple):
    """What is known of N images once they were shown to a segmenter.

    Attributes:
        counts: Confusion counts int64 (N, K + 1, K + 1).
        defects: What was found and flagged, int64 (N, K + 1, 3); see :func:`defectlib.detection.tally`.
        shown: Predictions uint8 (H, W) of the first images, :data:`SHOWN` at most.
    """

    counts: np.ndarray
    defects: np.ndarray
    shown: list[np.ndarray]


def run(settings: Evaluation, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: writes ``counts.npy``, ``defects.npy`` (see :class:`Judged`), ``summary.json``, ``predictions.npz``.

    Predictions are uint8 (H, W) arrays ``00``, ``01``, ... in the order of the summary's ``keys``.
    """
    model = load(inputs["segmenter"]).to(configure(settings.segmenter.device))
    data = loading.load(settings.segmenter.data)
    natives = native_masks(settings.segmenter.data, data.eval) if settings.native else None
    judged = judge(model, data.eval, len(data.classes) + 1, settings.segmenter.crop, natives)
    groups = data.eval_groups
    summary = {
        "model": settings.segmenter.model,
        "parameters": parameter_count(model),
        **summarise(judged.counts, groups, data.classes),
        "detection": detected(judged.defects, groups, data.classes),
        "keys": [sample.key for sample in data.eval],
    }
    for name, integers in ((COUNTS, judged.counts), (DEFECTS, judged.defects)):
        with (out / name).open("wb") as file:
            np.save(file, integers, allow_pickle=False)
    with (out / PREDICTIONS).open("wb") as file:
        np.savez_compressed(file, **{f"{i:02d}": pred for i, pred in enumerate(judged.shown)})
    write_atomically(out / SUMMARY, json.dumps(summary, indent=1))


def judge(
    model: Segmenter,
    samples: Sequence[Sample],
    classes: int,
    crop: int | None = None,
    natives: Iterator[np.ndarray] | None = None,
) -> Judged:
    """Show ``samples`` to ``model`` and compare batch by batch; no more predictions are kept than will be shown.

    Args:
        model: In evaluation mode, on the device to use.
        samples: Their sizes may differ.
        classes: K + 1, background included.
        crop: See :func:`predict`.
        natives: The masks uint8 (H, W) to compare with, where those of ``samples`` are at another size than they were
            published: logits are brought to their size bilinearly. What is shown stays as large as the samples.
    """
    counts, defects = [np.zeros((0, classes, classes), np.int64)], [np.zeros((0, classes, 3), np.int64)]
    shown: list[np.ndarray] = []
    masks = (sample.mask for sample in samples)
    for logits in _logits(model, [sample.image for sample in samples], crop):
        seen = _classes(logits)
        pairs = _at_native_size(logits, natives) if natives else [(np.stack(list(islice(masks, len(seen)))), seen)]
        for target, preds in pairs:
            counts.append(image_confusions(torch.from_numpy(target).to(preds.device), preds, classes).cpu().numpy())
            found = zip(target, preds.cpu().numpy(), strict=True)
            defects.append(np.stack([detection.tally(*pair, classes) for pair in found]))
        shown += list(seen[: SHOWN - len(shown)].cpu().numpy())
    return Judged(np.concatenate(counts), np.concatenate(defects), shown)


def _at_native_size(logits: torch.Tensor, natives: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Target and prediction, uint8 (1, H, W) each, of every image of a batch at its mask's own size."""
    for one, target in zip(logits, natives, strict=False):  # the batch is exhausted first: no mask is lost
        enlarged = functional.interpolate(one[None], target.shape, mode="bilinear", align_corners=False)
        yield target[None], _classes(enlarged)


def summarise(counts: np.ndarray, groups: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """What a table needs from counts (N, K + 1, K + 1); fractions in [0, 1], null where there is no value."""
    iou = metrics.iou_per_class(counts)
    low, high = metrics.bootstrap(counts, groups)
    return {
        "miou": _number(metrics.miou(counts)),
        "miou_interval": [_number(low), _number(high)],
        "miou_foreground": _number(metrics.miou_foreground(counts)),
        "iou": {name: _number(value) for name, value in zip(("background", *classes), iou, strict=True)},
        "images": len(counts),
        "groups": len(set(groups)),
        "rule": metrics.RULE,
    }


def detected(defects: np.ndarray, groups: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """What a table needs from ``defects`` (N, K + 1, 3): see :class:`defectlib.detection.Rate`; null for NaN."""
    rates = detection.rates(defects, classes, groups)
    numbers = ("value", "low", "high")
    return {
        "rates": [rate._asdict() | {name: _number(getattr(rate, name)) for name in numbers} for rate in rates],
        "rule": detection.RULE,
    }


def predict(model: Segmenter, images: Sequence[np.ndarray], crop: int | None = None) -> list[np.ndarray]:
    """Class of every pixel, at the images' own sizes.

    Args:
        model: In evaluation mode, on the device to use.
        images: uint8 (H, W, 3) each; sizes may differ.
        crop: Side of a sliding window in pixels; None shows the model whole images.

    Returns:
        Masks uint8 (H, W), one per image.
    """
    return [pred for logits in _logits(model, images, crop) for pred in _classes(logits).cpu().numpy()]


def _classes(logits: torch.Tensor) -> torch.Tensor:
    """The class of every pixel, uint8 (N, H, W), of logits (N, K + 1, H, W)."""
    return logits.argmax(dim=1).to(torch.uint8)


@torch.inference_mode()
def _logits(model: Segmenter, images: Sequence[np.ndarray], crop: int | None) -> Iterator[torch.Tensor]:
    """Logits (n, K + 1, H, W), on the model's device, of consecutive images of one size, as many as fit a batch."""
    with runtime.progress(len(images), "evaluating", unit="image") as bar:
        for _, same_size in groupby(images, key=np.shape):
            members = list(same_size)
            for batch in runtime.batches(len(members), BATCH if crop is None else 1):
                x = _to_device(members[batch.start : batch.stop], model)
                yield model(x) if crop is None else sliding_logits(model, x[0], crop)[None]
                bar.update(len(batch))


def sliding_logits(model: Segmenter, image: torch.Tensor, crop: int) -> torch.Tensor:
    """Logits float32 (K + 1, H, W) of ``image`` uint8 (3, H, W) from windows that overlap by half.

    Each pixel is the average over its windows, weighted by a tent that falls off towards a window's border, where the
    network sees least. An image smaller than the window is reflected up to its size.
    """
    height, width = image.shape[-2:]
    image = window(image, 0, 0, max(height, crop), max(width, crop))
    corners = list(product(_starts(image.shape[-2], crop), _starts(image.shape[-1], crop)))
    ramp = 1 - (torch.arange(crop, device=image.device) - (crop - 1) / 2).abs() / (crop / 2)  # > 0 everywhere
    tent = ramp[:, None] * ramp
    total: torch.Tensor | float = 0.0
    weight = torch.zeros(image.shape[-2:], device=image.device)
    for batch in runtime.batches(len(corners), BATCH):
        chosen = corners[batch.start : batch.stop]
        logits = model(torch.stack([window(image, top, left, crop, crop) for top, left in chosen]))
        if isinstance(total, float):
            total = logits.new_zeros(logits.shape[1], *image.shape[-2:])
        for (top, left), part in zip(chosen, logits, strict=True):
            total[:, top : top + crop, left : left + crop] += part * tent
            weight[top : top + crop, left : left + crop] += tent
    return total.div_(weight)[:, :height, :width]


def _starts(side: int, crop: int) -> list[int]:
    """Where windows start along an axis: every half window, and the last one flush with the border."""
    return [*range(0, side - crop, max(crop // 2, 1)), side - crop]


def _to_device(images: Sequence[np.ndarray], model: Segmenter) -> torch.Tensor:
    stacked = torch.from_numpy(np.stack(images)).movedim(-1, 1)  # (N, 3, H, W)
    return stacked.to(next(model.parameters()).device)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)
