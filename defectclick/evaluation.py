"""A simulated annotator at work: one method, up to 20 clicks on every defect, and what they are worth.

A *defect* is all that an image shows of one type: that is what an index mask asks for. Every click goes to the middle
of the largest error (:func:`defectclick.clicks.next_click`); the annotator stops where the mask is good enough to be
left as it is (:data:`GOOD_ENOUGH`) and keeps it. The number of clicks and this annotator are those of Xu et al. (2016);
the F-score of the boundary is that of Csurka et al. (2013) and of the DAVIS benchmark (Perazzi et al. 2016).
"""

from __future__ import annotations

import io
import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from defectclick import sam_weights
from defectclick.clicks import Click, Clicker, load_method, next_click
from defectlib import runtime
from defectlib.data import loading
from defectlib.data.sample import Sample
from defectlib.errors import UserError
from defectlib.settings import Clicking
from defectlib.store import UNFINISHED, write_atomically

OBJECTS, REPLAYS = "objects.json", "replays"
GOOD_ENOUGH = 0.95  # the IoU at which the annotator stops
SHOWN = 2  # defects of each type whose masks are kept, click by click: the first ones
SLACK = (0.5, 1.0, 2.0)  # how exact people draw: boundary tolerances, in times the usual one
MOST_CLICKS = 20
TARGETS = (0.80, 0.85, 0.90)  # IoUs that the number of clicks is counted to
TOLERANCE = 0.0075
"""How far boundaries may be apart, as a share of the image's diagonal: that of DAVIS; at least one pixel."""
_EIGHT = np.ones((3, 3), bool)


