"""How synthetic pairs relate to the training images: likeness, diversity, copies, defects. No network judges here.

Distances are root mean squares over all pixels and colours of two images in [0, 1]. They are only meant for one
product at one size, where they say in plain units whether a sample repeats a training image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from defectlib.data.folder import read_dataset
from defectlib.data.loading import load_eval, load_train
from defectlib.data.sample import Sample, continued
from defectlib.defectgen.crops import drawn_samples
from defectlib.defectgen.measures import defects
from defectlib.defectgen.measures.memorisation import nearness, patch_nearness, share_farther
from defectlib.defectgen.measures.neighbours import pairwise_rms, precision_recall_density_coverage, without_self
from defectlib.defectgen.measures.patches import patches_of_all
from defectlib.defectgen.measures.similarity import diversity
from defectlib.defectgen.measures.spectra import spectrum_distance
from defectlib.defectgen.measures.wasserstein import patch_distance
from defectlib.defectgen.measures.windows import nearest_windows
from defectlib.errors import UserError
from defectlib.runtime import numpy_generator
from defectlib.settings import CropBy, Data, EmbeddedData, Fidelity
from defectlib.store import write_atomically

#: Every measure of :func:`compare` by its key: what it is called, and how it is read.
MEASURES = {
    "nearest_mean": ("distance to the nearest training image", "RMS in [0, 1]; far below the training images': copies"),
    "nearness": ("nearness to a training image", "0 to 1; ½: as near as training images are to each other, 1: copies"),
    "patch_nearness": ("nearness, patch by patch", "the same of patches at one place; blur raises it too"),
    "patch_distance": ("patch distance", "0 and up, thousandths; sliced Wasserstein; 0: details as in training"),
    "spectrum": ("power spectrum", "0 and up, decibels; blurred or noisy pairs are far; 0: grain as in training"),
    "precision": ("precision, images", "0 to 1; share of pairs among the training images"),
    "recall": ("recall, images", "0 to 1; share of training images among the pairs"),
    "density": ("density, images", "0 and up; 1: as the training images lie, above: crowded about them"),
    "coverage": ("coverage, images", "0 to 1; share of training images with a pair near them"),
    "patch_precision": ("precision, patches", "0 to 1; low: details that no training image has"),
    "patch_recall": ("recall, patches", "0 to 1; low: details are lost"),
    "patch_density": ("density, patches", "0 and up; above real images': crowded about the training patches"),
    "patch_coverage": ("coverage, patches", "0 to 1; low: details are lost"),
    "spread": ("distance between two images", "RMS in [0, 1]; low: all alike"),
    "diversity": ("diversity", "0 to 1; 1 − MS-SSIM of two images; low: all alike"),
    "types_distance": ("types of defects", "0 to 1; share of defects to be of another type"),
    "sizes_distance": ("sizes of defects", "0 to 1; mean difference, of the image's side"),
    "places_distance": ("places of defects", "0 and up; mean distance, of the image's side"),
    "defect_free": ("no defect", "0 to 1; share of pairs whose mask is empty"),
}
_POOL_SIDE, _POOL_PLACES = 1 / 4, 4  # patches that cover the image once


def run(settings: Fidelity, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: ``fidelity.json`` with the summary, and the nearest training image of every pair."""
    data = settings.synthetic.data
    synthetic = read_dataset(inputs["synthetic"] / settings.synthetic.dataset)
    if by := settings.synthetic.crop_by:
        measured = measure_crops(synthetic, load_train(data), load_eval(data), by)
    else:
        measured = measure(synthetic, load_train(data), held_out_of(data, len(synthetic)))
    write_atomically(out / "fidelity.json", json.dumps(measured, indent=1))


