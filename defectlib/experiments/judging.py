"""Do masks and images fit, and how far are the features of pairs from those of real images? Networks are asked.

The oracle of the product (:mod:`defectlib.segmentation.oracle`) is one of them, if it is right often enough itself. The
others are Inception and LPIPS, if their weights are on this machine. What cannot be asked is null, and it is said why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from defectlib import metrics
from defectlib.data.encode import stack
from defectlib.data.folder import read_dataset
from defectlib.data.loading import load_eval, load_train
from defectlib.data.sample import Sample
from defectlib.defectgen.crops import drawn_samples
from defectlib.defectgen.measures import networks
from defectlib.defectgen.measures.features import frechet_distance, kernel_distance
from defectlib.device import configure
from defectlib.segmentation import oracle
from defectlib.segmentation.evaluation import predict
from defectlib.settings import Judgement
from defectlib.store import write_atomically

JUDGEMENT = "judgement.json"
SEEN = "seen.npz"
NO_ORACLE = (
    "No oracle can be trained for this product, whose scenes cannot be painted: it is not judged whether masks fit."
)


def run(settings: Judgement, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: ``judgement.json``, and where an oracle judges, ``seen.npz`` with what it sees in every pair."""
    pairs = read_dataset(inputs["synthetic"] / settings.synthetic.dataset)
    data = settings.synthetic.data
    model, said = None, {"oracle": None, "silent": NO_ORACLE}
    if settings.oracle is not None:
        said = hearing(oracle.read_score(inputs["oracle"]))
        if not said["silent"]:
            model = oracle.load(inputs["oracle"]).to(configure(settings.oracle.device))
    training, held_out = load_train(data), load_eval(data)
    if by := settings.synthetic.crop_by:
        training, held_out = (drawn_samples(side, pairs[0].mask.shape[0], by) for side in (training, held_out))
    found = said | judge(pairs, training, held_out, model)
    if model is not None:
        with (out / SEEN).open("wb") as file:
            np.savez_compressed(file, seen=_seen(pairs, model))
    write_atomically(out / JUDGEMENT, json.dumps(found, indent=1))


def hearing(score: Mapping[str, Any]) -> dict[str, Any]:
    """Whether an oracle of that ``score`` may judge.

    Returns:
        ``oracle``: of its score, ``miou``, ``iou`` and the number of ``images``, scenes unseen by it.
        ``silent``: why it judges nothing; empty if it does judge.
    """
    own = {key: score[key] for key in ("miou", "iou", "images")}
    silent = (
        f"The oracle's own mIoU is {score['miou']:.3f} on {score['images']} unseen scenes: below "
        f"{oracle.LEAST_MIOU:.2f} it judges nothing."
    )
    return {"oracle": own, "silent": "" if score["miou"] >= oracle.LEAST_MIOU else silent}


def judge(
    pairs: Sequence[Sample], training: Sequence[Sample], held_out: Sequence[Sample], model: oracle.Oracle | None
) -> dict[str, Any]:
    """What networks say of ``pairs``; all images of one size.

    Args:
        held_out: Real images that trained nothing: their values are what new pairs should come to. They are seen in
            sets of as many as there are pairs, since some distances depend on the number and all of them on chance.
        model: None where no oracle judges.

    Returns:
        Those of :func:`see`; ``held_out``, the means of the same over sets of real images, and ``held_out_spread``,
        their standard deviations; both empty if there are too few images; ``held_out_sets``, how many there are; and
        ``missing``, a sentence for each judge that is not at hand.
    """
    count = min(len(pairs), len(held_out))
    sets = [held_out[i : i + count] for i in range(0, len(held_out) - count + 1, count)] if count > 1 else []
    known = _known(training, model)
    found = [_see(samples, known, model) for samples in sets]
    return {
        "pairs": len(pairs),
        **_see(pairs, known, model),
        "held_out": _over(found, np.mean) if found else {},
        "held_out_spread": _over(found, np.std) if len(found) > 1 else {},
        "held_out_sets": len(found),
        "missing": networks.missing(),
    }


