"""A simulated annotator at work: one method on held-out images, up to 20 clicks on every defect.

A *defect* is all that an image shows of one type: that is what an index mask asks for. Every click goes to the middle
of the largest error (:func:`defectclick.simulate.next_click`); the annotator stops where the mask is good enough
to be left as it is (:data:`GOOD_ENOUGH`) and keeps it.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from defectclick import sam_weights
from defectclick.clicks import Click, Clicker
from defectclick.measures import boundary_f, iou, outline_vertices, repair_vertices, tolerance
from defectclick.simulate import next_click
from defectlib import runtime
from defectlib.data import loading
from defectlib.data.sample import Sample
from defectlib.errors import UserError
from defectlib.settings import Clicking
from defectlib.store import UNFINISHED, write_atomically

OBJECTS = "objects.json"
REPLAYS = "replays"
GOOD_ENOUGH = 0.95
"""The IoU at which the annotator stops."""
SHOWN = 2
"""Defects of each type whose masks are kept, click by click: the first ones."""
SLACK = (0.5, 1.0, 2.0)
"""How exact people draw: boundary tolerances, in times the usual one."""

Place = tuple[int, str]
"""Number of an image among those held out, and its group."""


@dataclass(frozen=True)
class Outcome:
    """What came of the clicks on one defect.

    Attributes:
        number: Of the image among those held out, from 0.
        key: Of the image.
        group: Of the image; see :class:`defectlib.data.loading.Dataset`.
        defect: Its type.
        area: In pixels.
        pixels: Of the image.
        clicks: Row, column, and 1 for a positive click or 0, of each.
        ious: After each click.
        boundary: Boundary F after each click.
        vertices: Of polygons around the true mask, for each of :data:`SLACK`.
        repairs: Of polygons around the errors left after each click, likewise.
        replay: File of the masks, where they are kept.
    """

    number: int
    key: str
    group: str
    defect: str
    area: int
    pixels: int
    clicks: list[tuple[int, int, int]]
    ious: list[float]
    boundary: list[float]
    vertices: list[int]
    repairs: list[list[int]]
    replay: str = ""


def run(settings: Clicking, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: writes ``objects.json`` and, for a few defects, the masks after each click.

    ``objects.json`` holds ``objects``, each as :class:`Outcome`; ``seconds``, the median of a click's time; and
    ``weights``, the name of those of SAM. For replays see :func:`read_replay`.

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
        for number, sample, shown in zip(numbers, samples, _shown(samples), strict=True):
            part = parts / f"{number:05d}.json"
            if not part.exists():  # else a run that was cut off did it
                _click_through(method, settings.clicks, sample, (number, data.groups[sample.key]), shown, part)
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
    from defectclick import classical

    known = {one.name: one for one in (classical.FloodFill, classical.GrabCut, classical.RandomWalker)}
    return known[settings.method]()


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


def defects(sample: Sample) -> Iterator[tuple[str, np.ndarray]]:
    """The defect types that an image shows, each with its mask, bool (H, W)."""
    for class_id in np.unique(sample.mask[sample.mask > 0]):
        yield sample.classes[class_id - 1], sample.mask == class_id


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


def read_replay(path: Path, clicks: int) -> np.ndarray:
    """Masks bool (1 + clicks, H, W) from the PNG that holds them below each other: the true one, then after each."""
    sheet = np.asarray(Image.open(path)).astype(bool)
    return sheet.reshape(1 + clicks, -1, sheet.shape[1])


# Parts --------------------------------------------------------------------------------------------------------------


def _click_through(method: Clicker, most: int, sample: Sample, place: Place, shown: set[str], part: Path) -> None:
    rows, seconds = [], []
    for number, (defect, truth) in enumerate(defects(sample), start=1):
        steps, took = _timed(annotate(method, sample.image, truth, most))
        row, name = _described(sample, place, defect, truth, steps), ""
        if defect in shown:
            name = f"{part.stem}-{number}.png"
            write_atomically(part.with_name(name), _strip([truth, *(mask for _, mask in steps)]))
        rows.append(asdict(row) | {"replay": name})
        seconds += took
    write_atomically(part, json.dumps({"objects": rows, "seconds": seconds}))


def _timed(steps: Iterator[tuple[Click, np.ndarray]]) -> tuple[list[tuple[Click, np.ndarray]], list[float]]:
    """All of ``steps``, and the seconds that each took."""
    done, seconds, started = [], [], time.perf_counter()
    for step in steps:
        now = time.perf_counter()
        done.append(step)
        seconds.append(round(now - started, 4))
        started = now
    return done, seconds


def _described(
    sample: Sample, place: Place, defect: str, truth: np.ndarray, steps: Sequence[tuple[Click, np.ndarray]]
) -> Outcome:
    within = [slack * tolerance(truth.shape) for slack in SLACK]
    masks = [mask for _, mask in steps]
    return Outcome(
        number=place[0],
        key=sample.key,
        group=place[1],
        defect=defect,
        area=int(truth.sum()),
        pixels=truth.size,
        clicks=[(click.row, click.column, int(click.positive)) for click, _ in steps],
        ious=[round(iou(mask, truth), 5) for mask in masks],
        boundary=[round(boundary_f(mask, truth), 5) for mask in masks],
        vertices=[outline_vertices(truth, each / 2) for each in within],
        repairs=[[repair_vertices(mask, truth, each) for each in within] for mask in masks],
    )


def _shown(samples: Sequence[Sample]) -> list[set[str]]:
    """The types of each image that are among the first :data:`SHOWN` of their kind."""
    seen: dict[str, int] = {}
    chosen = []
    for sample in samples:
        for name in sample.present:
            seen[name] = seen.get(name, 0) + 1
        chosen.append({name for name in sample.present if seen[name] <= SHOWN})
    return chosen


def _strip(masks: Sequence[np.ndarray]) -> bytes:
    """Masks below each other, as the content of a PNG of one bit a pixel."""
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(masks)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