def measure(synthetic: Sequence[Sample], training: Sequence[Sample], held_out: Sequence[Sample] = ()) -> dict:
    """The measures of ``synthetic`` against ``training``; all images of one size.

    Returns:
        Those of :func:`compare`, by key.
        ``held_out``: the same of ``held_out``, real images that trained nothing: what new pairs should come to; empty
            if they are fewer than two.
        ``training_nearest_mean``: mean distance from a training image to the one nearest to it.
        ``training_spread``, ``training_diversity``, ``training_defect_free``: as in :func:`compare`.
        ``nearest_training``: index of the nearest training image for each pair, ``nearest_distance`` its distance.
        ``types_share``: share of pairs that show each type; ``training_types_share`` likewise.
        ``types_area``: mean share of the image each type covers where it occurs; ``training_types_area`` likewise.

    Raises:
        UserError: There are fewer than two pairs, or training images.
    """
    for name, samples in (("synthetic pairs", synthetic), ("training images", training)):
        if len(samples) < 2:
            raise UserError(f"{name}: {len(samples)} given, but they are compared with each other; take 2 or more")
    to_training = _distances(synthetic, training)
    return {
        "pairs": len(synthetic),
        **compare(synthetic, training),
        "held_out": compare(held_out, training) if len(held_out) > 1 else {},
        "training_nearest_mean": float(without_self(_distances(training, training)).min(axis=1).mean()),
        **{f"training_{name}": value for name, value in _among(training).items()},
        "nearest_training": to_training.argmin(axis=1).tolist(),
        "nearest_distance": to_training.min(axis=1).round(5).tolist(),
        **_types(synthetic, ""),
        **_types(training, "training_"),
    }


def measure_crops(
    synthetic: Sequence[Sample], training: Sequence[Sample], held_out: Sequence[Sample] = (), by: CropBy = "defect"
) -> dict:
    """The measures of pairs from nets that were trained on crops of photographs, which may be of any sizes.

    As :func:`measure` against crops that are drawn as those for training are, and likewise of the held-out photographs.
    But a copy may come from any place, so the nearest training image is the nearest window of any photograph, and for
    the crops themselves that of any photograph but their own.

    Args:
        synthetic: Square pairs of one size.
        training: The photographs that the nets were trained on, two at least.
        held_out: Others.
        by: How crops are drawn, see :class:`~defectlib.defectgen.crops.Crops`.

    Returns:
        As :func:`measure`; ``nearest_training`` counts photographs, and ``nearest_corner`` is the row and column of the
        window in that photograph, continued where it is smaller than a crop.

    Raises:
        UserError: There are fewer than two pairs, or photographs.
    """
    if len(training) < 2:
        raise UserError(
            f"training images: {len(training)} given, but crops are looked for in the others; take 2 or more"
        )
    side = synthetic[0].mask.shape[0]
    photographs = [continued(sample.image, sample.mask, side)[0] for sample in training]
    drawn = drawn_samples(training, side, by)
    new = drawn_samples(held_out, side, by)[: len(synthetic)]
    measured = measure(synthetic, drawn, new)
    # The nearest of all is where a crop is from.
    own = np.sort(nearest_windows(_images(drawn), photographs).distance, axis=1)[:, 1]
    found = nearest_windows(_images(synthetic), photographs)
    nearest = found.distance.argmin(axis=1)
    measured |= _nearest_window(found.distance, own) | {
        "training_nearest_mean": float(own.mean()),
        "nearest_training": nearest.tolist(),
        "nearest_distance": found.distance.min(axis=1).round(5).tolist(),
        "nearest_corner": found.corner[np.arange(len(nearest)), nearest].tolist(),
    }
    if measured["held_out"]:
        measured["held_out"] |= _nearest_window(nearest_windows(_images(new), photographs).distance, own)
    return measured


