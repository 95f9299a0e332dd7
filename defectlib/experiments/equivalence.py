"""Is one set of pairs as good as another, as far as can be told? Standard errors of measures, and a rule.

Tables here have a row per set of pairs, a column per measure, ``X_error`` beside measure ``X``: its standard error.
The row :data:`REAL` holds what real images come to.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
import pandas as pd

from defectlib.data.sample import Sample
from defectlib.experiments.released import weighted_spread
from defectlib.runtime import numpy_generator

#: The row of real images: held-out ones against the training images; for shares of pairs, the training images.
REAL = ("real images", 0)
#: Measures of images that are judged by: key → name.
OF_IMAGES = {
    "patch_distance": "patch distance (sliced Wasserstein, thousandths)",
    "patch_nearness": "nearness to training patches (0 to 1)",
    "nearest_mean": "distance to the nearest training image (RMS, 0 to 1)",
    "diversity": "diversity (1 − MS-SSIM of two images)",
}
#: All measures that are judged by, but the share of pairs that show each type: key → name.
MEASURES = OF_IMAGES | {"defect_free": "pairs without a defect (%)"}
SHARE = "share of "  # begins the key of a type's share
DRAWS = 400  # resamples of the pairs behind each standard error
LEVEL = 0.05  # of a false alarm over all measures of a set


def row(measured: dict, own_errors: dict[str, float]) -> dict[str, float]:
    """What :func:`defectlib.defectgen.fidelity.measure` returned, as a row of the table."""
    values = {key: measured[key] for key in MEASURES} | _shares(measured["types_share"])
    return values | {f"{key}_error": error for key, error in own_errors.items()}


def real_row(measured: dict) -> dict[str, float | None]:
    """The row :data:`REAL`, from the measures of any set."""
    held_out = {key: measured["held_out"].get(key) for key in MEASURES}
    shares = _shares(measured["training_types_share"])
    return held_out | {"defect_free": measured["training_defect_free"]} | shares


def errors(samples: Sequence[Sample], training: Sequence[Sample], nearest: Sequence[float]) -> dict[str, float]:
    """Standard error of every measure of a set, by bootstrap over its pairs.

    Args:
        samples: The pairs, two or more.
        training: The training images.
        nearest: Distance of each pair to its nearest training image.
    """
    from defectlib.defectgen.measures.memorisation import patch_nearness
    from defectlib.defectgen.measures.resampled import resampled_patch_distance

    count, generator = len(samples), numpy_generator(0, "resampled pairs")
    weights = generator.multinomial(count, np.full(count, 1 / count), DRAWS)
    ours, theirs = (np.stack([sample.image for sample in set_]) for set_ in (samples, training))
    per_pair = {
        "patch_nearness": patch_nearness(ours, theirs),
        "nearest_mean": np.asarray(nearest),
        "defect_free": np.array([not sample.present for sample in samples]),
        **{SHARE + name: np.array([name in sample.present for sample in samples]) for name in samples[0].classes},
    }
    resampled = {
        "patch_distance": resampled_patch_distance(ours, theirs, weights),
        "diversity": weighted_spread(weights, _unlikeness(ours)),
        **{key: weights @ values / count for key, values in per_pair.items()},
    }
    return {key: float(np.nanstd(values)) for key, values in resampled.items()}


def costs(table: pd.DataFrame, reference: Hashable) -> pd.DataFrame:
    """What each set has lost against the reference.

    A measure's cost is how much farther the set is from real images than the reference is: negative where it is nearer.
    It is lost where its cost is beyond what chance gives two sets that are alike, in any of the M measures of a set,
    once in twenty: beyond z₁₋₀.₀₅/ₘ standard errors of their difference.

    Args:
        table: See above; sets without measures are left out.
        reference: The row that all are compared with.

    Returns:
        Index as in ``table`` and ``measure``; columns ``cost``, ``visible`` (the least cost that would count) and
        ``lost``.
    """
    measures = [name for name in table if f"{name}_error" in table]
    z = NormalDist().inv_cdf(1 - LEVEL / len(measures))
    sets = table.drop(index=[REAL]).dropna(subset=[f"{name}_error" for name in measures])
    best, yardstick = sets.loc[reference], table.loc[REAL]
    rows = []
    for label, one in sets.drop(index=[reference]).iterrows():
        for name in measures:
            cost = abs(one[name] - yardstick[name]) - abs(best[name] - yardstick[name])
            visible = z * float(np.hypot(one[f"{name}_error"], best[f"{name}_error"]))
            rows.append((*label, name, cost, visible, cost > visible))
    names = [*table.index.names, "measure"]
    return pd.DataFrame(rows, columns=[*names, "cost", "visible", "lost"]).set_index(names)


def shares(table: pd.DataFrame) -> dict[str, str]:
    """The shares of pairs in a table: without a defect, and with each type; key → name."""
    types = [name for name in table if name.startswith(SHARE) and f"{name}_error" in table]
    return {"defect_free": MEASURES["defect_free"]} | {name: f"{name.removeprefix(SHARE)} (%)" for name in types}


# Parts --------------------------------------------------------------------------------------------------------------


def _shares(types: dict[str, float]) -> dict[str, float]:
    return {SHARE + name: share for name, share in types.items()}


def _unlikeness(images: np.ndarray) -> np.ndarray:
    """1 − MS-SSIM of every two of N images (N, N)."""
    from defectlib.defectgen.measures.similarity import ms_ssim

    found = np.zeros((len(images), len(images)))
    for i, j in zip(*np.triu_indices(len(images), 1), strict=True):
        found[i, j] = found[j, i] = 1 - ms_ssim(images[i], images[j])
    return found