def see(samples: Sequence[Sample], training: Sequence[Sample], model: oracle.Oracle | None) -> dict[str, Any]:
    """What networks say of two or more ``samples``; null where there is no such judge.

    Returns:
        ``agreement``: see :func:`agreement`.
        ``agreement_of_pairs``: of the pixels where the sample's mask or the oracle has a defect, the share where both
        have the same one, for each sample; 1 where neither has any.
        ``oracle_features`` and ``inception``: ``fid`` and ``kid`` of the features of samples and training images.
        ``lpips``: see :func:`defectlib.defectgen.measures.networks.perceptual_diversity`.
    """
    return _see(samples, _known(training, model), model)


def _known(training: Sequence[Sample], model: oracle.Oracle | None) -> dict[str, np.ndarray | None]:
    """The features of the training images, by network: the same for every set that is compared with them."""
    return {
        "oracle": None if model is None else _features(training, model),
        "inception": networks.inception_features(_images(training)),
    }


def _see(
    samples: Sequence[Sample], known: Mapping[str, np.ndarray | None], model: oracle.Oracle | None
) -> dict[str, Any]:
    images = _images(samples)
    inception = None if known["inception"] is None else networks.inception_features(images)
    found: dict[str, Any] = dict.fromkeys(("agreement", "agreement_of_pairs", "oracle_features"))
    if model is not None:
        target, seen = np.stack([sample.mask for sample in samples]), _seen(samples, model)
        found = {
            "agreement": agreement(target, seen, samples[0].classes),
            "agreement_of_pairs": _of_each(target, seen).round(4).tolist(),
            "oracle_features": _distances(_features(samples, model), known["oracle"]),
        }
    return found | {
        "inception": None if inception is None else _distances(inception, known["inception"]),
        "lpips": networks.perceptual_diversity(images),
    }


def agreement(masks: np.ndarray, seen: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """How masks, uint8 (N, H, W), agree with what is ``seen`` in their images, as if they were the truth.

    Returns:
        ``miou`` and ``miou_foreground``, over the classes that occur in the masks; ``iou`` by class, null for those
        that do not; ``pixels``, the share of all pixels where both are the same.
    """
    counts = metrics.image_counts(list(masks), list(seen), len(classes) + 1)
    iou = metrics.iou_per_class(counts)
    return {
        "miou": _number(metrics.miou(counts)),
        "miou_foreground": _number(metrics.miou_foreground(counts)),
        "iou": {name: _number(value) for name, value in zip(("background", *classes), iou, strict=True)},
        "pixels": _number(np.mean(masks == seen)),
    }


# Parts --------------------------------------------------------------------------------------------------------------


def _images(samples: Sequence[Sample]) -> np.ndarray:
    return np.stack([sample.image for sample in samples])


def _seen(samples: Sequence[Sample], model: oracle.Oracle) -> np.ndarray:
    return np.stack(predict(model, [sample.image for sample in samples]))


def _features(samples: Sequence[Sample], model: oracle.Oracle) -> np.ndarray:
    device = next(model.parameters()).device
    with torch.inference_mode():
        return torch.cat([model.features(images.to(device)) for images in stack(samples)[0].split(16)]).cpu().numpy()


def _distances(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    return {"fid": frechet_distance(ours, theirs), "kid": kernel_distance(ours, theirs)}


def _of_each(masks: np.ndarray, seen: np.ndarray) -> np.ndarray:
    either = ((masks > 0) | (seen > 0)).sum(axis=(1, 2))
    both = ((masks == seen) & (masks > 0)).sum(axis=(1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def _over(found: Sequence[Any], statistic: Callable[[list[float]], float]) -> Any:
    """A statistic of every number over dictionaries of one shape; None where none has a number, lists are left out."""
    if isinstance(found[0], Mapping):
        names = [name for name, value in found[0].items() if not isinstance(value, list)]
        return {name: _over([each[name] for each in found], statistic) for name in names}
    numbers = [value for value in found if value is not None]
    return float(statistic(numbers)) if numbers else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