def compare(samples: Sequence[Sample], training: Sequence[Sample]) -> dict[str, float | None]:
    """Every measure of :data:`MEASURES`, of two or more ``samples`` against two or more ``training`` images.

    Precision to coverage are of images by their pixels, and again (``patch_…``) of patches by theirs: squares of a
    quarter of the image's side that cover it once, pooled over places.
    """
    ours, theirs = _images(samples), _images(training)
    to_training = _distances(samples, training)
    pooled = (np.concatenate(patches_of_all(images, _POOL_SIDE, _POOL_PLACES)) for images in (ours, theirs))
    of_patches = precision_recall_density_coverage(*pooled)
    return {
        "nearest_mean": float(to_training.min(axis=1).mean()),
        "nearness": float(nearness(to_training, _distances(training, training)).mean()),
        "patch_nearness": float(patch_nearness(ours, theirs).mean()),
        "patch_distance": patch_distance(ours, theirs, numpy_generator(0, "patch distance")),
        "spectrum": spectrum_distance(ours, theirs),
        **precision_recall_density_coverage(_flat(ours), _flat(theirs)),
        **{f"patch_{name}": value for name, value in of_patches.items()},
        **_among(samples),
        "types_distance": defects.types_distance(samples, training),
        "sizes_distance": defects.sizes_distance(samples, training),
        "places_distance": defects.places_distance(samples, training),
    }


def table(measured: Mapping[int, Mapping]) -> pd.DataFrame:
    """The measures at several switch steps: a row per measure, a column per u, and what real images come to.

    Args:
        measured: What :func:`measure` returned, by u.

    Returns:
        Index ``measure``; the last two columns are the held-out images against the training images, and the training
        images among themselves where that says something. Numbers that there are not are NaN.
    """
    first = next(iter(measured.values()))
    own = {"nearness": 0.5, "patch_nearness": 0.5} | {key: first.get(f"training_{key}") for key in _OF_ONE_SET}
    columns = {f"u = {u}": found for u, found in measured.items()}
    columns |= {"held out": first["held_out"], "training": own}
    values = {name: [found.get(key) for key in MEASURES] for name, found in columns.items()}
    index = pd.Index([name for name, _ in MEASURES.values()], name="measure")
    return pd.DataFrame(values, index=index, dtype=float)


def points(measured: Mapping[int, Mapping]) -> pd.DataFrame:
    """The same numbers to plot: a row per u, columns ``u`` and what :func:`measure` returned, ``held_out_…`` flat."""
    return pd.json_normalize([{"u": u, **found} for u, found in measured.items()], sep="_")


def explained() -> pd.DataFrame:
    """How each row of :func:`table` is read: index ``measure``, one column."""
    frame = pd.DataFrame(MEASURES.values(), columns=["measure", "range, and how to read it"])
    return frame.set_index("measure")


# Parts --------------------------------------------------------------------------------------------------------------

_OF_ONE_SET = ("nearest_mean", "spread", "diversity", "defect_free")


def _nearest_window(distances: np.ndarray, own: np.ndarray) -> dict[str, float]:
    nearest = distances.min(axis=1)
    return {"nearest_mean": float(nearest.mean()), "nearness": float(share_farther(nearest, own).mean())}


def held_out_of(data: Data, count: int) -> tuple[Sample, ...]:
    """Held-out images, ``count`` at most."""
    if isinstance(data, EmbeddedData):  # it paints what is asked for: no more than is needed
        data = data.model_copy(update={"eval_count": min(count, data.eval_count)})
    return load_eval(data)[:count]


def _among(samples: Sequence[Sample]) -> dict[str, float]:
    """What is measured within one set."""
    images = _images(samples)
    distances = _distances(samples, samples)
    return {
        "spread": float(distances.mean(where=~np.eye(len(distances), dtype=bool))),
        "diversity": diversity(images),
        "defect_free": float(np.mean([not sample.present for sample in samples])),
    }


def _distances(a: Sequence[Sample], b: Sequence[Sample]) -> np.ndarray:
    return pairwise_rms(_flat(_images(a)), _flat(_images(b))) / 255


def _images(samples: Sequence[Sample]) -> np.ndarray:
    return np.stack([sample.image for sample in samples])


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


def _types(samples: Sequence[Sample], prefix: str) -> dict[str, dict[str, float]]:
    shares, areas = {}, {}
    for k, name in enumerate(samples[0].classes, start=1):
        covered = np.array([(sample.mask == k).mean() for sample in samples])
        shares[name] = float((covered > 0).mean())
        areas[name] = float(covered[covered > 0].mean()) if (covered > 0).any() else 0.0
    return {f"{prefix}types_share": shares, f"{prefix}types_area": areas}