def run(settings: Clicking, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: writes ``objects.json`` and, for a few defects, the masks after each click.

    ``objects.json`` holds ``objects``, each as :func:`outcome` has it, with the name of its replay
    (:func:`read_replay`) or none; ``seconds``, the median of a click's time; and ``weights``, the name of those of SAM.

    Raises:
        UserError: The method's weights are not at hand.
    """
    method = clicker(settings, inputs)
    data = loading.load(settings.data)
    parts = out / UNFINISHED
    parts.mkdir(exist_ok=True)
    numbers = chosen(data.eval, settings.images)
    samples = [data.eval[number] for number in numbers]
    with runtime.progress(len(samples), f"{settings.method} on {data.product}", unit="image") as bar:
        for number, sample, shown in zip(numbers, samples, first_of_each(samples), strict=True):
            part = parts / f"{number:05d}.json"
            if not part.exists():  # else a run that was cut off did it
                about = {"number": number, "key": sample.key, "group": data.groups[sample.key]}
                _click_through(method, settings.clicks, sample, about, shown, part)
            bar.update()
    found = [json.loads(part.read_text()) for part in sorted(parts.glob("*.json"))]
    (out / REPLAYS).mkdir()
    for picture in sorted(parts.glob("*.png")):
        shutil.copyfile(picture, out / REPLAYS / picture.name)
    summary = {
        "objects": [one for part in found for one in part["objects"]],
        "seconds": float(np.median([s for part in found for s in part["seconds"]] or [0.0])),
        "weights": settings.weights,
    }
    write_atomically(out / OBJECTS, json.dumps(summary))


def clicker(settings: Clicking, inputs: Mapping[str, Path]) -> Clicker:
    """The method that a stage names.

    Raises:
        UserError: Its weights are not at hand.
    """
    # Each loads libraries of its own: those of the one that is asked for are enough, and a plan needs none.
    if settings.method == "SAM":
        found = sam_weights.find()
        if found is None:
            raise UserError(sam_weights.ABSENT)
        from defectclick.sam import Sam

        return Sam(found[1])
    if settings.method == "Defect-Click":
        from defectclick import focal

        return focal.load(inputs["clicker"])
    return load_method(settings.method)


def chosen(samples: Sequence[Sample], count: int | None) -> list[int]:
    """Numbers of the images that are clicked on, those with a defect; of these ``count``, types taking turns.

    Folders are sorted by name, and so often by type: their first images would show one type alone.
    """
    seen: dict[str, int] = {}
    turns = []
    for number, sample in enumerate(samples):
        if sample.present:
            turns.append((min(seen.get(name, 0) for name in sample.present), number))
        seen |= {name: seen.get(name, 0) + 1 for name in sample.present}
    return sorted(number for _, number in sorted(turns)[:count])


def first_of_each(samples: Sequence[Sample]) -> list[set[str]]:
    """The types of each image that are among the first :data:`SHOWN` of their kind."""
    seen: dict[str, int] = {}
    kept = []
    for sample in samples:
        seen |= {name: seen.get(name, 0) + 1 for name in sample.present}
        kept.append({name for name in sample.present if seen[name] <= SHOWN})
    return kept


def annotate(method: Clicker, image: np.ndarray, truth: np.ndarray, most: int) -> Iterator[tuple[Click, np.ndarray]]:
    """Each click of the simulated annotator and the mask after it, until that is good enough.

    Args:
        method: What turns clicks into masks.
        image: uint8 (H, W, 3).
        truth: bool (H, W).
        most: Clicks after which the annotator gives up.
    """
    mask, clicks = np.zeros(truth.shape, bool), []
    while len(clicks) < most and iou(mask, truth) < GOOD_ENOUGH:
        click = next_click(mask, truth, clicks)
        if click is None:
            break
        clicks.append(click)
        mask = method.segment(image, clicks, mask)
        yield click, mask


def outcome(truth: np.ndarray, steps: Sequence[tuple[Click, np.ndarray]]) -> dict[str, Any]:
    """What came of the clicks on one defect, whose mask is ``truth``, bool (H, W), from what :func:`annotate` gave.

    ``area`` and ``pixels`` of the image; ``clicks``: row, column, and 1 for a positive click or 0, of each; ``ious``
    and ``boundary`` (F) after each; ``vertices`` of polygons around the true mask, for each of :data:`SLACK`;
    ``repairs``: of polygons around the errors left after each click, likewise.
    """
    within = [slack * tolerance(truth.shape) for slack in SLACK]
    masks = [mask for _, mask in steps]
    return {
        "area": int(truth.sum()),
        "pixels": truth.size,
        "clicks": [(click.row, click.column, int(click.positive)) for click, _ in steps],
        "ious": [round(iou(mask, truth), 5) for mask in masks],
        "boundary": [round(boundary_f(mask, truth), 5) for mask in masks],
        "vertices": [outline_vertices(truth, each / 2) for each in within],
        "repairs": [[repair_vertices(mask, truth, each) for each in within] for mask in masks],
    }


def read_replay(path: Path, clicks: int) -> np.ndarray:
    """Masks bool (1 + clicks, H, W) from the PNG that holds them below each other: the true one, then after each."""
    sheet = np.asarray(Image.open(path)).astype(bool)
    return sheet.reshape(1 + clicks, -1, sheet.shape[1])


def _click_through(
    method: Clicker, most: int, sample: Sample, about: Mapping[str, Any], shown: set[str], part: Path
) -> None:
    rows, seconds = [], []
    for number, class_id in enumerate(np.unique(sample.mask[sample.mask > 0]), start=1):
        defect, truth, name, steps = sample.classes[class_id - 1], sample.mask == class_id, "", []
        started = time.perf_counter()
        for step in annotate(method, sample.image, truth, most):
            now = time.perf_counter()
            seconds.append(round(now - started, 4))
            steps.append(step)
            started = now
        if defect in shown:
            name, buffer = f"{part.stem}-{number}.png", io.BytesIO()
            Image.fromarray(np.concatenate([truth, *(mask for _, mask in steps)])).save(buffer, "PNG", optimize=True)
            write_atomically(part.with_name(name), buffer.getvalue())
        rows.append({**about, "defect": defect, **outcome(truth, steps), "replay": name})
    write_atomically(part, json.dumps({"objects": rows, "seconds": seconds}))


# Measures -----------------------------------------------------------------------------------------------------------


def rule(most: int = MOST_CLICKS) -> str:
    """What the measures are, in words, for an annotator who gives up after ``most`` clicks."""
    return (
        "NoC@t is the number of clicks after which the IoU is at least t % for the first time; a defect on which "
        f"{most} clicks do not get there counts {most} and is a failure. An annotator who is content stops, and the "
        "mask stays as it is. Boundary F is the harmonic mean of the shares of either boundary's pixels that lie "
        f"within {100 * TOLERANCE:.2f} % of the image's diagonal, and at least one pixel, of the other boundary."
    )


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two bool (H, W); 1 where both are empty."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def clicks_to(ious: Sequence[float], target: float, most: int = MOST_CLICKS) -> int:
    """NoC@target of the IoUs after click 1, 2, …: see :func:`rule`; what comes after ``most`` does not count."""
    return next((k for k, value in enumerate(ious[:most], start=1) if value >= target), most)


def fails(ious: Sequence[float], target: float, most: int = MOST_CLICKS) -> bool:
    """Whether ``most`` clicks do not reach ``target``."""
    return all(value < target for value in ious[:most])


def tolerance(shape: tuple[int, int]) -> float:
    """How far boundaries may be apart in an image of (H, W) pixels, in pixels."""
    return max(1.0, TOLERANCE * math.hypot(*shape))


def boundary(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask, bool (H, W), of whose eight neighbours one is outside it, or outside the image."""
    return mask & ~ndimage.binary_erosion(mask, _EIGHT)


def boundary_f(mask: np.ndarray, truth: np.ndarray) -> float:
    """F-score of the boundary, in [0, 1]: see :func:`rule`; 1 where both masks are empty, 0 where one is."""
    if not (mask.any() and truth.any()):
        return float(mask.any() == truth.any())

    def near(points: np.ndarray, others: np.ndarray) -> float:
        return float((ndimage.distance_transform_edt(~others)[points] <= tolerance(mask.shape)).mean())

    ours, theirs = boundary(mask), boundary(truth)
    precision, recall = near(ours, theirs), near(theirs, ours)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def outline_vertices(mask: np.ndarray, within: float) -> int:
    """Vertices of polygons around every piece and hole of a bool (H, W), nowhere farther off than ``within`` pixels.

    After Douglas and Peucker (1973), on the line between the pixels; a polygon has three vertices at least.
    """
    # Here, because a plan reads this module's constants, and need not wait for all of scikit-image.
    from skimage import measure

    lines = measure.find_contours(np.pad(mask, 1).astype(np.float64), 0.5)
    # The last point of a closed line is its first one again.
    return sum(max(3, len(measure.approximate_polygon(line, within)) - 1) for line in lines)


def repair_vertices(mask: np.ndarray, truth: np.ndarray, within: float) -> int:
    """Vertices that it takes to mend ``mask``: polygons around its errors, each drawn to be added or to be cut off.

    An error counts if it reaches farther than ``within`` pixels from the true boundary; polygons are as exact as half
    of that.
    """
    wrong, count = ndimage.label(mask ^ truth, _EIGHT)
    if not count:
        return 0
    away = np.full(truth.shape, np.inf)  # pixels from each pixel's middle to the nearest beyond the true boundary
    if truth.any():
        inside = ndimage.distance_transform_edt(np.pad(truth, 1))[1:-1, 1:-1]
        away = np.where(truth, inside, ndimage.distance_transform_edt(~truth))
    reach = ndimage.maximum(away, wrong, np.arange(count + 1))
    return outline_vertices(np.isin(wrong, np.flatnonzero(reach > within)) & (wrong > 0), within / 2)
