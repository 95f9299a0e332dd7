"""The example of «your own defects», for those who have none at hand: photographs without masks, labelled by clicks.

The photographs are painted scenes, so it is known how well the clicked masks fit. A simulated annotator labels them
with the tool's own parts (:class:`defectclick.labelling.Labelling`), by the network that comes with the package
and has never seen this product.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from defectlib import metrics, runtime
from defectlib.data import procedural
from defectlib.data.folder import read_dataset
from defectlib.data.sample import Sample
from defectlib.profiles import Profile, load_profile
from defectlib.store import Store, locked, write_atomically

if TYPE_CHECKING:
    from defectclick.clicks import Clicker
    from defectclick.session import Session

PRODUCT = "twill"
GOOD_ENOUGH = 0.9
"""The IoU with what is to be marked at which the annotator goes on."""
MOST_CLICKS = 6
"""On one defect; after them the annotator goes on with what there is."""
READY = "The masks of this folder were made without clicks."
_POOL = "oracle"  # scenes that no other study trains or evaluates on


def example_folder(profile: Profile) -> Path:
    """The example as a dataset folder, labelled by clicks; made once for each of a profile's sizes and counts."""
    side, count = 2 * (profile.own.crop or 64), 15 * profile.shots
    root = Store().root / "examples" / f"{PRODUCT}-clicked-v{procedural.VERSION}-{side}px-{count}"
    if root.exists():
        return root
    with locked(root.with_name(f"{root.name}.lock"), f"{root}: another process labels it; waiting for it"):
        if not root.exists():
            # A run that was cut off goes on in the same folder, as an annotator does.
            work = root.with_name(f"{root.name}.unfinished")
            truth = {sample.key: sample for sample in _scenes(side, count)}
            _write_photographs(work / "photographs", truth)
            label(work / "photographs", work / "labelled", truth, _clicker())
            about = {"product": PRODUCT, "source": f"procedural v{procedural.VERSION}", "made": runtime.now()}
            write_atomically(work / "labelled" / "provenance.json", json.dumps(about, indent=1))
            (work / "labelled").rename(root)
            shutil.rmtree(work)
    return root


def label(photographs: Path, out: Path, truth: Mapping[str, Sample], clicker: Clicker) -> None:
    """Label every photograph as a simulated annotator, who knows the ``truth`` by key and points at what is wrong.

    Raises:
        UserError: See :class:`~defectclick.labelling.Labelling`.
    """
    from defectclick.labelling import Labelling

    classes = next(iter(truth.values())).classes
    labelling = Labelling(photographs, out, classes, clicker)
    try:
        keys = sorted(labelling.sources.keys() - labelling.labelled)
        with runtime.progress(len(keys), "labelling by clicks", unit="image") as bar:
            for key in keys:
                work = labelling.open(key)
                mark(work.session, truth[key].mask)
                labelling.save(work)
                bar.update()
    finally:
        labelling.close()


def mark(session: Session, truth: np.ndarray) -> None:
    """Click on all that ``truth``, uint8 (H, W), shows, defect after defect, each time where most is wrong."""
    from defectclick.clicks import next_click
    from defectclick.evaluation import iou

    for class_id in (int(k) for k in np.unique(truth) if k):
        pieces, count = ndimage.label(truth == class_id, structure=np.ones((3, 3)))
        for piece in range(1, count + 1):
            session.begin(class_id)
            wanted, others, clicks = pieces == piece, (pieces > 0) & (pieces != piece), []
            while len(clicks) < MOST_CLICKS:
                mask = (session.index == class_id) & ~others
                click = next_click(mask, wanted, clicks) if iou(mask, wanted) < GOOD_ENOUGH else None
                if click is None:
                    break
                clicks.append(click)
                session.click(click.row, click.column, click.positive)


def labels(root: Path) -> pd.DataFrame | None:
    """How a dataset folder was labelled with the tool; None if it was labelled by other means.

    Returns:
        Index ``type``; ``images`` with clicks on the type, ``clicks``, the mean number on such an image, and for the
        example alone ``IoU`` in % of the clicked masks with the true ones, over all images together.

    Raises:
        UserError: A record of clicks cannot be read.
    """
    from defectclick.records import read_record

    records = [read_record(path) for path in sorted((Path(root) / "clicks").glob("*.json"))]
    clicked = [
        (number, record.classes[edit.class_id - 1])
        for number, record in enumerate(records)
        for edit in record.edits
        if edit.kind == "click"
    ]
    if not clicked:
        return None
    each = pd.DataFrame(clicked, columns=["image", "type"]).groupby(["type", "image"], sort=False).size()
    table = each.groupby("type", sort=False).agg(images="size", clicks="mean")
    return table.assign(IoU=100 * _fit(root)) if is_example(root) else table


def is_example(root: Path) -> bool:
    """Whether a folder is one of :func:`example_folder`."""
    return Path(root).absolute().parent == (Store().root / "examples").absolute()


def compared(root: Path) -> list[tuple[Sample, Sample]]:
    """Every sample of the example with the true mask, and as it was labelled; none for any other folder."""
    saved = read_dataset(root) if is_example(root) else ()
    truth = {sample.key: sample for sample in _scenes(saved[0].mask.shape[0], len(saved))} if saved else {}
    return [(truth[sample.key], sample) for sample in saved]


def _fit(root: Path) -> pd.Series:
    """IoU of clicked and true masks, by type."""
    truth, saved = zip(*compared(root), strict=True)
    classes = saved[0].classes
    counts = metrics.image_counts([one.mask for one in truth], [one.mask for one in saved], len(classes) + 1)
    return pd.Series(metrics.iou_per_class(counts)[1:], index=classes)


def _scenes(side: int, count: int) -> Iterator[Sample]:
    return (procedural.sample(PRODUCT, _POOL, i, size=side) for i in range(count))


def _write_photographs(folder: Path, truth: Mapping[str, Sample]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for key, sample in truth.items():
        Image.fromarray(sample.image).save(folder / f"{key}.png")


def _clicker() -> Clicker:
    """The network of the package that has not seen the product; where it is missing, the one that comes for all."""
    from defectclick import focal

    unseen = Store().find(load_profile("cpu").clicker_training(leave_out=PRODUCT))
    return focal.load(unseen) if unseen else focal.shipped()
